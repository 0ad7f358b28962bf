package conformance_test

import (
	"errors"
	"iter"
	"sync"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
)

// A mutation changes what one call of a store does. A nil field changes
// nothing.
type mutation struct {
	open   func(s *mutant, sp store.Space, gen store.Generation) (store.Reader, store.Position, error)
	apply  func(s *mutant, b *store.Batch) error
	drop   func(s *mutant, sp store.Space, gen store.Generation) error
	close  func(s *mutant) error
	reader func(s *mutant, r store.Reader) store.Reader
}

// A mutant is a store in memory on a disk that keeps every write at once,
// with a mutation. Without one it is right in every respect.
type mutant struct {
	*memory.Store

	disk *memoryDisk
	does mutation

	mu     sync.Mutex
	newest map[store.Space]store.Generation
	held   *store.Batch
	before *memory.Store // the last batch
}

func (s *mutant) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	open := (*mutant).openInner
	if s.does.open != nil {
		open = s.does.open
	}
	r, pos, err := open(s, sp, gen)
	if err == nil && s.does.reader != nil {
		r = s.does.reader(s, r)
	}
	return r, pos, err
}

func (s *mutant) openInner(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.mu.Lock()
	s.newest[sp] = max(s.newest[sp], gen)
	s.mu.Unlock()
	return s.Store.Open(sp, gen)
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
	if s.does.drop != nil {
		return s.does.drop(s, sp, gen)
	}
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
			d.open = &mutant{Store: d.kept.Snapshot(), disk: d, does: d.does, newest: make(map[store.Space]store.Generation)}
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

// rewrite returns a batch in which change made each part anew.
func rewrite(b *store.Batch, change func(from store.Part, to *store.Part)) *store.Batch {
	var out store.Batch
	for _, p := range b.Parts() {
		change(p, out.Part(p.Space, p.Generation))
	}
	return &out
}

func copyOps(from store.Part, to *store.Part, keep func(op store.Op) bool) {
	for _, op := range from.Ops {
		switch {
		case !keep(op):
		case op.Value == nil:
			to.Delete(op.Key)
		default:
			to.Put(op.Key, op.Value)
		}
	}
}

// A scanner replaces what a reader scans or gets.
type scanner struct {
	store.Reader

	scan func(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error]
	get  func(r store.Reader, key, dst []byte) ([]byte, bool, error)
}

func (s scanner) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	if s.scan == nil {
		return s.Reader.Scan(from, to)
	}
	return s.scan(s.Reader, from, to)
}

func (s scanner) Get(key, dst []byte) ([]byte, bool, error) {
	if s.get == nil {
		return s.Reader.Get(key, dst)
	}
	return s.get(s.Reader, key, dst)
}
