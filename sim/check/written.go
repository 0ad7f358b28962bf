package check

import "fmt"

// written says who wrote what: for each changelog partition, the values of
// each key that were committed, and those that any round sent.
type written struct {
	committed, sent map[TP]map[string]bool // by Pair
}

// writes collects what was written to changelogs.
func (h *History) writes() written { return h.look().writes() }

func (h *History) collectWrites() written {
	w := written{make(map[TP]map[string]bool), make(map[TP]map[string]bool)}
	put := func(m map[TP]map[string]bool, r *Record) {
		if m[r.TP] == nil {
			m[r.TP] = make(map[string]bool)
		}
		m[r.TP][Pair(r.Key, r.Value)] = true
	}
	for _, e := range h.of(Log) {
		put(w.committed, e.Record)
		put(w.sent, e.Record)
	}
	for _, e := range h.of(Sent) {
		for i := range e.Records {
			put(w.sent, &e.Records[i])
		}
	}
	for _, r := range h.rounds() {
		// Compaction may have removed what was committed.
		if r.outcome != "committed" {
			continue
		}
		for i := range r.sent.Records {
			put(w.committed, &r.sent.Records[i])
		}
	}
	return w
}

// unwritten finds what stores held, when they were opened and at the end, that
// nobody wrote in the sense of a set.
func (h *History) unwritten(says string, bad func(w written, tp TP, pair string) bool) (found []string) {
	changelogs := h.changelogs()
	w := h.writes()
	for _, e := range h.of(Opened, Held) {
		topic, ok := changelogs[e.Table]
		if !ok || e.Position == nil {
			continue
		}
		tp := TP{Topic: topic, Partition: e.Partition}
		for _, entry := range e.Entries {
			if bad(w, tp, Pair(entry.Key, entry.Value)) {
				found = append(found, where(e)+fmt.Sprintf("holds %q under key %q, which %s", entry.Value, entry.Key, says))
			}
		}
	}
	return found
}

// nothingUncommitted is S8: what a store holds after a stop of any kind was
// committed at some time. That it is the right one of those is S6.
func nothingUncommitted(h *History, s Subject) []string {
	// After compaction, a write of which nobody knows the outcome may have
	// been committed without a trace; at least once, any write that did not
	// count.
	compacted := len(h.of(Compacted)) > 0
	unsure := make(map[TP]map[string]bool)
	if compacted {
		for _, r := range h.rounds() {
			if r.outcome == "committed" || s.Exactly && r.outcome != "" && r.outcome != "unknown" {
				continue
			}
			for _, rec := range r.sent.Records {
				if unsure[rec.TP] == nil {
					unsure[rec.TP] = make(map[string]bool)
				}
				unsure[rec.TP][Pair(rec.Key, rec.Value)] = true
			}
		}
	}
	return h.unwritten("was sent and never committed", func(w written, tp TP, pair string) bool {
		return w.sent[tp][pair] && !w.committed[tp][pair] && !unsure[tp][pair]
	})
}

// damageFound is S17: what a store serves was sent to its changelog once, so
// that no damage of a disk passes for data.
func damageFound(h *History, _ Subject) []string {
	return h.unwritten("nobody ever wrote", func(w written, tp TP, pair string) bool { return !w.sent[tp][pair] })
}

// changelogs maps tables to their changelogs.
func (h *History) changelogs() map[string]string {
	m := make(map[string]string)
	for _, e := range h.of(TopicIs) {
		if e.Role == Changelog {
			m[e.Table] = e.Topic
		}
	}
	return m
}
