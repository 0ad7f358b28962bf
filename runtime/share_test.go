package runtime

import (
	"context"
	goruntime "runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weirstream/weir/core/record"
)

// An endlessLog has partitions without end, of which each poll reads a megabyte.
type endlessLog struct {
	Transport // everything else is not called

	made, closed, polls atomic.Int64
}

func (l *endlessLog) Fetcher(FetchConfig) (Fetcher, error) {
	l.made.Add(1)
	return &endlessReader{l: l, at: make(map[record.TopicPartition]int64), paused: make(map[record.TopicPartition]bool)}, nil
}

type endlessReader struct {
	l      *endlessLog
	at     map[record.TopicPartition]int64
	paused map[record.TopicPartition]bool
}

func (r *endlessReader) Set(at map[record.TopicPartition]int64) {
	for tp, offset := range at {
		r.at[tp] = offset
		delete(r.paused, tp)
	}
}

func (r *endlessReader) Remove(parts []record.TopicPartition) {
	for _, tp := range parts {
		delete(r.at, tp)
	}
}

func (r *endlessReader) Pause(parts []record.TopicPartition) {
	for _, tp := range parts {
		r.paused[tp] = true
	}
}

func (r *endlessReader) Resume(parts []record.TopicPartition) {
	for _, tp := range parts {
		delete(r.paused, tp)
	}
}

func (r *endlessReader) Close() { r.l.closed.Add(1) }

func (r *endlessReader) Poll(ctx context.Context, _ int) []Batch {
	var batches []Batch
	for tp, at := range r.at {
		if !r.paused[tp] {
			r.at[tp]++
			batches = append(batches, Batch{TP: tp, Records: []record.Record{{Offset: at, Value: make([]byte, 1<<20)}}, Next: at + 1})
		}
	}
	if len(batches) == 0 {
		<-ctx.Done()
		return nil
	}
	r.l.polls.Add(1)
	return batches
}

// sharing gives f a session whose restores read an endlessLog, in a world of
// its own.
func sharing(t *testing.T, f func(t *testing.T, s *session, l *endlessLog)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &endlessLog{}
		s := &session{cfg: &Config{Transport: l}}
		s.ctx, s.cancel = context.WithCancel(t.Context())
		f(t, s, l)
		s.cancel()
		s.services.Wait()
		if made, closed := l.made.Load(), l.closed.Load(); made != closed {
			t.Errorf("%d of %d fetchers were closed", closed, made)
		}
	})
}

func (s *session) mustShare(t *testing.T) *share {
	t.Helper()
	sh, err := s.share()
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

func tpOf(i int) record.TopicPartition {
	return record.TopicPartition{Topic: "app-counts-changelog", Partition: int32(i)}
}

// offsets polls a share until it has n records of one partition.
func offsets(t *testing.T, sh *share, tp record.TopicPartition, n int) []int64 {
	t.Helper()
	var got []int64
	for len(got) < n {
		for _, b := range sh.poll(t.Context()) {
			if b.TP != tp {
				t.Fatalf("read %v, which is somebody else's", b.TP)
			}
			got = append(got, b.Records[0].Offset)
		}
	}
	return got
}

func from(first int64, n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = first + int64(i)
	}
	return all
}

// Restores that come together share as many fetchers as there are processors;
// those that come one after the other share one.
func TestRestoresShareFetchers(t *testing.T) {
	sharing(t, func(t *testing.T, s *session, l *endlessLog) {
		for i := range 3 {
			sh := s.mustShare(t)
			sh.set(t.Context(), map[record.TopicPartition]int64{tpOf(i): 5})
			offsets(t, sh, tpOf(i), 1)
			sh.close()
		}
		if n := l.made.Load(); n != 1 {
			t.Errorf("%d fetchers for restores of which one ran at a time, want 1", n)
		}
		var all []*share
		for range 2 * maxRestores {
			all = append(all, s.mustShare(t))
		}
		if n, want := l.made.Load(), int64(min(maxRestores, goruntime.GOMAXPROCS(0))); n != want {
			t.Errorf("%d fetchers for %d restores, want %d", n, len(all), want)
		}
		for _, sh := range all {
			if sh.sf.users > 2*maxRestores/len(s.shares.list)+1 {
				t.Errorf("one fetcher has %d of %d restores", sh.sf.users, len(all))
			}
			sh.close()
		}
	})
}

// Each restore reads its own partitions, all of them once and in order, also
// when its queue was full meanwhile, and while another one reads nothing.
func TestSharesPause(t *testing.T) {
	sharing(t, func(t *testing.T, s *session, l *endlessLog) {
		slow := s.mustShare(t)
		slow.set(t.Context(), map[record.TopicPartition]int64{tpOf(0): 100})
		synctest.Wait()
		if n := l.polls.Load(); n != shareBytes>>20 {
			t.Errorf("%d MiB were read for a restore that takes nothing, want %d", n, shareBytes>>20)
		}
		// On the same fetcher, however many there may be.
		quick := &share{sf: slow.sf, release: func() {}, parts: make(map[record.TopicPartition]struct{}), ready: make(chan struct{}, 1)}
		quick.set(t.Context(), map[record.TopicPartition]int64{tpOf(1): 7})
		const n = 5 * (shareBytes >> 20)
		if got := offsets(t, quick, tpOf(1), n); !slices.Equal(got[:n], from(7, n)) {
			t.Errorf("the quick restore read %v", got)
		}
		quick.close()
		if got := offsets(t, slow, tpOf(0), n); !slices.Equal(got[:n], from(100, n)) {
			t.Errorf("the slow restore read %v", got)
		}
		slow.close()
		synctest.Wait()
		at := l.polls.Load()
		synctest.Wait()
		if l.polls.Load() != at || len(slow.sf.owner) != 0 {
			t.Error("it reads on for restores that are over")
		}
	})
}

// After set, nothing comes that was read before, and a full queue that set has
// emptied fills again.
func TestSharesMove(t *testing.T) {
	sharing(t, func(t *testing.T, s *session, _ *endlessLog) {
		sh := s.mustShare(t)
		sh.set(t.Context(), map[record.TopicPartition]int64{tpOf(0): 0, tpOf(1): 0})
		synctest.Wait() // full
		sh.set(t.Context(), map[record.TopicPartition]int64{tpOf(0): 1000})
		sh.remove(tpOf(1))
		synctest.Wait()
		if sh.mu.Lock(); sh.bytes > 2*shareBytes {
			t.Errorf("%d bytes wait for a restore that moved, more than twice %d", sh.bytes, shareBytes)
		}
		sh.mu.Unlock()
		next := int64(1000)
		for next < 1000+3*(shareBytes>>20) {
			for _, b := range sh.poll(t.Context()) {
				switch {
				case b.TP == tpOf(0) && b.Records[0].Offset != next:
					t.Fatalf("read offset %d, want %d", b.Records[0].Offset, next)
				case b.TP == tpOf(0):
					next = b.Next
				}
			}
		}
		sh.close()
	})
}
