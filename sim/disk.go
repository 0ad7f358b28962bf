package sim

import (
	"fmt"
	"iter"
	"slices"

	"github.com/weirstream/weir/core/store"
)

// A disk is the store of one worker. It outlives the worker's crashes, unless
// a test takes it away.
type disk struct {
	spaces map[store.Space]*space
	order  []store.Space
	err    error // of every Apply, when set
}

var _ store.Store = (*disk)(nil)

func newDisk() *disk { return &disk{spaces: make(map[store.Space]*space)} }

// A space is one partition of one table.
type space struct {
	id     store.Space
	gen    store.Generation
	open   bool
	pos    store.Position
	data   map[string][]byte
	keys   []string // in order, unless stale
	stale  bool
	broken bool // reads fail with store.ErrCorrupt
}

// Open makes a space ready for a generation.
func (d *disk) Open(id store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s := d.spaces[id]
	if s == nil {
		s = &space{id: id, data: make(map[string][]byte)}
		d.spaces[id] = s
		d.order = append(d.order, id)
	}
	if gen < s.gen {
		return nil, store.Position{}, fmt.Errorf("%s: generation %d, owned by %d: %w", id, gen, s.gen, store.ErrFenced)
	}
	s.gen, s.open = gen, true
	return &reader{s, gen}, s.pos, nil
}

// owned returns an open space of that generation.
func (d *disk) owned(id store.Space, gen store.Generation) (*space, error) {
	s := d.spaces[id]
	switch {
	case s == nil || !s.open:
		return nil, fmt.Errorf("%s: %w", id, store.ErrClosed)
	case gen != s.gen:
		return nil, fmt.Errorf("%s: generation %d, owned by %d: %w", id, gen, s.gen, store.ErrFenced)
	}
	return s, nil
}

// Apply writes a batch, all of it or nothing.
func (d *disk) Apply(b *store.Batch) error {
	if d.err != nil {
		return d.err
	}
	for _, p := range b.Parts() {
		if _, err := d.owned(p.Space, p.Generation); err != nil {
			return err
		}
	}
	for _, p := range b.Parts() {
		s := d.spaces[p.Space]
		for _, op := range p.Ops {
			s.write(op)
		}
		if p.Position.Exists {
			s.pos = p.Position
			s.pos.Inputs = slices.Clone(p.Position.Inputs)
		}
	}
	return nil
}

func (s *space) write(op store.Op) {
	if op.Value == nil {
		if _, ok := s.data[string(op.Key)]; ok {
			delete(s.data, string(op.Key))
			s.stale = true
		}
		return
	}
	if _, ok := s.data[string(op.Key)]; !ok {
		s.stale = true
	}
	s.data[string(op.Key)] = append(make([]byte, 0, len(op.Value)), op.Value...)
}

// Drop empties a space.
func (d *disk) Drop(id store.Space, gen store.Generation) error {
	s, err := d.owned(id, gen)
	if err != nil {
		return err
	}
	clear(s.data)
	s.pos, s.stale, s.broken = store.Position{}, true, false
	return nil
}

// Release gives a space up.
func (d *disk) Release(id store.Space, gen store.Generation) error {
	if s, err := d.owned(id, gen); err == nil {
		s.open = false
	}
	return nil
}

// Flush does nothing: only processes crash here.
func (d *disk) Flush() error { return nil }

// Close closes all spaces.
func (d *disk) Close() error {
	d.crash()
	return nil
}

// crash leaves what was applied and nothing open.
func (d *disk) crash() {
	for _, id := range d.order {
		d.spaces[id].open = false
	}
}

// sorted returns the keys in order.
func (s *space) sorted() []string {
	if s.stale {
		s.keys = make([]string, 0, len(s.data))
		for k := range s.data {
			s.keys = append(s.keys, k)
		}
		slices.Sort(s.keys)
		s.stale = false
	}
	return s.keys
}

// A reader reads a space for one generation.
type reader struct {
	s   *space
	gen store.Generation
}

func (r *reader) check() error {
	switch {
	case !r.s.open || r.s.gen != r.gen:
		return fmt.Errorf("%s: %w", r.s.id, store.ErrClosed)
	case r.s.broken:
		return fmt.Errorf("%s: %w", r.s.id, store.ErrCorrupt)
	}
	return nil
}

// Get appends the value of a key to dst.
func (r *reader) Get(key, dst []byte) ([]byte, bool, error) {
	if err := r.check(); err != nil {
		return dst, false, err
	}
	v, ok := r.s.data[string(key)]
	return append(dst, v...), ok, nil
}

// Scan yields the entries with from <= key < to in order.
func (r *reader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		if err := r.check(); err != nil {
			yield(store.Entry{}, err)
			return
		}
		keys := r.s.sorted()
		i, _ := slices.BinarySearch(keys, string(from))
		for _, k := range keys[i:] {
			if to != nil && k >= string(to) {
				return
			}
			if !yield(store.Entry{Key: []byte(k), Value: r.s.data[k]}, nil) {
				return
			}
		}
	}
}
