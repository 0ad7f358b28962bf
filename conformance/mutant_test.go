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
}

func (s *mutant) Apply(b *store.Batch) error {
	if s.does.apply != nil {
		return s.does.apply(s, b)
	}
	return s.write(b)
}

// write is one write to the disk.
func (s *mutant) write(b *store.Batch) error {
	s.disk.writing()
	return s.Store.Apply(b)
}

func (s *mutant) Drop(sp store.Space, gen store.Generation) error {
	s.disk.writing()
	return s.Store.Drop(sp, gen)
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
	does mutation

	mu     sync.Mutex
	kept   *memory.Store
	open   *mutant
	before func()
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
			d.open = &mutant{Store: d.kept.Snapshot(), disk: d, does: d.does}
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
	}
}

// factory returns a factory of mutants.
func factory(does mutation) conformance.StoreFactory {
	return conformance.StoreFactory{
		Name: "mutant",
		New: func(conformance.TB) conformance.StorePlace {
			return (&memoryDisk{does: does, kept: memory.New()}).place()
		},
		Can: []conformance.Capability{conformance.Reopens, conformance.SurvivesPowerLoss},
	}
}
