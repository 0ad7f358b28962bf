package standby_test

import (
	"fmt"
	"maps"

	"github.com/weirstream/weir/core/store"
)

// A disk is what the machine's driver needs of a store, in a map.
type disk struct {
	fence  store.Fence
	spaces map[store.Space]*diskSpace
	broken error // what writes fail with
	// written counts the records that were applied.
	written int
}

type diskSpace struct {
	data    map[string]string
	pos     store.Position
	corrupt bool
}

func newDisk() *disk { return &disk{spaces: make(map[store.Space]*diskSpace)} }

func (d *disk) space(sp store.Space) *diskSpace {
	if d.spaces[sp] == nil {
		d.spaces[sp] = &diskSpace{data: make(map[string]string)}
	}
	return d.spaces[sp]
}

func (d *disk) open(sp store.Space, gen store.Generation) (store.Position, error) {
	if _, err := d.fence.Open(sp, gen); err != nil {
		return store.Position{}, fmt.Errorf("%s: %w", sp, err)
	}
	return d.space(sp).pos, nil
}

func (d *disk) apply(b *store.Batch) error {
	if d.broken != nil {
		return d.broken
	}
	for _, p := range b.Parts() {
		if err := d.fence.Check(p.Space, p.Generation); err != nil {
			return fmt.Errorf("%s: %w", p.Space, err)
		}
	}
	for _, p := range b.Parts() {
		s := d.space(p.Space)
		for _, op := range p.Ops {
			d.written++
			if op.Value == nil {
				delete(s.data, string(op.Key))
			} else {
				s.data[string(op.Key)] = string(op.Value)
			}
		}
		if p.Position.Exists {
			s.pos = p.Position
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

// content is a copy of the data of a space.
func (d *disk) content(sp store.Space) map[string]string { return maps.Clone(d.space(sp).data) }
