package task

import (
	"math"
	"slices"

	"github.com/weirstream/weir/core/record"
)

// An input is one partition that a task reads: a queue of fetched records.
type input struct {
	tp      record.TopicPartition
	agents  []int // indices of the agents that read it, in order
	batches [][]record.Record
	head    int // next record in batches[0]
	count   int
	bytes   int
	// next is the offset of the next record to process; seen is the offset
	// after everything that was added; committed is where an abort rewinds.
	next, seen, committed int64
	// ahead is the offset after the records whose entries were read ahead.
	ahead int64
}

func (in *input) start(at int64) {
	in.batches, in.head, in.count, in.bytes = nil, 0, 0, 0
	in.next, in.seen, in.committed, in.ahead = at, at, at, at
}

// add queues what is new of rs and returns that.
func (in *input) add(rs []record.Record, next int64) []record.Record {
	i, _ := slices.BinarySearchFunc(rs, in.seen, func(r record.Record, at int64) int {
		if r.Offset < at {
			return -1
		}
		return 1
	})
	rs = rs[i:]
	if len(rs) > 0 {
		in.batches = append(in.batches, rs)
		in.count += len(rs)
		for k := range rs {
			in.bytes += size(&rs[k])
		}
		in.seen = rs[len(rs)-1].Offset + 1
	}
	in.seen = max(in.seen, next)
	return rs
}

func size(r *record.Record) int { return len(r.Key) + len(r.Value) + 128 }

func (in *input) peek() *record.Record {
	if in.count == 0 {
		return nil
	}
	return &in.batches[0][in.head]
}

// pop removes the head, which was processed.
func (in *input) pop() {
	r := in.peek()
	in.next = r.Offset + 1
	in.count--
	in.bytes -= size(r)
	in.head++
	if in.head == len(in.batches[0]) {
		in.batches[0] = nil
		in.batches, in.head = in.batches[1:], 0
	}
	in.settle()
}

// settle moves next over control records once nothing is queued.
func (in *input) settle() bool {
	if in.count > 0 || in.next >= in.seen {
		return false
	}
	in.next = in.seen
	return true
}

// earliest picks the input whose head has the smallest event time, the first
// one winning ties. It depends only on what is buffered.
func earliest(inputs []*input) *input {
	var best *input
	at := int64(math.MaxInt64)
	for _, in := range inputs {
		if r := in.peek(); r != nil && (best == nil || r.Time < at) {
			best, at = in, r.Time
		}
	}
	return best
}
