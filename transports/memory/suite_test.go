package memory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A suite is the fixture of what only this transport can do; what every
// transport has to do is conformance.Transport.
type suite struct {
	*testing.T
	ctx     context.Context
	connect func() runtime.Transport
	tr      runtime.Transport
	owners  owners
}

func (s *suite) topic(name string, partitions int32) {
	s.Helper()
	_, err := s.tr.CreateTopics(s.ctx, map[string]runtime.TopicSpec{name: {Partitions: partitions, Replicas: 1}})
	s.ok(err)
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(err, target error) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Fatalf("error %v; want %v", err, target)
	}
}

func tpOf(topic string, p int32) record.TopicPartition {
	return record.TopicPartition{Topic: topic, Partition: p}
}

// words makes records for one partition, one for each word.
func words(topic string, p int32, text string) []record.Record {
	var rs []record.Record
	for w := range strings.FieldsSeq(text) {
		rs = append(rs, record.Record{Topic: topic, Partition: p, Time: 1, Key: []byte(w), Value: []byte(w)})
	}
	return rs
}

func (s *suite) producer(id string) runtime.Producer {
	s.Helper()
	p, err := s.tr.Producer(s.ctx, id)
	s.ok(err)
	s.Cleanup(p.Close)
	return p
}

// commit commits a round and wants its outcome.
func (s *suite) commit(p runtime.Producer, want runtime.Outcome, c runtime.Commit) runtime.Result {
	s.Helper()
	res := p.Commit(s.ctx, c)
	if res.Outcome != want {
		s.Fatalf("commit: %v, %v; want %v", res.Outcome, res.Err, want)
	}
	return res
}

func (s *suite) send(p runtime.Producer, rs ...[]record.Record) {
	s.Helper()
	s.commit(p, runtime.Committed, runtime.Commit{Records: rs})
}

func (s *suite) fetcher(at map[record.TopicPartition]int64) runtime.Fetcher {
	s.Helper()
	f, err := s.tr.Fetcher(runtime.FetchConfig{})
	s.ok(err)
	s.Cleanup(f.Close)
	f.Set(at)
	return f
}

// reading is what was polled of one partition.
type reading struct {
	keys []string
	next int64
}

// read polls until all partitions are at the offsets given.
func (s *suite) read(f runtime.Fetcher, until map[record.TopicPartition]int64) map[record.TopicPartition]reading {
	s.Helper()
	got := make(map[record.TopicPartition]reading)
	behind := func() bool {
		for tp, at := range until {
			if got[tp].next < at {
				return true
			}
		}
		return false
	}
	for behind() {
		batches := f.Poll(s.ctx, 0)
		if s.ctx.Err() != nil {
			s.Fatalf("waiting for %v, got %v", until, got)
		}
		for i := range batches {
			b := &batches[i]
			s.ok(b.Err)
			r := got[b.TP]
			for j := range b.Records {
				if rec := &b.Records[j]; rec.Offset < r.next || rec.Offset >= b.Next || rec.TP() != b.TP {
					s.Fatalf("record %v of %v between %d and %d", rec, b.TP, r.next, b.Next)
				}
				r.keys = append(r.keys, string(b.Records[j].Key))
			}
			r.next = b.Next
			got[b.TP] = r
		}
	}
	return got
}

// wantOut reads a partition of topic out up to an offset and compares the keys.
func (s *suite) wantOut(p int32, end int64, keys string) {
	s.Helper()
	tp := tpOf("out", p)
	f := s.fetcher(map[record.TopicPartition]int64{tp: 0})
	defer f.Close()
	got := s.read(f, map[record.TopicPartition]int64{tp: end})[tp]
	if want := strings.Fields(keys); !slices.Equal(got.keys, want) {
		s.Fatalf("%v holds %v; want %v", tp, got.keys, want)
	}
}

// end is the high watermark of out/0.
func (s *suite) end() int64 {
	s.Helper()
	tp := tpOf("out", 0)
	ranges, err := s.tr.Offsets(s.ctx, []record.TopicPartition{tp})
	s.ok(err)
	return ranges[tp].End
}
