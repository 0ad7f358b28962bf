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
	// sorted holds the entries in key order, from the first scan on: tables
	// that nobody scans do not pay for it.
	sorted  []*entry
	ordered bool
	bytes   int
}

func newLayer(ordered bool) *layer {
	return &layer{byKey: make(map[string]*entry), ordered: ordered}
}

// add inserts a key that is not there yet.
func (l *layer) add(key []byte) *entry {
	e := &entry{key: string(key)}
	l.byKey[e.key] = e
	l.order = append(l.order, e)
	if l.ordered {
		i, _ := l.search(e.key)
		l.sorted = slices.Insert(l.sorted, i, e)
	}
	l.bytes += e.size()
	return e
}

// undoAdd removes the entry that was added last.
func (l *layer) undoAdd(e *entry) {
	delete(l.byKey, e.key)
	l.order = l.order[:len(l.order)-1]
	if l.ordered {
		i, _ := l.search(e.key)
		l.sorted = slices.Delete(l.sorted, i, i+1)
	}
	l.bytes -= e.size()
}

// sort makes the layer keep its entries in key order from now on.
func (l *layer) sort() {
	if l.ordered {
		return
	}
	l.ordered = true
	l.sorted = append(l.sorted[:0], l.order...)
	slices.SortFunc(l.sorted, func(a, b *entry) int { return strings.Compare(a.key, b.key) })
}

func (l *layer) search(key string) (int, bool) {
	return slices.BinarySearchFunc(l.sorted, key, func(e *entry, k string) int { return strings.Compare(e.key, k) })
}

// from returns the first entry at or after key; after skips key itself.
func (l *layer) from(key string, after bool) *entry {
	i, found := l.search(key)
	if found && after {
		i++
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
