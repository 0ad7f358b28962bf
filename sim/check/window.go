package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Windows describes a windowed table whose windows are sent to a topic when
// they close, so that S15 can be checked: each window with data that stream
// time has passed is sent, once, and no other; each late record is counted as
// one and not added.
//
// Stream time is that of a partition of Source. The application has one
// record on Closed for each key and window, in the partition of the input.
type Windows struct {
	Source string
	// Closed gets the windows. Late gets late records; when it is empty
	// they are not checked.
	Closed, Late string
	// Size and Grace in milliseconds. Windows begin at multiples of Size.
	Size, Grace int64
	// Skip says that an input is not added, because it cannot be decoded; nil
	// adds all.
	Skip func(r Record) bool
	// Start is when the window of a record on Closed began, in Unix
	// milliseconds.
	Start func(closed Record) (int64, bool)
}

// A slot is one window of one key.
type slot struct {
	key   string
	start int64
}

func (s slot) compare(o slot) int {
	return cmp.Or(cmp.Compare(s.start, o.start), cmp.Compare(s.key, o.key))
}

// windowsClose is S15.
func windowsClose(h *History, s Subject) (bad []string) {
	for _, w := range s.Windows {
		bad = append(bad, w.check(h)...)
	}
	return bad
}

func (w *Windows) check(h *History) (bad []string) {
	want, late := w.expect(h)
	got, gotLate := make(map[slot]int), make(map[string]int)
	logs := h.logs()
	for _, tp := range tps(logs) {
		for _, r := range logs[tp] {
			switch tp.Topic {
			case w.Closed:
				start, ok := w.Start(*r)
				if !ok {
					bad = append(bad, fmt.Sprintf("%s offset %d is no window: %q", tp, r.Offset, r.Value))
					continue
				}
				got[slot{string(r.Key), start}]++
			case w.Late:
				gotLate[Pair(r.Key, r.Value)]++
			}
		}
	}
	for _, sl := range unionOf(want, got) {
		if want[sl] != got[sl] {
			bad = append(bad, fmt.Sprintf("%s: the window of key %q at %d was sent %d times, want %d", w.Closed, sl.key, sl.start, got[sl], want[sl]))
		}
	}
	if w.Late == "" {
		return bad
	}
	for _, p := range union(late, gotLate) {
		if late[p] != gotLate[p] {
			bad = append(bad, fmt.Sprintf("%s: late record %q is there %d times, want %d", w.Late, p, gotLate[p], late[p]))
		}
	}
	return bad
}

// expect says which windows had to be sent and which records were late, of all
// input that was committed.
func (w *Windows) expect(h *History) (closed map[slot]int, late map[string]int) {
	closed, late = make(map[slot]int), make(map[string]int)
	final := h.finalOffsets()
	var tp TP
	var at int64
	open := make(map[slot]bool)
	flush := func() {
		for sl := range open {
			if sl.start+w.Size+w.Grace <= at {
				closed[sl]++
				delete(open, sl)
			}
		}
	}
	for _, r := range h.Inputs() {
		if r.Topic != w.Source || r.Offset >= final[r.TP] {
			continue
		}
		if r.TP != tp {
			tp, at = r.TP, r.Time
			clear(open)
		}
		if at = max(at, r.Time); at == r.Time {
			flush()
		}
		if w.Skip != nil && w.Skip(r) {
			continue
		}
		sl := slot{string(r.Key), r.Time - ((r.Time%w.Size)+w.Size)%w.Size}
		if sl.start+w.Size+w.Grace <= at {
			late[Pair(r.Key, r.Value)]++
			continue
		}
		open[sl] = true
	}
	return closed, late
}

// unionOf returns the slots of both, in order.
func unionOf(a, b map[slot]int) []slot {
	var all []slot
	for _, m := range []map[slot]int{a, b} {
		for sl := range m {
			all = append(all, sl)
		}
	}
	slices.SortFunc(all, slot.compare)
	return slices.Compact(all)
}
