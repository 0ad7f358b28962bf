package aerospike

import (
	"fmt"

	as "github.com/aerospike/aerospike-client-go/v7"

	"github.com/weirstream/weir/core/store"
)

// loaded is what a load makes of the records of a space.
type loaded struct {
	index    *tree
	more     map[location][]uint32
	position store.Position
	live     []int
	free     freeList
	fresh    uint32
	tainted  map[uint32]struct{}
}

func newLoaded(layers int) *loaded {
	return &loaded{
		index: newTree(), more: make(map[location][]uint32), live: make([]int, layers), tainted: make(map[uint32]struct{}),
	}
}

// A found record is the newest version of a key so far.
type found struct {
	location

	seq  uint64
	dead bool
	more []uint32
}

// load reads which entries a space has: the meta bins of all slots of all its
// layers. It fails with store.ErrCorrupt when they are not the entries that
// the head was written for, be it because writes were lost, because deleted
// records came back, or because something was damaged.
func (s *Store) load(p *space, layers []layer, now state) (*loaded, error) {
	newest := make(map[string]found)
	var pieces map[location]uint64 // seq
	slots := make(map[uint32]slotUse)
	for i, l := range layers {
		mine := i == len(layers)-1
		err := s.readSlots(p.set, l, func(slot uint32, m meta) {
			at := location{m.hash, slot, uint32(i)}
			if mine {
				slots[slot] = slotStale
			}
			switch {
			case m.seq > l.seq: // of a batch that does not count
			case m.kind == kindPiece:
				if pieces == nil {
					pieces = make(map[location]uint64)
				}
				pieces[location{0, slot, uint32(i)}] = m.seq
			default:
				old, ok := newest[string(m.key)]
				if !ok || old.layer < at.layer || old.layer == at.layer && old.seq < m.seq {
					newest[string(m.key)] = found{at, m.seq, m.kind == kindTombstone, m.more}
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	l := newLoaded(len(layers))
	count, sum, err := l.fill(newest, pieces, slots, len(layers)-1)
	if err != nil {
		return nil, err
	}
	if (count != now.count || sum != now.sum) && !s.hooks.trust {
		return nil, fmt.Errorf("%w: the server does not hold what was committed (%d entries, %d were committed): it lost writes, or brought deleted records back", store.ErrCorrupt, count, now.count)
	}
	if len(now.position) > 0 {
		if l.position, err = store.DecodePosition(now.position); err != nil {
			return nil, err
		}
	}
	l.freeSlots(slots, layers[len(layers)-1].slots, len(layers) > 1)
	return l, nil
}

type slotUse byte

const (
	slotStale slotUse = iota
	slotLive
	slotTombstone
)

// fill makes the index and sums it up.
func (l *loaded) fill(newest map[string]found, pieces map[location]uint64, slots map[uint32]slotUse, own int) (count, sum uint64, err error) {
	for key, f := range newest {
		use := slotLive
		if f.dead {
			use = slotTombstone
		} else {
			count, sum = count+1, sum+f.hash
			l.index.ReplaceOrInsert([]byte(key), f.location)
			l.live[f.layer]++
			if len(f.more) > 0 {
				l.more[f.location] = f.more
			}
		}
		if int(f.layer) == own {
			slots[f.slot] = use
		}
		for _, slot := range f.more {
			if seq, ok := pieces[location{0, slot, f.layer}]; !ok || seq != f.seq {
				return 0, 0, fmt.Errorf("%w: a piece of a long value is missing", store.ErrCorrupt)
			}
			if int(f.layer) == own {
				slots[slot] = use
			}
		}
	}
	return count, sum, nil
}

// freeSlots sorts out what can be used again: old versions first, then the
// tombstones that hide them.
func (l *loaded) freeSlots(slots map[uint32]slotUse, n uint32, bases bool) {
	l.fresh = n
	for slot := range n {
		if slots[slot] == slotStale {
			l.free.add(slot, 0)
		}
	}
	for slot := range n {
		if slots[slot] == slotTombstone {
			l.free.pinned = append(l.free.pinned, slot)
		}
	}
	if !bases {
		l.free.unpin(0)
	}
}

// readSlots reads the meta bins of the slots of a layer that exist.
func (s *Store) readSlots(set string, l layer, each func(slot uint32, m meta)) error {
	var bad error
	bins := []string{metaBin}
	err := s.calls(int(l.slots),
		func(i int) (as.BatchRecordIfc, int) {
			return as.NewBatchRead(nil, s.slotKey(set, l.id, uint32(i)), bins), 0
		},
		func(i int, r as.BatchRecordIfc, o outcome, _ bool) {
			if o != done {
				return
			}
			data, _ := r.BatchRec().Record.Bins[metaBin].([]byte)
			m, err := decodeMeta(data)
			if err != nil {
				bad = err
				return
			}
			each(uint32(i), m)
		})
	if err != nil {
		return err
	}
	return bad
}
