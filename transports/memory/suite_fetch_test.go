package memory

import (
	"slices"
	"strings"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func suiteFetchMovesAndStops(s *suite) {
	p := s.producer("")
	a, b := tpOf("in", 0), tpOf("in", 1)
	s.send(p, words("in", 0, "a b c"), words("in", 1, "x y"))
	f := s.fetcher(map[record.TopicPartition]int64{a: 1, b: 0})
	got := s.read(f, map[record.TopicPartition]int64{a: 3, b: 2})
	if !slices.Equal(got[a].keys, []string{"b", "c"}) || !slices.Equal(got[b].keys, []string{"x", "y"}) {
		s.Fatalf("%v", got)
	}
	f.Set(map[record.TopicPartition]int64{a: 0})
	f.Remove([]record.TopicPartition{b})
	s.send(p, words("in", 1, "z"))
	s.send(p, words("in", 0, "d"))
	got = s.read(f, map[record.TopicPartition]int64{a: 4})
	if !slices.Equal(got[a].keys, []string{"a", "b", "c", "d"}) || len(got) != 1 {
		s.Fatalf("%v", got)
	}
}

func suiteFetchPauses(s *suite) {
	p := s.producer("")
	a, b := tpOf("in", 0), tpOf("in", 1)
	s.send(p, words("in", 0, "a1 a2"), words("in", 1, "b1 b2"))
	f := s.fetcher(map[record.TopicPartition]int64{a: 0, b: 0})
	f.Pause([]record.TopicPartition{a})
	got := s.read(f, map[record.TopicPartition]int64{b: 2})
	if len(got[a].keys) != 0 {
		s.Fatalf("paused, but got %v", got[a])
	}
	f.Resume([]record.TopicPartition{a})
	got = s.read(f, map[record.TopicPartition]int64{a: 2})
	if !slices.Equal(got[a].keys, []string{"a1", "a2"}) {
		s.Fatalf("%v", got)
	}
	f.Pause([]record.TopicPartition{a})
	f.Set(map[record.TopicPartition]int64{a: 1}) // a new start is not paused
	got = s.read(f, map[record.TopicPartition]int64{a: 2})
	if !slices.Equal(got[a].keys, []string{"a2"}) {
		s.Fatalf("%v", got)
	}
}

func suiteFetchLimit(s *suite) {
	p := s.producer("")
	a, b := tpOf("in", 0), tpOf("in", 1)
	s.send(p, words("in", 0, "a b c d e"), words("in", 1, "x y"))
	f := s.fetcher(map[record.TopicPartition]int64{a: 0, b: 0})
	got := make(map[record.TopicPartition][]string)
	for n := 0; n < 7; {
		count := 0
		for _, batch := range f.Poll(s.ctx, 2) {
			s.ok(batch.Err)
			count += len(batch.Records)
			for i := range batch.Records {
				got[batch.TP] = append(got[batch.TP], string(batch.Records[i].Key))
			}
		}
		if count > 2 {
			s.Fatalf("%d records, limit 2", count)
		}
		s.ok(s.ctx.Err())
		n += count
	}
	if !slices.Equal(got[a], strings.Fields("a b c d e")) || !slices.Equal(got[b], strings.Fields("x y")) {
		s.Fatalf("%v", got)
	}
}

func suiteFetchOutOfRange(s *suite) {
	p := s.producer("")
	a, b := tpOf("in", 0), tpOf("in", 1)
	s.send(p, words("in", 0, "a"), words("in", 1, "x"))
	f := s.fetcher(map[record.TopicPartition]int64{a: 9, b: 0})
	var failed error
	seen := false
	for failed == nil || !seen {
		for _, batch := range f.Poll(s.ctx, 0) {
			switch batch.TP {
			case a:
				failed = batch.Err
			case b:
				s.ok(batch.Err)
				seen = true
			}
		}
		s.ok(s.ctx.Err())
	}
	s.is(failed, runtime.ErrOffsetOutOfRange)
	// It was removed: nothing more is heard of it.
	s.send(p, words("in", 0, "b c d e f g h i j k l"))
	s.send(p, words("in", 1, "y"))
	if got := s.read(f, map[record.TopicPartition]int64{b: 2}); len(got) != 1 {
		s.Fatalf("%v", got)
	}
}

func suiteFetchWaits(s *suite) {
	a := tpOf("in", 0)
	f := s.fetcher(map[record.TopicPartition]int64{a: 0})
	polled := make(chan []runtime.Batch)
	go func() { polled <- f.Poll(s.ctx, 0) }()
	s.send(s.producer(""), words("in", 0, "a"))
	if got := <-polled; len(got) != 1 || got[0].Next != 1 || got[0].HighWatermark != 1 {
		s.Fatalf("%v", got)
	}
	go func() { polled <- f.Poll(s.ctx, 0) }()
	f.Close()
	if got := <-polled; len(got) != 0 {
		s.Fatalf("after close: %v", got)
	}
}
