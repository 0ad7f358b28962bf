package conformance_test

import (
	"errors"
	"sync"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
)

// A mutation changes what one call of a store does. A nil field changes
// nothing.
type mutation struct {
	apply func(s *mutant, b *store.Batch) error
	close func(s *mutant) error
}

// A mutant is a store in memory on a disk that keeps every write at once,
// with a mutation. Without one it is right in every respect.
type mutant struct {
	*memory.Store

	disk   *memoryDisk
	does   mutation
	held   *store.Batch
	before *memory.Store // the last batch

	damaged map[store.Space]bool // by a restart; guarded by disk.mu
}

// Open finds what a restart did while the store was open.
func (s *mutant) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	if _, err := s.disk.reach(false); err != nil {
		return nil, store.Position{}, err
	}
	r, pos, err := s.Store.Open(sp, gen)
	if err == nil && s.isDamaged(sp) {
		return nil, store.Position{}, store.ErrCorrupt
	}
	return r, pos, err
}

func (s *mutant) isDamaged(sp store.Space) bool {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.damaged[sp]
}

func (s *mutant) Apply(b *store.Batch) error {
	if s.does.apply != nil {
		return s.does.apply(s, b)
	}
	return s.write(b)
}

// write is one write to the disk.
func (s *mutant) write(b *store.Batch) error {
	for _, p := range b.Parts() {
		if s.isDamaged(p.Space) {
			return store.ErrCorrupt
		}
	}
	return s.change(func() error { return s.Store.Apply(b) })
}

func (s *mutant) Drop(sp store.Space, gen store.Generation) error {
	return s.change(func() error {
		s.disk.mu.Lock()
		delete(s.damaged, sp)
		s.disk.mu.Unlock()
		return s.Store.Drop(sp, gen)
	})
}

// change is one write. Its answer may be lost, whether it happens or not.
func (s *mutant) change(do func() error) error {
	s.disk.writing()
	applied, lost := s.disk.reach(true)
	if !applied {
		return lost
	}
	err := do()
	s.disk.remember(s)
	return errors.Join(err, lost)
}

func (s *mutant) Close() error {
	if s.does.close != nil {
		return s.does.close(s)
	}
	return s.closeInner()
}

func (s *mutant) closeInner() error {
	s.disk.closed(s)
	return s.Store.Close()
}

// A memoryDisk keeps what its store holds.
type memoryDisk struct {
	does  mutation
	keeps bool // what was there after each write, for restarts

	mu     sync.Mutex
	kept   *memory.Store
	older  []*memory.Store
	open   *mutant
	before func()

	loses  *conformance.LostAnswer
	writes int  // since it loses answers
	lost   bool // any
}

// reach says whether what comes now is carried out, and fails when its answer
// is lost.
func (d *memoryDisk) reach(write bool) (applied bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loses == nil {
		return true, nil
	}
	if write {
		d.writes++
	}
	if write && d.writes == d.loses.After+1 || d.lost && d.loses.Lasts {
		d.lost = true
		return d.loses.Applied, store.ErrUnavailable
	}
	return true, nil
}

func (d *memoryDisk) loseAnswer(l conformance.LostAnswer) (mend func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loses, d.writes, d.lost = &l, 0, false
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.loses = nil
		return d.lost
	}
}

// remember keeps what a restart may come back with.
func (d *memoryDisk) remember(s *mutant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keeps {
		d.older = append(d.older, s.Snapshot())
	}
}

// restart brings an earlier state, or none. What is open then is damaged.
func (d *memoryDisk) restart(seed uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := memory.New()
	if back := int(seed % 5); back < 4 && back < len(d.older) {
		left = d.older[len(d.older)-1-back]
	}
	if d.open == nil {
		d.kept = left
		return
	}
	for _, sp := range d.open.Spaces() {
		d.open.damaged[sp] = true
	}
}

func (d *memoryDisk) writing() {
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before != nil {
		before()
	}
}

func (d *memoryDisk) closed(s *mutant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == s {
		d.kept, d.open = s.Snapshot(), nil
	}
}

func (d *memoryDisk) place() conformance.StorePlace {
	return conformance.StorePlace{
		Open: func() (store.Store, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.open != nil {
				return nil, errors.New("open already")
			}
			d.open = &mutant{Store: d.kept.Snapshot(), disk: d, does: d.does, damaged: make(map[store.Space]bool)}
			return d.open, nil
		},
		OnWrite: func(before func()) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.before = before
		},
		Crash: func(uint64) conformance.StorePlace {
			d.mu.Lock()
			defer d.mu.Unlock()
			left := d.kept
			if d.open != nil {
				left = d.open.Snapshot()
			}
			return (&memoryDisk{does: d.does, kept: left}).place()
		},
		LoseAnswer: d.loseAnswer,
		Restart:    d.restart,
	}
}

// factory returns a factory of mutants.
func factory(does mutation) conformance.StoreFactory { return factoryOf(does, false) }

// serverFactory has disks that lose writes, for which they keep much.
func serverFactory(does mutation) conformance.StoreFactory {
	f := factoryOf(does, true)
	f.Can = append(f.Can, conformance.LosesWrites)
	return f
}

func factoryOf(does mutation, keeps bool) conformance.StoreFactory {
	return conformance.StoreFactory{
		Name: "mutant",
		New: func(conformance.TB) conformance.StorePlace {
			return (&memoryDisk{does: does, keeps: keeps, kept: memory.New()}).place()
		},
		Can: []conformance.Capability{conformance.Reopens, conformance.SurvivesPowerLoss, conformance.LosesAnswers},
	}
}
