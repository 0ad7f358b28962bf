package memory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/RaduBerinde/btreemap"

	"github.com/weirstream/weir/core/store"
)

// degree of the trees: wide nodes, because a step between nodes misses the
// processor's cache and a comparison inside one mostly does not.
const degree = 32

// A Store keeps spaces in memory. Its methods may be called from several
// goroutines at once.
type Store struct {
	mu     sync.RWMutex // held for writing by what changes ownership
	fence  store.Fence
	spaces map[store.Space]*space
	closed bool
}

var _ store.Lister = (*Store)(nil)

type tree = btreemap.BTreeMap[string, []byte]

// A space is the data of one partition of one table. Keys are found in a map;
// many tables are never scanned, so the order of keys is made by the first
// scan and kept from then on.
type space struct {
	mu       sync.RWMutex
	items    map[string]*item
	ordered  *tree // nil until the first scan
	position store.Position
	reader   *reader // of the present owner, or nil
}

// An item is one entry. Once keys are ordered, scans share its value with
// it, and the value is not written to again but replaced.
type item struct {
	key   string
	value []byte
}

// New returns an empty store.
func New() *Store { return &Store{spaces: make(map[store.Space]*space)} }

// Spaces implements store.Lister.
func (s *Store) Spaces() []store.Space {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.spaces))
}

// InHeap reports that everything is in the Go heap.
func (s *Store) InHeap() bool { return true }

func newSpace() *space { return &space{items: make(map[string]*item)} }

// Open implements store.Store.
func (s *Store) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.Position{}, fmt.Errorf("opening %s: %w", sp, store.ErrClosed)
	}
	changed, err := s.fence.Open(sp, gen)
	if err != nil {
		return nil, store.Position{}, err
	}
	p := s.spaces[sp]
	if p == nil {
		p = newSpace()
		s.spaces[sp] = p
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if changed {
		p.end(fmt.Errorf("reading %s: %w", sp, store.ErrFenced))
		p.reader = &reader{space: p, name: sp}
	}
	return p.reader, clonePosition(p.position), nil
}

// end makes the present reader fail. The space's lock is held.
func (p *space) end(why error) {
	if p.reader != nil {
		p.reader.ended, p.reader = why, nil
	}
}

// Apply implements store.Store.
func (s *Store) Apply(b *store.Batch) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("applying a batch: %w", store.ErrClosed)
	}
	parts := b.Parts()
	for i := range parts {
		if err := s.fence.Check(parts[i].Space, parts[i].Generation); err != nil {
			return err
		}
	}
	for i := range parts {
		s.spaces[parts[i].Space].apply(&parts[i])
	}
	return nil
}

func (p *space) apply(part *store.Part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, op := range part.Ops {
		if op.Value == nil {
			p.delete(op.Key)
		} else {
			p.put(op.Key, op.Value)
		}
	}
	if part.Position.Exists {
		p.position = clonePosition(part.Position)
	}
}

func (p *space) put(key, value []byte) {
	it := p.items[string(key)]
	if it == nil {
		it = &item{key: string(key)}
		p.items[it.key] = it
	}
	if p.ordered == nil {
		it.value = append(it.value[:0], value...)
		return
	}
	it.value = append([]byte(nil), value...)
	p.ordered.ReplaceOrInsert(it.key, it.value)
}

func (p *space) delete(key []byte) {
	delete(p.items, string(key))
	if p.ordered != nil {
		p.ordered.Delete(string(key))
	}
}

// inOrder returns the entries as they are now, in a tree of the caller's own.
// The space's lock is held for writing: cloning marks nodes as shared.
func (p *space) inOrder() *tree {
	if p.ordered == nil {
		p.ordered = btreemap.New[string, []byte](degree, strings.Compare)
		for _, it := range p.items {
			p.ordered.ReplaceOrInsert(it.key, it.value)
		}
	}
	return p.ordered.Clone()
}

// Drop implements store.Store.
func (s *Store) Drop(sp store.Space, gen store.Generation) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("dropping %s: %w", sp, store.ErrClosed)
	}
	if err := s.fence.Check(sp, gen); err != nil {
		return err
	}
	p := s.spaces[sp]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.items, p.ordered, p.position = make(map[string]*item), nil, store.Position{}
	return nil
}

// Release implements store.Store.
func (s *Store) Release(sp store.Space, gen store.Generation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.fence.Release(sp, gen) {
		return nil
	}
	p := s.spaces[sp]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(fmt.Errorf("reading %s: %w", sp, store.ErrClosed))
	return nil
}

// Flush implements store.Store. Nothing here survives the process, so there
// is nothing to do but to say whether the store is open.
func (s *Store) Flush() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("flushing: %w", store.ErrClosed)
	}
	return nil
}

// Close implements store.Store. What was held is gone.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for sp, p := range s.spaces {
		p.mu.Lock()
		p.end(fmt.Errorf("reading %s: %w", sp, store.ErrClosed))
		p.mu.Unlock()
	}
	s.spaces = nil
	return nil
}

// Snapshot returns a new store with the data and positions of this one as of
// now, as if the process had crashed and a disk had kept all: nothing is open
// and no generation is known. Later writes to either do not show in the
// other, and a batch is in it as a whole or not at all.
func (s *Store) Snapshot() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := New()
	for sp, p := range s.spaces {
		c.spaces[sp] = p.copy()
	}
	return c
}

func (p *space) copy() *space {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := newSpace()
	c.position = clonePosition(p.position)
	for k, it := range p.items {
		c.items[k] = &item{key: k, value: slices.Clone(it.value)}
	}
	return c
}

func clonePosition(p store.Position) store.Position {
	p.Inputs = append([]store.InputOffset(nil), p.Inputs...)
	return p
}
