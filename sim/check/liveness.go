package check

import (
	"fmt"
	"slices"
	"strings"
)

// caughtUp is L1.
func caughtUp(h *History, s Subject) []string {
	if len(h.of(Healed)) == 0 {
		return nil
	}
	caught := h.of(Caught)
	switch {
	case len(caught) == 0:
		return []string{"input was left over when patience ended"}
	case caught[0].Took > s.Within:
		return []string{fmt.Sprintf("catching up took %d ms, more than %d", caught[0].Took, s.Within)}
	}
	return nil
}

// groupStable is L2.
func groupStable(h *History, _ Subject) (bad []string) {
	sources := make(map[TP]int)
	roles := h.roles()
	read := make(map[string]bool)
	for _, e := range h.of(GroupIs) {
		for _, parts := range e.Members {
			for _, tp := range parts {
				sources[tp]++
				read[tp.Topic] = true
			}
		}
		if !strings.EqualFold(e.Note, "stable") {
			bad = append(bad, fmt.Sprintf("the group is %s, not stable", e.Note))
		}
	}
	if len(h.of(GroupIs)) == 0 {
		return nil
	}
	for _, e := range h.of(LogIs) {
		if roles[e.Topic] != Source && !read[e.Topic] {
			continue
		}
		tp := TP{Topic: e.Topic, Partition: e.Partition}
		if n := sources[tp]; n != 1 && (n > 1 || read[e.Topic]) {
			bad = append(bad, fmt.Sprintf("%s has %d owners", tp, n))
		}
	}
	return bad
}

// restoresEnd is L3: no restore is under way once the group was found at rest,
// or at the end of a history that does not say. A worker that leaves the group
// and joins it anew, which begins its sessions anew, has given up what it had.
func restoresEnd(h *History, _ Subject) (bad []string) {
	type space struct {
		worker, table string
		partition     int32
	}
	open := make(map[space]*Event)
	sessions := make(map[string]int64)
	over := func(which func(space) bool) {
		for sp := range open {
			if which(sp) {
				delete(open, sp)
			}
		}
	}
	left := func() []string {
		for sp, e := range open {
			bad = append(bad, fmt.Sprintf("%s: the restore of %s/%d stands at %d of %d", sp.worker, sp.table, sp.partition, e.Reached, e.To))
		}
		slices.Sort(bad)
		return bad
	}
	for i := range h.Events {
		e := &h.Events[i]
		switch e.Kind {
		case Restoring:
			sp := space{e.Worker, e.Table, e.Partition}
			if open[sp] = e; e.Done {
				delete(open, sp)
			}
		case Assigned:
			if last := sessions[e.Worker]; last > 0 && e.Session <= last {
				over(func(sp space) bool { return sp.worker == e.Worker })
			}
			sessions[e.Worker] = e.Session
		case Revoked, Lost:
			// What was being restored was given up, whatever its table.
			for _, tp := range e.Parts {
				over(func(sp space) bool { return sp.worker == e.Worker && sp.partition == tp.Partition })
			}
		case Crashed, Stopped:
			over(func(sp space) bool { return sp.worker == e.Worker })
		case GroupIs:
			return left()
		}
	}
	return left()
}

// stableIsEnd is L4.
func stableIsEnd(h *History, _ Subject) (bad []string) {
	for _, e := range h.of(LogIs) {
		if e.Stable != e.End {
			bad = append(bad, fmt.Sprintf("%s/%d: the last stable offset is %d and the end %d", e.Topic, e.Partition, e.Stable, e.End))
		}
	}
	return bad
}

// stops is L5.
func stops(h *History, s Subject) (bad []string) {
	running := make(map[string]bool)
	for _, e := range h.of(Started, Stopped, Crashed) {
		running[e.Worker] = e.Kind == Started
		if e.Kind == Stopped && e.Took > s.Within {
			bad = append(bad, fmt.Sprintf("%s took %d ms to stop", e.Worker, e.Took))
		}
	}
	for _, w := range sorted(running) {
		if running[w] {
			bad = append(bad, w+" was told to stop and did not")
		}
	}
	return bad
}
