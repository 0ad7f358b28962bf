package worker_test

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/weirstream/weir/core/store"
)

// A disk is a store.Store's worth of behaviour in a map.
type disk struct {
	fence  store.Fence
	spaces map[store.Space]*diskSpace
}

type diskSpace struct {
	data    map[string]string
	pos     store.Position
	corrupt bool
	broken  error // what reads fail with
}

func newDisk() *disk { return &disk{spaces: make(map[store.Space]*diskSpace)} }

func (d *disk) space(sp store.Space) *diskSpace {
	if d.spaces[sp] == nil {
		d.spaces[sp] = &diskSpace{data: make(map[string]string)}
	}
	return d.spaces[sp]
}

func (d *disk) open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	if _, err := d.fence.Open(sp, gen); err != nil {
		return nil, store.Position{}, err
	}
	s := d.space(sp)
	r := &diskReader{d: d, sp: sp, gen: gen}
	if s.corrupt {
		return r, store.Position{}, store.ErrCorrupt
	}
	return r, s.pos, nil
}

func (d *disk) apply(b *store.Batch) error {
	for _, p := range b.Parts() {
		if err := d.fence.Check(p.Space, p.Generation); err != nil {
			return err
		}
	}
	for _, p := range b.Parts() {
		s := d.space(p.Space)
		for _, op := range p.Ops {
			if op.Value == nil {
				delete(s.data, string(op.Key))
			} else {
				s.data[string(op.Key)] = string(op.Value)
			}
		}
		if p.Position.Exists {
			s.pos = p.Position
			s.pos.Inputs = slices.Clone(p.Position.Inputs)
		}
	}
	return nil
}

func (d *disk) drop(sp store.Space, gen store.Generation) error {
	if err := d.fence.Check(sp, gen); err != nil {
		return err
	}
	d.spaces[sp] = &diskSpace{data: make(map[string]string)}
	return nil
}

// crash forgets who had what open, as the end of a process does.
func (d *disk) crash() { d.fence = store.Fence{} }

type diskReader struct {
	d   *disk
	sp  store.Space
	gen store.Generation
}

func (r *diskReader) check() error {
	if err := r.d.fence.Check(r.sp, r.gen); err != nil {
		return err
	}
	if s := r.d.space(r.sp); s.corrupt {
		return fmt.Errorf("%s: %w", r.sp, store.ErrCorrupt)
	}
	return r.d.space(r.sp).broken
}

func (r *diskReader) Get(key, dst []byte) ([]byte, bool, error) {
	if err := r.check(); err != nil {
		return dst, false, err
	}
	v, found := r.d.space(r.sp).data[string(key)]
	return append(dst, v...), found, nil
}

func (r *diskReader) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		if err := r.check(); err != nil {
			yield(store.Entry{}, err)
			return
		}
		data := maps.Clone(r.d.space(r.sp).data)
		for _, k := range slices.Sorted(maps.Keys(data)) {
			if k < string(from) || to != nil && k >= string(to) {
				continue
			}
			if !yield(store.Entry{Key: []byte(k), Value: []byte(data[k])}, nil) {
				return
			}
		}
	}
}

// globalTable is the content of a global table.
type globalTable map[string]string

func (g globalTable) Get(key, dst []byte) ([]byte, bool, error) {
	v, found := g[string(key)]
	return append(dst, v...), found, nil
}

func (g globalTable) Scan(from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(g)) {
			if k < string(from) || to != nil && k >= string(to) {
				continue
			}
			if !yield(store.Entry{Key: []byte(k), Value: []byte(g[k])}, nil) {
				return
			}
		}
	}
}
