package runtime

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// shortestSweep is how often a store is swept at most.
const shortestSweep = time.Second

// sweepEvery is how often a store is swept: a quarter of the time after which
// the state of a task that left is of no use any more. Zero means never.
func (s *session) sweepEvery() time.Duration {
	if _, ok := s.cfg.Store.(store.Lister); !ok {
		return 0
	}
	var least int64
	for _, sub := range s.cfg.Topology.Subs {
		for _, name := range sub.Stores() {
			if ms := s.keptFor(name); ms > 0 && (least == 0 || ms < least) {
				least = ms
			}
		}
	}
	if least == 0 {
		return 0
	}
	return max(time.Duration(least)*time.Millisecond/4, shortestSweep)
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
	here := s.spacesOf(s.following)
	for id := range s.laneOf {
		here = append(here, s.spacesOf([]task.ID{id})...)
	}
	s.mu.Unlock()
	for _, sp := range sortedSpaces(lister) {
		kept := s.keptFor(sp.Table)
		if kept == 0 || slices.Contains(here, sp) {
			continue // a global table, or one that is not of this application, or ours
		}
		if err := s.sweepSpace(sp, gen, now-kept); err != nil && !errors.Is(err, store.ErrFenced) {
			s.log.Warn("state that is not needed any more could not be removed; it is tried again", "space", sp.String(), "error", err)
			return
		}
	}
}

// sweepSpace drops a space that was last complete before a time.
func (s *session) sweepSpace(sp store.Space, gen store.Generation, before int64) error {
	_, pos, err := s.cfg.Store.Open(sp, gen)
	damaged := errors.Is(err, store.ErrCorrupt)
	if err != nil && !damaged {
		return err
	}
	if damaged || pos.Exists && pos.At < before {
		if err := s.cfg.Store.Drop(sp, gen); err != nil {
			return err
		}
		s.log.Info("removed state that is too old to be used again", "space", sp.String())
		if sub := s.subWith(sp.Table); sub != nil {
			s.assignor.forget(task.ID{Sub: sub.Name, Partition: sp.Partition})
		}
	}
	return s.cfg.Store.Release(sp, gen)
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
	for _, sp := range sortedSpaces(lister) {
		sub := s.subWith(sp.Table)
		if sub == nil {
			continue
		}
		_, pos, err := s.cfg.Store.Open(sp, gen)
		if err != nil {
			continue // opening the task will say what is wrong
		}
		if kept := s.keptFor(sp.Table); pos.Exists && (kept == 0 || now-pos.At <= kept) {
			found[task.ID{Sub: sub.Name, Partition: sp.Partition}]++
		}
		if err := s.cfg.Store.Release(sp, gen); err != nil {
			s.log.Warn("releasing a space failed", "space", sp.String(), "error", err)
		}
	}
	var ids []task.ID
	for _, sub := range s.cfg.Topology.Subs {
		for id, n := range found {
			if id.Sub == sub.Name && n == len(sub.Stores()) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, task.ID.Compare)
	return ids
}

// subWith is the sub-topology that keeps state under a name, or nil.
func (s *session) subWith(table string) *topology.Sub {
	for _, sub := range s.cfg.Topology.Subs {
		if slices.Contains(sub.Stores(), table) {
			return sub
		}
	}
	return nil
}

func sortedSpaces(l store.Lister) []store.Space {
	spaces := l.Spaces()
	slices.SortFunc(spaces, func(a, b store.Space) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Partition, b.Partition))
	})
	return spaces
}

// spacesOf lists the spaces of tasks.
func (s *session) spacesOf(ids []task.ID) []store.Space {
	var spaces []store.Space
	for _, sub := range s.cfg.Topology.Subs {
		for _, id := range ids {
			if id.Sub != sub.Name {
				continue
			}
			for _, name := range sub.Stores() {
				spaces = append(spaces, spaceOf(name, id))
			}
		}
	}
	return spaces
}
