package check

import (
	"fmt"
	"strings"
)

// A life is what a history says of one life of a worker at some moment.
type life struct {
	alive     bool
	parts     map[TP]bool
	open      map[int64]*Event // rounds without an outcome
	last      map[TP]Offset    // committed
	restoring map[string]*Event
	rounds    int
}

// State describes what is known of all workers that live, after the events
// so far: what they own and restore, what they have committed, and which
// rounds are on their way.
func (h *History) State() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	lives := make(map[string]*life)
	senders := make(map[int64]string)
	for i := range h.Events {
		e := &h.Events[i]
		worker := e.Worker
		switch e.Kind {
		case Sent:
			senders[e.Round] = worker
		case Decided:
			worker = senders[e.Round]
		default:
		}
		if worker == "" || e.Kind == Held {
			continue
		}
		if lives[worker] == nil {
			lives[worker] = &life{alive: true, parts: make(map[TP]bool), open: make(map[int64]*Event), last: make(map[TP]Offset), restoring: make(map[string]*Event)}
		}
		lives[worker].note(e)
	}
	var b strings.Builder
	for _, name := range sorted(lives) {
		if l := lives[name]; l.alive {
			l.print(&b, name)
		}
	}
	return b.String()
}

func (l *life) note(e *Event) {
	space := fmt.Sprintf("%s/%d", e.Table, e.Partition)
	switch e.Kind {
	case Stopped, Crashed:
		l.alive = false
	case Assigned:
		for _, tp := range e.Parts {
			l.parts[tp] = true
		}
	case Revoked, Lost:
		for _, tp := range e.Parts {
			delete(l.parts, tp)
		}
	case Restoring:
		if l.restoring[space] = e; e.Done {
			delete(l.restoring, space)
		}
	case Opened:
		delete(l.restoring, space)
	case Sent:
		l.open[e.Round] = e
	case Decided:
		sent := l.open[e.Round]
		delete(l.open, e.Round)
		if sent == nil || e.Outcome != "committed" {
			return
		}
		l.rounds++
		for _, o := range sent.Offsets {
			l.last[o.TP] = o
		}
	default:
	}
}

func (l *life) print(b *strings.Builder, name string) {
	fmt.Fprintf(b, "%s: %d rounds committed\n", name, l.rounds)
	for _, tp := range tps(l.parts) {
		fmt.Fprintf(b, "  owns %s", tp)
		if o, ok := l.last[tp]; ok {
			fmt.Fprintf(b, ", committed offset %d (%s)", o.At, o.Metadata)
		}
		b.WriteByte('\n')
	}
	for _, space := range sorted(l.restoring) {
		e := l.restoring[space]
		fmt.Fprintf(b, "  restores %s: at %d of %d (%s)\n", space, e.Reached, e.To, e.Note)
	}
	for _, id := range sorted(l.open) {
		fmt.Fprintf(b, "  round %d is on its way: %d records, offsets", id, len(l.open[id].Records))
		for _, o := range l.open[id].Offsets {
			fmt.Fprintf(b, " %s=%d", o.TP, o.At)
		}
		b.WriteByte('\n')
	}
}
