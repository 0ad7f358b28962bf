package check

import "fmt"

// globalsAgree is S21: when all is at rest, each worker has read the topics of its
// global tables to their ends, and holds the last value of each key.
func globalsAgree(h *History, _ Subject) (bad []string) {
	logs := h.logs()
	cut := make(map[string]bool) // topics of which the beginning is gone
	for _, e := range h.of(LogIs) {
		cut[e.Topic] = cut[e.Topic] || e.Start > 0
	}
	for _, e := range h.of(HeldGlobal) {
		at := fmt.Sprintf("%s, global table %s, event %d: ", e.Worker, e.Table, e.N)
		next := make(map[TP]int64)
		for _, o := range e.Offsets {
			next[o.TP] = o.At
		}
		last := make(fold)
		for _, tp := range tps(logs) {
			if tp.Topic != e.Topic {
				continue
			}
			for _, r := range logs[tp] {
				last[string(r.Key)] = r
			}
			if end := logs[tp][len(logs[tp])-1].Offset + 1; next[tp] < end && next[tp] >= 0 {
				bad = append(bad, fmt.Sprintf("%s%v was read to %d of %d", at, tp, next[tp], end))
			}
		}
		held := make(map[string]bool)
		for _, entry := range e.Entries {
			k := string(entry.Key)
			held[k] = true
			switch r := last[k]; {
			case r == nil && cut[e.Topic]:
			case r == nil || r.Value == nil:
				bad = append(bad, fmt.Sprintf("%sholds key %q, which its topic does not", at, k))
			case string(r.Value) != string(entry.Value):
				bad = append(bad, fmt.Sprintf("%sholds %q under key %q, but its topic has %q at offset %d", at, entry.Value, k, r.Value, r.Offset))
			}
		}
		for _, k := range sorted(last) {
			if last[k].Value != nil && !held[k] {
				bad = append(bad, fmt.Sprintf("%slacks key %q, written at offset %d", at, k, last[k].Offset))
			}
		}
	}
	return bad
}
