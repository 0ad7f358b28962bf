package runtime

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// shortestSweep is how often a store is swept at most.
const shortestSweep = time.Second

// sweepEvery is how often a store is swept. Zero means never.
func (s *session) sweepEvery() time.Duration {
	every := s.refreshEvery()
	if _, ok := s.cfg.Store.(store.Lister); !ok || every == 0 {
		return 0
	}
	return max(every, shortestSweep)
}

// refreshEvery is a quarter of the time after which state that nobody kept up to
// date is of no use any more. Zero means that there is no such time.
func (s *session) refreshEvery() time.Duration {
	var least int64
	for _, sub := range s.cfg.Topology.Subs {
		for _, name := range sub.Stores() {
			if ms := s.keptFor(name); ms > 0 && (least == 0 || ms < least) {
				least = ms
			}
		}
	}
	return refreshOf(least)
}

// refreshOf is a quarter of the time for which deletions are kept, in
// milliseconds.
func refreshOf(kept int64) time.Duration {
	if kept == 0 {
		return 0
	}
	return max(time.Duration(kept)*time.Millisecond/4, 100*time.Millisecond)
}

// keptFor is how long deletions stay in the changelog of a table, in
// milliseconds; zero when that is not known.
func (s *session) keptFor(table string) int64 {
	return s.tombstones[topology.ChangelogTopic(s.cfg.Topology.App, table)]
}

// sweeps sweeps the store again and again until ctx ends.
func (s *session) sweeps(ctx context.Context) {
	every := s.sweepEvery()
	if every == 0 {
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.sweep(nowMillis())
		case <-ctx.Done():
			return
		}
	}
}

// sweep drops what the store keeps of tasks that are not here, neither active
// nor as standbys, and that is too old to be of use: when such a task comes
// back, its space is rebuilt anyway (changelog.NewPlan).
//
// The generation is drawn together with the list of what is here. A task that
// comes later has a newer one, which fences this one.
func (s *session) sweep(now int64) {
	lister, ok := s.cfg.Store.(store.Lister)
	if !ok {
		return
	}
	s.mu.Lock()
	gen := s.nextGeneration()
	here := make(map[task.ID]bool)
	for _, id := range s.following {
		here[id] = true
	}
	for id := range s.laneOf {
		here[id] = true
	}
	s.mu.Unlock()
	for _, sp := range sortedSpaces(lister) {
		id, _, ok := s.taskWith(sp)
		kept := s.keptFor(sp.Table)
		if !ok || kept == 0 || here[id] {
			continue // of a global table, or not of this application, or ours
		}
		dropped, err := s.sweepSpace(sp, gen, now, kept)
		if dropped {
			s.assignor.forget(id)
		}
		if err != nil && !errors.Is(err, store.ErrFenced) {
			s.log.Warn("state that is not needed any more could not be removed; it is tried again", "space", sp.String(), "error", err)
			return
		}
	}
}

// sweepSpace drops a space that has outlived the deletions of its changelog, which
// are kept for that long, and reports whether it did.
func (s *session) sweepSpace(sp store.Space, gen store.Generation, now, kept int64) (dropped bool, err error) {
	_, pos, err := s.cfg.Store.Open(sp, gen)
	damaged := errors.Is(err, store.ErrCorrupt)
	if err != nil && !damaged {
		return false, err
	}
	if damaged || pos.Exists && changelog.Forgotten(pos.At, now, kept) {
		if err := s.cfg.Store.Drop(sp, gen); err != nil {
			return false, err
		}
		s.log.Info("removed state that is too old to be used again", "space", sp.String())
		dropped = true
	}
	return dropped, s.cfg.Store.Release(sp, gen)
}

// onDisk lists the tasks whose state the store keeps and can use: the group
// gives them back to this worker after a restart, as far as balance allows.
// Nothing is assigned yet, so nobody else has the spaces open.
func (s *session) onDisk(now int64) []task.ID {
	lister, ok := s.cfg.Store.(store.Lister)
	if !ok {
		return nil
	}
	s.mu.Lock()
	gen := s.nextGeneration()
	s.mu.Unlock()
	found := make(map[task.ID]int)
	var ids []task.ID
	for _, sp := range sortedSpaces(lister) {
		id, sub, ok := s.taskWith(sp)
		if !ok {
			continue
		}
		_, pos, err := s.cfg.Store.Open(sp, gen)
		if err != nil {
			continue // opening the task will say what is wrong
		}
		if pos.Exists && !changelog.Forgotten(pos.At, now, s.keptFor(sp.Table)) {
			if found[id]++; found[id] == len(sub.Stores()) {
				ids = append(ids, id)
			}
		}
		if err := s.cfg.Store.Release(sp, gen); err != nil {
			s.log.Warn("releasing a space failed", "space", sp.String(), "error", err)
		}
	}
	slices.SortFunc(ids, task.ID.Compare)
	return ids
}

// taskWith is the task that keeps a space, and its sub-topology; ok is false for
// a space of a global table, or of a table that the application does not have.
func (s *session) taskWith(sp store.Space) (id task.ID, sub *topology.Sub, ok bool) {
	for _, sub := range s.cfg.Topology.Subs {
		if slices.Contains(sub.Stores(), sp.Table) {
			return task.ID{Sub: sub.Name, Partition: sp.Partition}, sub, true
		}
	}
	return task.ID{}, nil, false
}

func sortedSpaces(l store.Lister) []store.Space {
	spaces := l.Spaces()
	slices.SortFunc(spaces, func(a, b store.Space) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Partition, b.Partition))
	})
	return spaces
}
