package check

import "fmt"

// standbysAgree is S13. When all was at rest, every standby had caught up; at
// the end its worker has at least what it had then; and whoever holds a
// partition of a table at some position holds the same.
func standbysAgree(h *History, s Subject) (bad []string) {
	type space struct {
		table     string
		partition int32
	}
	type copyOf struct {
		space
		worker string
	}
	held := make(map[copyOf]*Event)
	at := make(map[space]map[int64]*Event)
	doubtful := h.doubtfulKeys(s)
	for _, e := range h.of(Held) {
		if e.Position == nil {
			continue
		}
		sp := space{e.Table, e.Partition}
		held[copyOf{sp, e.Worker}] = e
		if at[sp] == nil {
			at[sp] = make(map[int64]*Event)
		}
		other := at[sp][e.Position.Changelog]
		if other == nil {
			at[sp][e.Position.Changelog] = e
			continue
		}
		if what := differ(other, e, doubtful[e.Table]); what != "" {
			bad = append(bad, fmt.Sprintf("%s%s and %s differ: %s", where(e), other.Worker, e.Worker, what))
		}
	}
	for _, e := range h.of(Following) {
		if !e.Done {
			bad = append(bad, fmt.Sprintf("the standby of %s/%d on %s is at %d of %d when all else is at rest", e.Table, e.Partition, e.Worker, e.Reached, e.To))
			continue
		}
		if end := held[copyOf{space{e.Table, e.Partition}, e.Worker}]; end != nil && end.Position.Changelog < e.Reached {
			bad = append(bad, where(end)+fmt.Sprintf("as a standby it had read up to %d", e.Reached))
		}
	}
	return bad
}

// doubtfulKeys are the keys of tables whose newest changelog record may be of
// a round that was not decided, see doubtful.
func (h *History) doubtfulKeys(s Subject) map[string]map[string]bool {
	keys := make(map[string]map[string]bool)
	rounds := h.doubtful(s)
	tables := h.changelogs()
	logs := h.logs()
	for table, topic := range tables {
		keys[table] = make(map[string]bool)
		for tp, log := range logs {
			if tp.Topic != topic {
				continue
			}
			for _, r := range log {
				if rounds[r.Round] {
					keys[table][string(r.Key)] = true
				}
			}
		}
	}
	return keys
}

// differ says what two copies do not have in common, or nothing.
func differ(a, b *Event, except map[string]bool) string {
	values := make(map[string]string)
	for _, e := range a.Entries {
		values[string(e.Key)] = string(e.Value)
	}
	for _, e := range b.Entries {
		k := string(e.Key)
		v, ok := values[k]
		delete(values, k)
		switch {
		case except[k]:
		case !ok:
			return fmt.Sprintf("only %s has key %q", b.Worker, k)
		case v != string(e.Value):
			return fmt.Sprintf("key %q is %q and %q", k, v, e.Value)
		}
	}
	for _, k := range sorted(values) {
		if !except[k] {
			return fmt.Sprintf("only %s has key %q", a.Worker, k)
		}
	}
	return ""
}
