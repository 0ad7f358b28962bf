package sim

import (
	"errors"
	"strconv"
	"testing"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/pebble"
)

// The store is at 50 and the log goes on to 100: only the rest is applied.
// The task moves away in the middle of that: the other worker starts cleanly.
func TestScenario39RestoreTheRest(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(3))
	s.cfg.restoreRecords = 5
	s.Move("in", 0, 0)
	s.Run()
	keyed := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			Send(s, b.in, strconv.Itoa(i), 0)
		}
		s.Settle()
	}
	keyed(0, 50)
	s.Move("in", 0, 1)
	keyed(50, 100)
	before := s.stats.Restored

	s.Move("in", 0, 0) // its disk has the first 50
	for s.stats.Restored == before && s.step() {
	}
	if got := s.stats.Restored - before; got != 5 {
		t.Fatalf("the first restore batch applied %d records, want 5", got)
	}
	s.Move("in", 0, 2) // in the middle of the restore
	s.Run()
	if got := s.stats.Restored - before; got > 5+100 || s.Owner("in", 0) != 2 {
		t.Errorf("%d records were restored and worker %d owns the task", got, s.Owner("in", 0))
	}
	before = s.stats.Restored
	s.Move("in", 0, 0)
	keyed(100, 101)
	if got := s.stats.Restored - before; got != 45 {
		t.Errorf("%d records were restored, want the 45 that were missing", got)
	}
	wantTotal(t, s, b.counts, 101)
}

// The store's position is beyond the log, which was made anew, or the log is
// empty, or compacted: the space is rebuilt and the worker goes on.
func TestScenario40PositionBeyondLog(t *testing.T) {
	t.Parallel()
	type scenario struct {
		name    string
		trouble func(s *App, log *partition)
		total   int64 // counted in the end
		rebuilt int
	}
	for _, tt := range []scenario{
		{"position beyond a log made anew", func(_ *App, log *partition) {
			log.renew()
			log.append([]record.Record{{Key: []byte("k0"), Value: []byte("\x80\x00\x00\x00\x00\x00\x00\x05")}}, nil)
		}, 5 + 1, 1},
		{"log made anew that has grown past the position", func(_ *App, log *partition) {
			log.renew()
			for range 50 {
				log.append([]record.Record{{Key: []byte("k0"), Value: []byte("\x80\x00\x00\x00\x00\x00\x00\x05")}}, nil)
			}
		}, 5 + 1, 1},
		{"empty log", func(_ *App, log *partition) { log.renew() }, 1, 1},
		{"compacted log", func(s *App, log *partition) { s.Compact(log.tp.Topic, true) }, 20 + 1, 0},
		{"log that begins later", func(s *App, log *partition) {
			s.workers[0].disk.spaces[store.Space{Table: "counts"}].pos.Changelog = 1
			log.start = 2
		}, -1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.counting()
			s := New(t, b.app)
			b.send(s, 0, 20)
			s.Settle()
			s.Crash(0)
			tt.trouble(s, s.broker.topics["bench-counts-changelog"][0])
			s.Restart(0, KeepDisk)
			b.send(s, 20, 21)
			s.Settle()
			wantCommitted(t, s, 21)
			if tt.total >= 0 {
				wantTotal(t, s, b.counts, tt.total)
			}
			if s.stats.Rebuilt != tt.rebuilt {
				t.Errorf("%d spaces were rebuilt, want %d", s.stats.Rebuilt, tt.rebuilt)
			}
		})
	}
}

// The directory of a store is locked by another process, which lets it go: the
// next attempt opens it, with what it held.
func TestScenario41LockedStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := pebble.Open(pebble.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := store.Space{Table: "table"}
	if _, _, err := first.Open(id, 1); err != nil {
		t.Fatal(err)
	}
	var batch store.Batch
	part := batch.Part(id, 1)
	part.Put([]byte("k"), []byte("v"))
	part.Position = store.Position{Changelog: 3, Exists: true}
	if err := first.Apply(&batch); err != nil {
		t.Fatal(err)
	}
	attempts := 0
	open := func() (*pebble.Store, error) {
		attempts++
		if attempts == 2 {
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return pebble.Open(pebble.Config{Dir: dir})
	}
	second, err := open()
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("opening a locked store gave %v, want ErrLocked", err)
	}
	if second, err = open(); err != nil {
		t.Fatalf("opening it after it was let go: %v", err)
	}
	defer func() {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, pos, err := second.Open(id, 2)
	if err != nil || pos.Changelog != 3 {
		t.Fatalf("position is %+v (%v)", pos, err)
	}
	if v, ok, err := r.Get([]byte("k"), nil); string(v) != "v" || !ok || err != nil {
		t.Errorf("the store holds %q (%v, %v)", v, ok, err)
	}
}

// The owner dies. Nobody has a standby, but a worker has an older copy of the
// state on its disk: it takes over and replays only what it does not have.
func TestOlderCopyTakesOver(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(2))
	s.Move("in", 0, 1)
	s.Run()
	for i := range 40 {
		Send(s, b.in, strconv.Itoa(i), 0)
	}
	s.Settle()
	s.Move("in", 0, 0) // worker 1 keeps its copy
	s.Run()
	for i := range 7 {
		Send(s, b.in, strconv.Itoa(i), 1)
	}
	s.Settle()
	before := s.stats.Restored
	s.Crash(0)
	Send(s, b.in, "0", 2)
	s.Settle() // the session of worker 0 ends
	if s.Owner("in", 0) != 1 {
		t.Fatalf("worker %d owns the task", s.Owner("in", 0))
	}
	if got := s.stats.Restored - before; got != 7 {
		t.Errorf("%d records were replayed, want the 7 that the copy did not have", got)
	}
	wantTotal(t, s, b.counts, 48)
	if len(b.seen) != 48 {
		t.Errorf("%d records were handled, want 48", len(b.seen))
	}
}
