package runtime

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/stores/memory"
)

const dayMillis = 24 * 60 * 60 * 1000

// sweeping is a session over a store with four spaces of one table: two that
// are here, one that left lately, one that left long ago; and a global one.
func sweeping(t *testing.T, now int64) (*session, *memory.Store) {
	t.Helper()
	st := memory.New()
	put := func(table string, partition int32, at int64) {
		sp := store.Space{Table: table, Partition: partition}
		if _, _, err := st.Open(sp, 1); err != nil {
			t.Fatal(err)
		}
		var b store.Batch
		p := b.Part(sp, 1)
		p.Put([]byte("k"), []byte("v"))
		p.Position = store.Position{Changelog: 1, At: at, Exists: true}
		if err := st.Apply(&b); err != nil {
			t.Fatal(err)
		}
		if err := st.Release(sp, 1); err != nil {
			t.Fatal(err)
		}
	}
	for partition, at := range []int64{0, 0, now - dayMillis, now - dayMillis - 1} {
		put("counts", int32(partition), at)
	}
	put("dims", 0, 0)
	top := &topology.Topology{App: "app", Subs: []*topology.Sub{{Name: "words", Tables: []*topology.Table{{Name: "counts"}}}}}
	s := &session{
		cfg: &Config{Store: st, Topology: top}, log: slog.New(slog.DiscardHandler),
		tombstones: map[string]int64{"app-counts-changelog": dayMillis},
		assignor:   newAssignor(top, 0),
		laneOf:     map[task.ID]*lane{{Sub: "words", Partition: 0}: nil},
		following:  []task.ID{{Sub: "words", Partition: 1}},
	}
	return s, st
}

// kept reports which spaces still hold something.
func kept(t *testing.T, st *memory.Store, gen store.Generation) (left []int32) {
	t.Helper()
	for partition := range int32(4) {
		_, pos, err := st.Open(store.Space{Table: "counts", Partition: partition}, gen)
		if err != nil {
			t.Fatal(err)
		}
		if pos.Exists {
			left = append(left, partition)
		}
	}
	if _, pos, err := st.Open(store.Space{Table: "dims"}, gen); err != nil || !pos.Exists {
		t.Errorf("a global table was swept: %+v, %v", pos, err)
	}
	return left
}

// What tasks left behind is removed once it is too old to be of use, and nothing
// that is here, as old as it may be.
func TestSweep(t *testing.T) {
	t.Parallel()
	now := nowMillis()
	s, st := sweeping(t, now)
	for partition := range int32(4) {
		s.assignor.note([]task.ID{{Sub: "words", Partition: partition}})
	}
	s.sweep(now)
	if left := kept(t, st, 1<<62); len(left) != 3 || left[2] != 2 {
		t.Errorf("%v are left, want 0 1 2", left)
	}
	if s.assignor.held[task.ID{Sub: "words", Partition: 3}] || len(s.assignor.held) != 3 {
		t.Errorf("the group is told of %v", s.assignor.held)
	}
}

// After a restart a worker tells the group of the tasks that it can go on with:
// all of whose state is there, and young enough.
func TestOnDisk(t *testing.T) {
	t.Parallel()
	now := nowMillis()
	s, _ := sweeping(t, now)
	s.laneOf, s.following = nil, nil
	if got := s.onDisk(now); len(got) != 1 || got[0] != (task.ID{Sub: "words", Partition: 2}) {
		t.Errorf("%v are on disk, want words/2 alone: the others are too old", got)
	}
	s.cfg.Topology.Subs[0].Timers = []*topology.Timer{{Name: "bell"}}
	if got := s.onDisk(now); len(got) != 0 {
		t.Errorf("%v are on disk without their timers", got)
	}
	s.sweep(now) // it left nothing open that would be in the way
}

// A task that came back meanwhile has a newer generation: its space is its own.
func TestSweepLosesAgainstAnAssignment(t *testing.T) {
	t.Parallel()
	now := nowMillis()
	s, st := sweeping(t, now)
	sp := store.Space{Table: "counts", Partition: 3}
	if _, _, err := st.Open(sp, 1<<62); err != nil {
		t.Fatal(err)
	}
	if dropped, err := s.sweepSpace(sp, s.nextGeneration(), now, 1); dropped || !errors.Is(err, store.ErrFenced) {
		t.Errorf("a space of a newer generation: dropped %t, %v; want %v", dropped, err, store.ErrFenced)
	}
	s.sweep(now)
	if left := kept(t, st, 1<<62); len(left) != 4 {
		t.Errorf("%v are left, want all", left)
	}
}

// The store is swept four times in the time that deletions are kept.
func TestSweepsNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := sweeping(t, nowMillis())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.sweeps(t.Context())
		}()
		time.Sleep(6*time.Hour - time.Second) //nolint:forbidigo // of virtual time
		synctest.Wait()
		if left := kept(t, st, 2); len(left) != 4 {
			t.Errorf("%v are left before the first sweep, want all", left)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // of virtual time
		synctest.Wait()
		if left := kept(t, st, 1<<62); len(left) != 2 {
			t.Errorf("%v are left after it, want 0 and 1", left)
		}
	})
}
