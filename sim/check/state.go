package check

import (
	"fmt"
)

// A fold is what a changelog partition says of each key: the last committed
// write, by offset.
type fold map[string]*Record

// doubtful returns the rounds of an at-least-once history that were not
// decided in favour of their worker. Nothing keeps what a worker sends from
// following the writes of the one that took its task over: what a changelog
// ends with then is not what the new owner holds.
func (h *History) doubtful(s Subject) map[int64]bool {
	m := make(map[int64]bool)
	if s.Exactly {
		return m
	}
	for id, r := range h.rounds() {
		if r.outcome != "committed" {
			m[id] = true
		}
	}
	return m
}

// folded returns the fold of a partition up to an offset. unsure are keys of
// which compaction has removed what was written before it.
func folded(log []*Record, to int64, compacted bool) (f fold, unsure map[string]bool) {
	f, unsure = make(fold), make(map[string]bool)
	for _, r := range log {
		if r.Offset < to {
			f[string(r.Key)] = r
			continue
		}
		if compacted && f[string(r.Key)] == nil {
			unsure[string(r.Key)] = true
		}
	}
	return f, unsure
}

// deleted returns the keys of each partition for which a deletion was sent,
// where compaction may have removed it.
func (h *History) deleted(compacted bool) map[TP]map[string]bool {
	m := make(map[TP]map[string]bool)
	if !compacted {
		return m
	}
	for _, e := range h.of(Sent) {
		for _, r := range e.Records {
			if r.Value != nil {
				continue
			}
			if m[r.TP] == nil {
				m[r.TP] = make(map[string]bool)
			}
			m[r.TP][string(r.Key)] = true
		}
	}
	return m
}

// stables returns the last stable offset of each partition.
func (h *History) stables() map[TP]int64 {
	m := make(map[TP]int64)
	for _, e := range h.of(LogIs) {
		m[TP{Topic: e.Topic, Partition: e.Partition}] = e.Stable
	}
	return m
}

// compare compares what a store holds with the fold of its changelog. missing
// is called for each entry that is wrong or absent, kept for each that should
// have been deleted.
func (h *History) compare(s Subject, missing func(e *Event, what string), kept func(e *Event, what string)) {
	changelogs := h.changelogs()
	logs := h.logs()
	compacted := len(h.of(Compacted)) > 0
	doubtful := h.doubtful(s)
	deleted, ends := h.deleted(compacted), h.stables()
	for _, e := range h.of(Opened, Held) {
		topic, ok := changelogs[e.Table]
		if !ok || e.Position == nil {
			continue
		}
		tp := TP{Topic: topic, Partition: e.Partition}
		f, unsure := folded(logs[tp], e.Position.Changelog, compacted)
		behind := e.Position.Changelog < ends[tp]
		for k, r := range f {
			unsure[k] = unsure[k] || doubtful[r.Round]
		}
		held := make(map[string]bool)
		for _, entry := range e.Entries {
			k := string(entry.Key)
			held[k] = true
			r := f[k]
			switch {
			case unsure[k]:
			case r == nil && behind && deleted[tp][k]:
				// A deletion that it had not seen, and that is gone itself.
			case r == nil:
				missing(e, fmt.Sprintf("holds key %q, which the changelog does not have before %d", k, e.Position.Changelog))
			case r.Value == nil:
				kept(e, fmt.Sprintf("holds key %q, which was deleted at offset %d", k, r.Offset))
			case string(r.Value) != string(entry.Value):
				missing(e, fmt.Sprintf("holds %q under key %q, but the changelog has %q at offset %d", entry.Value, k, r.Value, r.Offset))
			}
		}
		for _, k := range sorted(f) {
			if f[k].Value != nil && !held[k] && !unsure[k] {
				missing(e, fmt.Sprintf("lacks key %q, written at offset %d", k, f[k].Offset))
			}
		}
	}
}

func where(e *Event) string {
	return fmt.Sprintf("%s, %s/%d %s at position %d, event %d: ", e.Worker, e.Table, e.Partition, e.Kind, e.Position.Changelog, e.N)
}

// storeIsFold is S6.
func storeIsFold(h *History, s Subject) (bad []string) {
	h.compare(s, func(e *Event, what string) { bad = append(bad, where(e)+what) }, func(*Event, string) {})
	return bad
}

// deletedStays is S12.
func deletedStays(h *History, s Subject) (bad []string) {
	h.compare(s, func(*Event, string) {}, func(e *Event, what string) { bad = append(bad, where(e)+what) })
	return bad
}

// positionCommitted is S7.
func positionCommitted(h *History, _ Subject) (bad []string) {
	changelogs := h.changelogs()
	stable := h.stables()
	for _, e := range h.of(Opened, Held) {
		topic, ok := changelogs[e.Table]
		if !ok || e.Position == nil {
			continue
		}
		if end, ok := stable[TP{Topic: topic, Partition: e.Partition}]; ok && e.Position.Changelog > end {
			bad = append(bad, where(e)+fmt.Sprintf("the committed changelog ends at %d", end))
		}
	}
	return bad
}

// restoredFirst is S11: between a restore's begin and its end a worker sends
// nothing to that changelog.
func restoredFirst(h *History, _ Subject) (bad []string) {
	type space struct {
		worker, table string
		partition     int32
	}
	open := make(map[space]*Event)
	tables := make(map[string]string)
	for _, e := range h.of(TopicIs) {
		if e.Role == Changelog {
			tables[e.Topic] = e.Table
		}
	}
	for i := range h.Events {
		e := &h.Events[i]
		switch e.Kind {
		case Restoring:
			sp := space{e.Worker, e.Table, e.Partition}
			if open[sp] = e; e.Done {
				delete(open, sp)
			}
		case Opened:
			// Opened again: the restore that was under way is over.
			delete(open, space{e.Worker, e.Table, e.Partition})
		case Sent:
			for _, r := range e.Records {
				table, ok := tables[r.Topic]
				if !ok {
					continue
				}
				if at := open[space{e.Worker, table, r.Partition}]; at != nil {
					bad = append(bad, fmt.Sprintf("round %d of %s writes table %s/%d, whose restore is at %d of %d", e.Round, e.Worker, table, r.Partition, at.Reached, at.To))
				}
			}
		}
	}
	return bad
}
