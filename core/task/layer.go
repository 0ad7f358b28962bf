package task

import (
	"slices"
	"strings"
)

// An entry is the latest value of one key within one epoch.
type entry struct {
	key     string
	value   []byte
	deleted bool
	ahead   bool     // was read ahead and not yet asked for
	small   [16]byte // where a value that fits has its place
}

// A layer holds the writes of one epoch to one space. Writes are kept in the
// order in which their keys were first written, so that what is made from a
// layer is the same in every run.
type layer struct {
	byKey map[string]*entry
	order []*entry
	// sorted holds, in key order, the first len(sorted) entries of order: a
	// scan sorts what was added since the one before, and tables that nobody
	// scans do not pay for it.
	sorted []*entry
	bytes  int
}

func newLayer() *layer { return &layer{byKey: make(map[string]*entry)} }

// add inserts a key that is not there yet.
func (l *layer) add(key []byte) *entry {
	e := &entry{key: string(key)}
	e.value = e.small[:0]
	l.byKey[e.key] = e
	l.order = append(l.order, e)
	l.bytes += e.cost()
	return e
}

// undoAdd removes the entry that was added last.
func (l *layer) undoAdd(e *entry) {
	delete(l.byKey, e.key)
	if len(l.sorted) == len(l.order) {
		i, _ := searchEntries(l.sorted, e.key)
		l.sorted = slices.Delete(l.sorted, i, i+1)
	}
	l.order[len(l.order)-1] = nil
	l.order = l.order[:len(l.order)-1]
	l.bytes -= e.cost()
}

// sort brings sorted up to date.
func (l *layer) sort() {
	old := len(l.sorted)
	if old == len(l.order) {
		return
	}
	fresh := slices.Clone(l.order[old:])
	slices.SortFunc(fresh, func(a, b *entry) int { return strings.Compare(a.key, b.key) })
	l.sorted = append(l.sorted, fresh...)
	// From the end: what is behind a new entry moves up in one piece.
	for n := len(fresh) - 1; n >= 0; n-- {
		i, _ := searchEntries(l.sorted[:old], fresh[n].key)
		copy(l.sorted[i+n+1:], l.sorted[i:old])
		l.sorted[i+n] = fresh[n]
		old = i
	}
}

func searchEntries(es []*entry, key string) (int, bool) {
	return slices.BinarySearchFunc(es, key, func(e *entry, k string) int { return strings.Compare(e.key, k) })
}

// from returns the first entry at or after key; after skips key itself.
func (l *layer) from(key []byte, after bool) *entry {
	l.sort()
	i, n := 0, len(l.sorted)
	for i < n {
		mid := int(uint(i+n) >> 1)
		if k := l.sorted[mid].key; k < string(key) || after && k == string(key) {
			i = mid + 1
		} else {
			n = mid
		}
	}
	if i == len(l.sorted) {
		return nil
	}
	return l.sorted[i]
}

// reset empties the layer for the next epoch; the entries live on elsewhere.
func (l *layer) reset() {
	clear(l.byKey)
	clear(l.order)
	clear(l.sorted)
	l.order, l.sorted, l.bytes = l.order[:0], l.sorted[:0], 0
}
