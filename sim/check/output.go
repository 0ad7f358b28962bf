package check

import (
	"fmt"
	"slices"
)

// keyOrder is S10: on the topic of receipts each key has its values in the
// order of the inputs. A client that does not know what became of an input
// sends it again, so that one may be there several times: each receipt is of
// the first that is not before the last one's.
func keyOrder(h *History, s Subject) (bad []string) {
	if s.Receipts == "" {
		return nil
	}
	places := make(map[string][]int) // by key and value, ascending
	for i, r := range h.Inputs() {
		if len(s.Sources) > 0 && !slices.Contains(s.Sources, r.Topic) {
			continue
		}
		p := Pair(r.Key, r.Value)
		places[p] = append(places[p], i)
	}
	last := make(map[string]int)
	logs := h.logs()
	for _, tp := range tps(logs) {
		if tp.Topic != s.Receipts {
			continue
		}
		for _, r := range logs[tp] {
			k, at := string(r.Key), places[Pair(r.Key, r.Value)]
			if len(at) == 0 {
				bad = append(bad, fmt.Sprintf("%s offset %d: key %q, value %q was never an input", tp, r.Offset, r.Key, r.Value))
				continue
			}
			next, _ := slices.BinarySearch(at, last[k])
			if next == len(at) {
				bad = append(bad, fmt.Sprintf("%s offset %d: value %q of key %q comes after a later one", tp, r.Offset, r.Value, r.Key))
				continue
			}
			last[k] = at[next]
		}
	}
	return bad
}

// accounted is S19: each input below the committed offset has its receipt, or
// is a dead letter.
func accounted(h *History, s Subject) (bad []string) {
	if s.Receipts == "" {
		return nil
	}
	got := make(map[string]int)
	for _, e := range h.of(Log) {
		if e.Record.Topic == s.Receipts || s.Dead != "" && e.Record.Topic == s.Dead {
			got[Pair(e.Record.Key, e.Record.Value)]++
		}
	}
	final := h.finalOffsets()
	for _, r := range h.Inputs() {
		if len(s.Sources) > 0 && !slices.Contains(s.Sources, r.Topic) || r.Offset >= final[r.TP] {
			continue
		}
		p := Pair(r.Key, r.Value)
		if got[p]--; got[p] < 0 {
			bad = append(bad, fmt.Sprintf("input %s offset %d (key %q) is below the committed offset %d and left no trace", r.TP, r.Offset, r.Key, final[r.TP]))
		}
	}
	return bad
}

// once is S16.
func once(h *History, s Subject) (bad []string) {
	seen := make(map[string]map[string]*Record)
	for _, e := range h.of(Log) {
		r := e.Record
		if !slices.Contains(s.Once, r.Topic) {
			continue
		}
		if seen[r.Topic] == nil {
			seen[r.Topic] = make(map[string]*Record)
		}
		p := Pair(r.Key, r.Value)
		if first := seen[r.Topic][p]; first != nil {
			bad = append(bad, fmt.Sprintf("%s offset %d repeats offset %d: key %q, value %q", r.TP, r.Offset, first.Offset, r.Key, r.Value))
		}
		seen[r.Topic][p] = r
	}
	return bad
}
