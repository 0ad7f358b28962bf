// Package split keeps tables in several stores, each table in one of them.
//
// A batch over tables of several stores is one atomic write in each of them,
// not over all. That loses nothing: a space and its position are always from
// the same write, a batch is applied only when the transaction that it belongs
// to is committed, and every space is restored from its own position. After a
// crash between two stores the spaces of one are behind, and their changelogs
// supply what is missing before the task goes on.
package split

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/weirstream/weir/core/store"
)

// A Config says what a split store consists of.
type Config struct {
	// Stores are the stores by name. The split store closes them. Required.
	Stores map[string]store.Store
	// Default names the store of tables that Tables does not name. Required.
	Default string
	// Tables names the store of each table that has one of its own.
	Tables map[string]string
}

// A Store routes each space to a store by the name of its table. Its methods
// may be called from several goroutines at once.
type Store struct {
	cfg    Config
	names  []string
	mu     sync.RWMutex // held for reading by Apply, for writing by what changes ownership
	fence  store.Fence  // so that a batch is refused before any store wrote a part of it
	closed bool
}

var (
	_ store.Router = (*Store)(nil)
	_ store.Lister = (*Store)(nil)
	_ store.Meter  = (*Store)(nil)
)

// New returns a split store, or all mistakes in cfg at once.
func New(cfg Config) (*Store, error) {
	var errs []error
	has := func(name, who string) {
		if cfg.Stores[name] == nil {
			errs = append(errs, fmt.Errorf("split.Config: %s is in store %q, which is not among Stores", who, name))
		}
	}
	has(cfg.Default, "Default")
	for _, table := range slices.Sorted(maps.Keys(cfg.Tables)) {
		has(cfg.Tables[table], fmt.Sprintf("table %q", table))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.Stores, cfg.Tables = maps.Clone(cfg.Stores), maps.Clone(cfg.Tables)
	return &Store{cfg: cfg, names: slices.Sorted(maps.Keys(cfg.Stores))}, nil
}

func (s *Store) name(sp store.Space) string {
	if name, ok := s.cfg.Tables[sp.Table]; ok {
		return name
	}
	return s.cfg.Default
}

// For implements store.Router.
func (s *Store) For(sp store.Space) store.Store { return s.cfg.Stores[s.name(sp)] }

// Open implements store.Store.
func (s *Store) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	r, pos, err := s.For(sp).Open(sp, gen) // may take long
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || errors.Is(err, store.ErrCorrupt) { // then it is open, too
		if _, fenced := s.fence.Open(sp, gen); fenced != nil {
			return nil, store.Position{}, fenced
		}
	}
	return r, pos, err
}

// Apply implements store.Store: it writes the parts of each store atomically,
// one store after the other in the order of their names.
func (s *Store) Apply(b *store.Batch) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("applying a batch: %w", store.ErrClosed)
	}
	for i := range b.Parts() {
		if err := s.fence.Check(b.Parts()[i].Space, b.Parts()[i].Generation); err != nil {
			return err
		}
	}
	if only, ok := s.only(b); ok {
		return s.cfg.Stores[only].Apply(b)
	}
	for _, name := range s.names {
		if err := s.applyTo(name, b); err != nil {
			return err
		}
	}
	return nil
}

// only names the store of all parts, if it is one.
func (s *Store) only(b *store.Batch) (string, bool) {
	name := s.cfg.Default
	for i := range b.Parts() {
		n := s.name(b.Parts()[i].Space)
		if i > 0 && n != name {
			return "", false
		}
		name = n
	}
	return name, true
}

// applyTo applies the parts of one store.
func (s *Store) applyTo(name string, b *store.Batch) error {
	var share store.Batch
	for i := range b.Parts() {
		p := &b.Parts()[i]
		if s.name(p.Space) != name {
			continue
		}
		to := share.Part(p.Space, p.Generation)
		// The bytes stay those of the batch at hand, which outlives this one.
		to.Ops = append(to.Ops, p.Ops...)
		to.Position = p.Position
	}
	if len(share.Parts()) == 0 {
		return nil
	}
	return s.cfg.Stores[name].Apply(&share)
}

// Drop implements store.Store.
func (s *Store) Drop(sp store.Space, gen store.Generation) error { return s.For(sp).Drop(sp, gen) }

// Release implements store.Store.
func (s *Store) Release(sp store.Space, gen store.Generation) error {
	s.mu.Lock()
	s.fence.Release(sp, gen)
	s.mu.Unlock()
	return s.For(sp).Release(sp, gen)
}

// Flush implements store.Store.
func (s *Store) Flush() error { return s.each(store.Store.Flush) }

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.each(store.Store.Close)
}

func (s *Store) each(do func(store.Store) error) error {
	var errs []error
	for _, name := range s.names {
		if err := do(s.cfg.Stores[name]); err != nil {
			errs = append(errs, fmt.Errorf("store %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Spaces implements store.Lister, as far as the stores do.
func (s *Store) Spaces() []store.Space {
	var spaces []store.Space
	for _, name := range s.names {
		l, ok := s.cfg.Stores[name].(store.Lister)
		if !ok {
			continue
		}
		for _, sp := range l.Spaces() {
			if s.name(sp) == name {
				spaces = append(spaces, sp)
			}
		}
	}
	return spaces
}

// Shared reports whether some of the spaces are those of all workers.
func (s *Store) Shared() bool {
	return slices.ContainsFunc(s.names, func(name string) bool { return store.Shared(s.cfg.Stores[name]) })
}

// Metrics implements store.Meter: the numbers of all stores, each with the
// name of its store in front.
func (s *Store) Metrics() []store.Metric {
	var ms []store.Metric
	for _, name := range s.names {
		m, ok := s.cfg.Stores[name].(store.Meter)
		if !ok {
			continue
		}
		for _, metric := range m.Metrics() {
			metric.Name = name + "_" + metric.Name
			ms = append(ms, metric)
		}
	}
	return ms
}
