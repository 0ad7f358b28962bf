package worker_test

import (
	"cmp"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// A broker is what Kafka would hold: read-committed logs and the group's
// committed offsets.
type broker struct {
	logs      map[record.TopicPartition]*partition
	committed map[record.TopicPartition]committed
}

type committed struct {
	offset   int64
	metadata string
}

// A partition is one log. The index of a slot is its offset; a nil slot is a
// transaction marker, an aborted record or one that compaction removed.
type partition struct {
	start int64
	slots []*record.Record
}

func newBroker() *broker {
	return &broker{logs: make(map[record.TopicPartition]*partition), committed: make(map[record.TopicPartition]committed)}
}

func (b *broker) log(tp record.TopicPartition) *partition {
	if b.logs[tp] == nil {
		b.logs[tp] = &partition{}
	}
	return b.logs[tp]
}

func (p *partition) end() int64 { return int64(len(p.slots)) }

func (p *partition) append(r *record.Record) int64 {
	if r != nil {
		r.Offset = p.end()
	}
	p.slots = append(p.slots, r)
	return p.end() - 1
}

// read returns up to limit records from an offset on, and the offset after them.
func (p *partition) read(from int64, limit int) ([]record.Record, int64) {
	var rs []record.Record
	for from = max(from, p.start); from < p.end() && len(rs) < limit; from++ {
		if r := p.slots[from]; r != nil {
			rs = append(rs, *r)
		}
	}
	for from < p.end() && p.slots[from] == nil {
		from++
	}
	return rs, from
}

// compact keeps the last record of each key; tombstones go too.
func (p *partition) compact() {
	seen := make(map[string]bool)
	for i := len(p.slots) - 1; i >= 0; i-- {
		r := p.slots[i]
		if r == nil {
			continue
		}
		if seen[string(r.Key)] || r.Value == nil {
			p.slots[i] = nil
		}
		seen[string(r.Key)] = true
	}
}

// write carries out a round: all of it, or, when the transaction aborts,
// nothing but offsets that are used up.
func (b *broker) write(r *worker.Round, commit bool) map[record.TopicPartition]int64 {
	next := make(map[record.TopicPartition]int64)
	for _, rs := range r.Records() {
		for _, rec := range rs {
			tp := rec.TP()
			kept := clone(rec)
			if !commit {
				kept = nil
			}
			next[tp] = b.log(tp).append(kept) + 1
		}
	}
	for _, tp := range sortedParts(next) {
		b.log(tp).append(nil) // the transaction's marker
	}
	if !commit {
		return nil
	}
	for _, e := range r.Epochs {
		for _, o := range e.Offsets {
			b.committed[record.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = committed{o.Offset, task.Metadata(e.StreamTime)}
		}
	}
	return next
}

func sortedParts[V any](m map[record.TopicPartition]V) []record.TopicPartition {
	var tps []record.TopicPartition
	for tp := range m {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, func(x, y record.TopicPartition) int { return x.Compare(y) })
	return tps
}

// clone copies a record: what a round holds is valid only until it is decided.
func clone(r record.Record) *record.Record {
	r.Key, r.Value = slices.Clone(r.Key), slices.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = slices.Clone(r.Headers[i].Value)
	}
	return &r
}

func compareIDs(x, y task.ID) int {
	return cmp.Or(cmp.Compare(x.Sub, y.Sub), cmp.Compare(x.Partition, y.Partition))
}
