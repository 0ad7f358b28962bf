package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

func fetchChecks() []TransportCheck {
	return []TransportCheck{
		transportCheck("fetch/moves-and-stops", checkFetchMoves),
		transportCheck("fetch/set-drops-what-came", checkSetDrops),
		transportCheck("fetch/pauses", checkFetchPauses),
		transportCheck("fetch/set-ends-a-pause", checkSetEndsPause),
		transportCheck("fetch/pause-loses-nothing", checkPauseLosesNothing),
		transportCheck("fetch/limit", checkFetchLimit),
		transportCheck("fetch/whole", checkFetchWhole),
		transportCheck("fetch/before", checkFetchBefore),
		transportCheck("fetch/idle", checkFetchIdle),
		transportCheck("fetch/out-of-range", checkFetchOutOfRange),
		transportCheck("fetch/waits", checkFetchWaits),
		transportCheck("fetch/context-ends", checkFetchContextEnds),
	}
}

func checkFetchMoves(s *wire) {
	p := s.producer("")
	a, b := s.tp("in", 0), s.tp("in", 1)
	s.send(p, s.words("in", 0, "a b c"), s.words("in", 1, "x y"))
	f := s.fetcher(places{a: 1, b: 0})
	got := s.read(f, places{a: 3, b: 2})
	if !slices.Equal(got[a].keys, []string{"b", "c"}) || !slices.Equal(got[b].keys, []string{"x", "y"}) {
		s.Fatalf("read %v", got)
	}
	f.Set(places{a: 0})
	f.Remove([]tp{b, s.tp("in", 2)})
	s.send(p, s.words("in", 1, "z"))
	s.send(p, s.words("in", 0, "d"))
	got = s.read(f, places{a: 4})
	if !slices.Equal(got[a].keys, []string{"a", "b", "c", "d"}) || len(got) != 1 {
		s.Fatalf("read %v", got)
	}
	// A removed partition that is set again begins where it is set.
	f.Set(places{b: 2})
	if got = s.read(f, places{b: 3}); !slices.Equal(got[b].keys, []string{"z"}) {
		s.Fatalf("read %v", got)
	}
}

// checkSetDrops moves a fetcher to and fro while records are on their way: a
// poll begins where the last Set said, and goes on without gaps.
func checkSetDrops(s *wire) {
	p := s.producer("")
	const size = 400
	a, b := s.tp("in", 0), s.tp("in", 1)
	for _, part := range []int32{0, 1} {
		var text []string
		for i := range size {
			text = append(text, fmt.Sprint(i))
		}
		s.send(p, s.words("in", part, strings.Join(text, " ")))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	f := s.fetcherWith(runtime.FetchConfig{MaxBytes: 2 << 10}, places{a: 0, b: 0})
	next := places{a: 0, b: 0}
	follow := func() {
		for _, batch := range f.Poll(s.ctx, 1+rng.IntN(40)) {
			s.ok(batch.Err)
			for i := range batch.Records {
				if r := &batch.Records[i]; r.Offset != next[batch.TP] || string(r.Key) != fmt.Sprint(r.Offset) {
					s.Fatalf("%v: record %s at %d; want the one at %d", batch.TP, r.Key, r.Offset, next[batch.TP])
				}
				next[batch.TP]++
			}
			next[batch.TP] = batch.Next
		}
		s.ok(s.ctx.Err())
	}
	for range 60 {
		if next[a] < size || next[b] < size {
			follow()
		}
		at := []tp{a, b}[rng.IntN(2)]
		next[at] = rng.Int64N(size)
		f.Set(places{at: next[at]})
	}
	for next[a] < size || next[b] < size {
		follow()
	}
}

func checkFetchPauses(s *wire) {
	p := s.producer("")
	a, b := s.tp("in", 0), s.tp("in", 1)
	s.send(p, s.words("in", 0, "a1 a2"), s.words("in", 1, "b1 b2"))
	f := s.fetcher(places{a: 0, b: 0})
	f.Pause([]tp{a, s.tp("in", 2)}) // one that is not read does not matter
	got := s.read(f, places{b: 2})
	if len(got[a].keys) != 0 {
		s.Fatalf("%v is paused, yet %v", a, got[a])
	}
	s.send(p, s.words("in", 1, "b3"))
	got = s.read(f, places{b: 3})
	if len(got[a].keys) != 0 {
		s.Fatalf("%v is paused, yet %v", a, got[a])
	}
	f.Resume([]tp{a})
	got = s.read(f, places{a: 2})
	if !slices.Equal(got[a].keys, []string{"a1", "a2"}) {
		s.Fatalf("after the pause: %v", got)
	}
}

// checkSetEndsPause: a partition that is set is read, paused or not: whoever
// sets it starts anew.
func checkSetEndsPause(s *wire) {
	p := s.producer("")
	a := s.tp("in", 0)
	s.send(p, s.words("in", 0, "a1 a2"))
	f := s.fetcher(places{a: 0})
	f.Pause([]tp{a})
	f.Set(places{a: 1})
	if got := s.read(f, places{a: 2}); !slices.Equal(got[a].keys, []string{"a2"}) {
		s.Fatalf("read %v", got)
	}
	f.Pause([]tp{a})
	f.Remove([]tp{a})
	f.Set(places{a: 0})
	if got := s.read(f, places{a: 2}); !slices.Equal(got[a].keys, []string{"a1", "a2"}) {
		s.Fatalf("read %v", got)
	}
}

// checkPauseLosesNothing pauses and resumes at random with a buffer that is
// too small for all: every record comes once, in order.
func checkPauseLosesNothing(s *wire) {
	const parts, size = 3, 600
	p := s.producer("")
	var all []tp
	at, got := places{}, places{}
	for part := range int32(parts) {
		var text []string
		for i := range size {
			text = append(text, fmt.Sprint(i))
		}
		s.send(p, s.words("in", part, strings.Join(text, " ")))
		all = append(all, s.tp("in", part))
		at[all[part]], got[all[part]] = 0, 0
	}
	rng := rand.New(rand.NewPCG(3, 4))
	f := s.fetcherWith(runtime.FetchConfig{MaxBytes: 2 << 10}, at)
	done := func(tp tp) bool { return got[tp] == size }
	for left := true; left; {
		paused := make(map[tp]bool)
		for _, tp := range all {
			paused[tp] = rng.IntN(2) == 0
		}
		live := slices.ContainsFunc(all, func(tp tp) bool { return !paused[tp] && !done(tp) })
		for part, on := range paused {
			if on {
				f.Pause([]tp{part})
			}
		}
		if live {
			s.followPaused(f, 1+rng.IntN(60), got, paused)
		}
		f.Resume(all)
		left = slices.ContainsFunc(all, func(tp tp) bool { return !done(tp) })
	}
}

// followPaused polls once and moves got, which paused partitions must not.
func (s *wire) followPaused(f runtime.Fetcher, limit int, got places, paused map[tp]bool) {
	s.Helper()
	for _, b := range f.Poll(s.ctx, limit) {
		s.ok(b.Err)
		if paused[b.TP] {
			s.Fatalf("%v is paused, and moves to %d", b.TP, b.Next)
		}
		for i := range b.Records {
			if b.Records[i].Offset != got[b.TP] {
				s.Fatalf("%v goes on at %d; want %d", b.TP, b.Records[i].Offset, got[b.TP])
			}
			got[b.TP]++
		}
	}
	s.ok(s.ctx.Err())
}

func checkFetchLimit(s *wire) {
	p := s.producer("")
	a, b := s.tp("in", 0), s.tp("in", 1)
	s.send(p, s.words("in", 0, "a b c d e"), s.words("in", 1, "x y"))
	f := s.fetcher(places{a: 0, b: 0})
	got := make(map[tp]reading)
	for n := 0; n < 7; {
		count := 0
		batches := f.Poll(s.ctx, 2)
		for i := range batches {
			count += len(batches[i].Records)
			s.take(got, &batches[i])
		}
		if count > 2 {
			s.Fatalf("%d records, with a limit of 2", count)
		}
		s.ok(s.ctx.Err())
		n += count
	}
	if !slices.Equal(got[a].keys, strings.Fields("a b c d e")) || !slices.Equal(got[b].keys, strings.Fields("x y")) {
		s.Fatalf("read %v", got)
	}
}

func checkFetchOutOfRange(s *wire) {
	p := s.producer("")
	a, b := s.tp("in", 0), s.tp("in", 1)
	s.send(p, s.words("in", 0, "a"), s.words("in", 1, "x"))
	f := s.fetcher(places{a: 9, b: 0})
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
	// It was removed: nothing more is heard of it, also when the offset comes
	// to be.
	s.send(p, s.words("in", 0, "b c d e f g h i j k l"))
	s.send(p, s.words("in", 1, "y"))
	if got := s.read(f, places{b: 2}); len(got) != 1 {
		s.Fatalf("read %v", got)
	}
	f.Set(places{a: 10})
	if got := s.read(f, places{a: 12}); !slices.Equal(got[a].keys, []string{"k", "l"}) {
		s.Fatalf("read %v", got)
	}
}

// checkFetchWhole: a batch says as of when it was all there was, if and only if
// nothing more is to be read behind it. What an open transaction has there is
// not to be read.
func checkFetchWhole(s *wire) {
	began := time.Now()
	a, b := s.tp("in", 0), s.tp("in", 1)
	p := s.producer("")
	s.send(p, s.words("in", 0, "a b c d e"), s.words("in", 1, "x"))
	read := func(at tp, end int64) {
		f := s.fetcher(places{at: 0})
		for next := int64(0); next < end; {
			s.ok(s.ctx.Err())
			for _, batch := range f.Poll(s.ctx, 2) {
				s.ok(batch.Err)
				next = batch.Next
				switch whole := batch.Whole; {
				case whole.IsZero() != (next < end):
					s.Fatalf("%v at %d of %d: whole at %v", at, next, end, whole)
				case !whole.IsZero() && (whole.Before(began) || whole.After(time.Now())):
					s.Fatalf("%v was whole at %v, which is not between %v and now", at, whole, began)
				}
			}
		}
	}
	read(a, s.end(a))
	s.commit(s.producer("open"), runtime.Committed, runtime.Commit{
		Records: [][]record.Record{s.words("in", 1, "y")},
		Claim: func() error {
			read(b, 1)
			return nil
		},
	})
}

// checkFetchBefore: a batch says when it was read, and as of when there was
// nothing to read where it begins. That is known once the reader has met the
// end, and is older than what the batch begins with, however the answer is cut.
func checkFetchBefore(s *wire) {
	a := s.tp("in", 0)
	p := s.producer("")
	sent := make(map[int64]time.Time) // by offset: when it was there at the latest
	next := int64(0)
	send := func(words string) {
		s.send(p, s.words("in", 0, words))
		for at, now := int64(len(sent)), time.Now(); at < s.end(a); at++ {
			sent[at] = now
		}
	}
	send("a b c d e")
	f := s.fetcher(places{a: 0})
	// read reads on to an offset, and says what the first batch knew.
	read := func(end int64) (before time.Time) {
		first, began := true, time.Now()
		for next < end {
			s.ok(s.ctx.Err())
			for _, b := range f.Poll(s.ctx, 2) {
				s.ok(b.Err)
				switch {
				case b.Before.After(sent[next]):
					s.Fatalf("at %d there was nothing to read at %v, says the batch, and there was at %v", next, b.Before, sent[next])
				case b.Read.IsZero() || b.Read.After(time.Now()) || b.Read.Before(b.Before):
					s.Fatalf("at %d the batch was read at %v, with nothing there at %v; asked for after %v", next, b.Read, b.Before, began)
				}
				if first {
					before, first = b.Before, false
				}
				next = b.Next
			}
		}
		return before
	}
	if before := read(5); !before.IsZero() {
		s.Fatalf("before anything was read there was nothing to read at %v", before)
	}
	met := time.Now()
	f.Pause([]tp{a})
	send("f g h")
	send("i")
	f.Resume([]tp{a})
	if before := read(9); before.IsZero() || before.Before(met.Add(-time.Minute)) {
		s.Fatalf("the reader had met the end before %v, and knows of %v", met, before)
	}
	f.Set(places{a: 5})
	next = 5
	if before := read(9); !before.IsZero() {
		s.Fatalf("set to where the log goes on, it knows of nothing to read at %v", before)
	}
}

// checkFetchIdle: a reader that asks for it hears now and then that there was
// nothing to read, and one that does not ask hears nothing.
func checkFetchIdle(s *wire) {
	a := s.tp("in", 0)
	s.send(s.producer(""), s.words("in", 0, "a b"))
	const every = 50 * time.Millisecond
	f, silent := s.fetcherWith(runtime.FetchConfig{Idle: every}, places{a: 0}), s.fetcher(places{a: 0})
	s.read(f, places{a: 2})
	s.read(silent, places{a: 2})
	var last time.Time
	for n := 0; n < 3; {
		s.ok(s.ctx.Err())
		for _, b := range f.Poll(s.ctx, 0) {
			s.ok(b.Err)
			switch {
			case len(b.Records) > 0 || b.Next != 2:
				s.Fatalf("at 2, with nothing to read: %d records, then %d", len(b.Records), b.Next)
			case b.Whole.Sub(last) < every && n > 0:
				s.Fatalf("whole at %v, said at %v already", b.Whole, last)
			case b.Whole.IsZero() || b.Whole.After(time.Now()) || b.Before.IsZero() || b.Read.IsZero():
				s.Fatalf("nothing to read: %+v", b)
			}
			last = b.Whole
			n++
		}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if got := silent.Poll(ctx, 0); len(got) > 0 {
		s.Fatalf("a reader that did not ask hears of nothing to read: %+v", got)
	}
	f.Pause([]tp{a})
	if got := f.Poll(ctx, 0); len(got) > 0 {
		s.Fatalf("a paused partition says: %+v", got)
	}
	f.Resume([]tp{a})
	s.send(s.producer(""), s.words("in", 0, "c"))
	for {
		s.ok(s.ctx.Err())
		for _, b := range f.Poll(s.ctx, 0) {
			if s.ok(b.Err); b.Next == 3 {
				return
			}
		}
	}
}

func checkFetchWaits(s *wire) {
	a := s.tp("in", 0)
	f := s.fetcher(places{a: 0})
	polled := make(chan []runtime.Batch, 1)
	go func() { polled <- f.Poll(s.ctx, 0) }()
	s.send(s.producer(""), s.words("in", 0, "a"))
	if got := receive(s, polled, "Poll"); len(got) != 1 || got[0].Err != nil || got[0].Next != 1 || got[0].HighWatermark != 1 {
		s.Fatalf("waiting for a record gave %+v", got)
	}
	go func() { polled <- f.Poll(s.ctx, 0) }()
	f.Close()
	if got := receive(s, polled, "Poll"); len(got) != 0 {
		s.Fatalf("after Close: %+v", got)
	}
	if got := f.Poll(s.ctx, 0); len(got) != 0 {
		s.Fatalf("polled after Close: %+v", got)
	}
}

// checkFetchContextEnds: Poll comes back when its context ends, with what it
// has, and nothing is lost by that.
func checkFetchContextEnds(s *wire) {
	a := s.tp("in", 0)
	f := s.fetcher(places{a: 0})
	ctx, cancel := context.WithCancel(s.ctx)
	polled := make(chan []runtime.Batch, 1)
	go func() { polled <- f.Poll(ctx, 0) }()
	cancel()
	if got := receive(s, polled, "Poll"); len(got) != 0 {
		s.Fatalf("an empty log gave %+v", got)
	}
	s.send(s.producer(""), s.words("in", 0, "a b c"))
	got := make(map[tp]reading)
	for range 20 {
		batches := f.Poll(ctx, 1)
		for i := range batches {
			s.take(got, &batches[i])
		}
	}
	if got[a].next < 3 {
		rest := s.read(f, places{a: 3})
		got[a] = reading{keys: append(got[a].keys, rest[a].keys...)}
	}
	if !slices.Equal(got[a].keys, []string{"a", "b", "c"}) {
		s.Fatalf("read %v", got[a].keys)
	}
}
