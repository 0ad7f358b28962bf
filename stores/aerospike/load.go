package aerospike

import (
	"bytes"
	"fmt"

	as "github.com/aerospike/aerospike-client-go/v7"

	"github.com/weirstream/weir/core/store"
)

// loaded is what a load makes of the records of a space.
type loaded struct {
	index    *tree
	keyBytes int64
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

// A loading is a load that runs. Its index has the newest version of each key
// so far, tombstones too, and beside it there are a few bytes for each slot: a
// space with many keys is not in memory twice.
type loading struct {
	*loaded

	layers []layer
	kinds  [][]byte   // of each slot in each layer, kindStale for what does not count
	seqs   [][]uint64 // of the batch that wrote it
}

// kindStale is a slot that may be used again.
const kindStale = 0

// load reads which entries a space has: the meta bins of all slots of all its
// layers. It fails with store.ErrCorrupt when they are not the entries that
// the head was written for, be it because writes were lost, because deleted
// records came back, or because something was damaged.
func (s *Store) load(p *space, layers []layer, now state) (*loaded, error) {
	l := loading{loaded: newLoaded(len(layers)), layers: layers}
	for i, lay := range layers {
		l.kinds, l.seqs = append(l.kinds, make([]byte, lay.slots)), append(l.seqs, make([]uint64, lay.slots))
		if err := s.readSlots(p.set, lay, func(slot uint32, m meta) { l.add(uint32(i), slot, &m) }); err != nil {
			return nil, err
		}
	}
	count, sum, err := l.settle()
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
	l.freeSlots()
	return l.loaded, nil
}

// add takes the record of a slot in.
func (l *loading) add(in, slot uint32, m *meta) {
	if m.seq > l.layers[in].seq {
		return // of a batch that does not count
	}
	l.kinds[in][slot], l.seqs[in][slot] = m.kind, m.seq
	if m.kind == kindPiece {
		return
	}
	at := location{m.hash, slot, in}
	key, old, ok := l.index.Get(m.key)
	switch {
	case !ok:
		key = bytes.Clone(m.key) // out of the answer that it came in
	case old.layer == in && l.seqs[in][old.slot] >= m.seq:
		l.kinds[in][slot] = kindStale
		return
	default:
		l.drop(old)
	}
	l.index.ReplaceOrInsert(key, at)
	if len(m.more) > 0 {
		l.more[at] = m.more
	}
}

// drop notes that a version is not the newest of its key.
func (l *loading) drop(old location) {
	delete(l.more, old)
	l.kinds[old.layer][old.slot] = kindStale
}

// settle takes tombstones out of the index, finds pieces that nobody refers
// to, and sums up what is left.
func (l *loading) settle() (count, sum uint64, err error) {
	var dead [][]byte
	for key, at := range l.index.Ascend(minKey(), maxKey()) {
		if l.kinds[at.layer][at.slot] == kindTombstone {
			dead = append(dead, key)
			continue
		}
		count, sum = count+1, sum+at.hash
		l.live[at.layer]++
		l.keyBytes += int64(len(key))
	}
	for _, key := range dead {
		l.index.Delete(key)
	}
	kept, own := make(map[uint32]bool), uint32(len(l.layers)-1)
	for at, more := range l.more {
		for _, slot := range more {
			if kinds := l.kinds[at.layer]; int(slot) >= len(kinds) || kinds[slot] != kindPiece || l.seqs[at.layer][slot] != l.seqs[at.layer][at.slot] {
				return 0, 0, fmt.Errorf("%w: a piece of a long value is missing", store.ErrCorrupt)
			}
			if at.layer == own {
				kept[slot] = true
			}
		}
	}
	for slot, kind := range l.kinds[own] {
		if kind == kindPiece && !kept[uint32(slot)] {
			l.kinds[own][slot] = kindStale
		}
	}
	return count, sum, nil
}

// freeSlots sorts out what can be used again: old versions first, then the
// tombstones that hide them.
func (l *loading) freeSlots() {
	own := l.kinds[len(l.kinds)-1]
	l.fresh = uint32(len(own))
	for slot, kind := range own {
		if kind == kindStale {
			l.free.add(uint32(slot), 0)
		}
	}
	for slot, kind := range own {
		if kind == kindTombstone {
			l.free.pinned = append(l.free.pinned, uint32(slot))
		}
	}
	if len(l.layers) == 1 {
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
