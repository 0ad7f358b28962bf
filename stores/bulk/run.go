package bulk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// An entry is one write.
type entry struct {
	key, value []byte
	deleted    bool
	prefix     uint64 // of the key
}

// A source yields entries in key order, no key twice. What it yields is valid
// until the next call.
type source interface {
	next() (e entry, ok bool, err error)
}

// prefix is the first eight bytes of a key as a number of the same order;
// most comparisons end with it.
func prefix(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

func compareKeys(ap uint64, a []byte, bp uint64, b []byte) int {
	if ap != bp {
		return cmp.Compare(ap, bp)
	}
	return bytes.Compare(a, b)
}

// A run is writes in memory: their bytes one behind the other, and where they
// are.
type run struct {
	max   int
	arena []byte
	items []item
}

// An item is where a write lies in the arena; later writes lie behind, also
// behind one that has no bytes. A value of -1 bytes is a delete.
type item struct {
	prefix     uint64
	at         uint32
	key, value int32
}

const (
	itemBytes = 24
	// maxArena keeps offsets within 32 bits.
	maxArena = 1<<32 - 1
)

func newRun(maxBytes int) *run { return &run{max: min(maxBytes, maxArena)} }

func (r *run) len() int { return len(r.items) }

func (r *run) fits(key, value []byte) bool {
	return len(r.arena)+max(len(key)+len(value), 1)+(len(r.items)+1)*itemBytes <= r.max
}

func (r *run) add(key, value []byte) {
	if r.arena == nil {
		r.arena = make([]byte, 0, min(r.max, 1<<20))
	}
	it := item{prefix: prefix(key), at: uint32(len(r.arena)), key: int32(len(key)), value: int32(len(value))}
	if value == nil {
		it.value = -1
	}
	r.arena = append(append(r.arena, key...), value...)
	if len(key)+len(value) == 0 {
		r.arena = append(r.arena, 0)
	}
	r.items = append(r.items, it)
}

func (r *run) reset() { r.arena, r.items = r.arena[:0], r.items[:0] }

func (r *run) key(it *item) []byte { return r.arena[it.at:][:it.key:it.key] }

// sort orders the items by key and keeps the last write of each.
func (r *run) sort() {
	slices.SortFunc(r.items, func(a, b item) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		if c := bytes.Compare(r.key(&a), r.key(&b)); c != 0 {
			return c
		}
		return cmp.Compare(a.at, b.at)
	})
	kept := r.items[:0]
	for i := range r.items {
		it := r.items[i]
		if n := len(kept); n > 0 && kept[n-1].prefix == it.prefix && bytes.Equal(r.key(&kept[n-1]), r.key(&it)) {
			kept[n-1] = it
			continue
		}
		kept = append(kept, it)
	}
	r.items = kept
}

// source yields the items of a sorted run.
func (r *run) source() source { return &runSource{run: r} }

type runSource struct {
	run *run
	at  int
}

func (s *runSource) next() (entry, bool, error) {
	if s.at == len(s.run.items) {
		return entry{}, false, nil
	}
	it := &s.run.items[s.at]
	s.at++
	e := entry{key: s.run.key(it), prefix: it.prefix, deleted: it.value < 0}
	if !e.deleted {
		e.value = s.run.arena[it.at:][it.key : it.key+it.value]
	}
	return e, true, nil
}
