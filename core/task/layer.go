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
}

// size is what an entry is counted as in memory budgets.
func (e *entry) size() int { return len(e.key) + cap(e.value) + 96 }

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
	l.byKey[e.key] = e
	l.order = append(l.order, e)
	l.bytes += e.size()
	return e
}

// undoAdd removes the entry that was added last.
func (l *layer) undoAdd(e *entry) {
	delete(l.byKey, e.key)
	if len(l.sorted) == len(l.order) {
		i, _ := l.search(e.key)
		l.sorted = slices.Delete(l.sorted, i, i+1)
	}
	l.order[len(l.order)-1] = nil
	l.order = l.order[:len(l.order)-1]
	l.bytes -= e.size()
}

// fewNew is up to how many new entries are put in their places one by one.
const fewNew = 8

// sort brings sorted up to date.
func (l *layer) sort() {
	old := len(l.sorted)
	fresh := l.order[old:]
	if len(fresh) <= fewNew {
		for _, e := range fresh {
			i, _ := l.search(e.key)
			l.sorted = slices.Insert(l.sorted, i, e)
		}
		return
	}
	fresh = slices.Clone(fresh)
	slices.SortFunc(fresh, func(a, b *entry) int { return strings.Compare(a.key, b.key) })
	l.sorted = append(l.sorted, fresh...)
	// Merge from the end: the old ones move up into the room just made.
	for at := len(l.sorted) - 1; len(fresh) > 0; at-- {
		n := len(fresh) - 1
		if old > 0 && l.sorted[old-1].key > fresh[n].key {
			old--
			l.sorted[at] = l.sorted[old]
			continue
		}
		l.sorted[at] = fresh[n]
		fresh = fresh[:n]
	}
}

func (l *layer) search(key string) (int, bool) {
	return slices.BinarySearchFunc(l.sorted, key, func(e *entry, k string) int { return strings.Compare(e.key, k) })
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
