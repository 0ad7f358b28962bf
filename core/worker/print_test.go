package worker_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// print writes an effect as a line that can be read without the code.
func (l *lab) print(e worker.Effect) {
	switch e := e.(type) {
	case worker.Open:
		rebuild := ""
		if e.Rebuild {
			rebuild = ", rebuild"
		}
		l.printf("-> open %s gen %d: read %s, keep [%s]%s", e.Task, e.Generation, join(e.Inputs), strings.Join(e.Stores, " "), rebuild)
	case worker.Restore:
		l.printf("-> restore %s gen %d", e.Task, e.Generation)
		for _, p := range e.Plans {
			l.printf("     %s: read %s from %d to %d", p.Space, p.TP, p.From, p.To)
			if p.Drop {
				l.printf("     %s: empty it first: %s", p.Space, p.Reason)
			}
		}
	case worker.Fetch:
		var at []string
		for _, tp := range sortedParts(e.At) {
			at = append(at, fmt.Sprintf("%s at %d", tp, e.At[tp]))
		}
		l.printf("-> fetch in session %d: %s", e.Session, strings.Join(at, ", "))
	case worker.Unfetch:
		l.printf("-> stop fetching %s", join(e.Parts))
	case worker.Pause:
		l.printf("-> pause %s", join(e.Parts))
	case worker.Resume:
		l.printf("-> resume %s", join(e.Parts))
	case worker.Commit:
		l.printf("-> commit round %d", e.Round.ID)
		l.printRound(e.Round)
	case worker.Apply:
		l.printf("-> apply round %d", e.Round)
		l.printBatch(e.Batch)
	case worker.Recover:
		l.printf("-> recover the producer")
	case worker.Close:
		l.printf("-> close %s gen %d", e.Task, e.Generation)
	case worker.Released:
		l.printf("-> released %s", e.Task)
	case worker.Halted:
		l.printf("-> halted %s: %v", e.Task, e.Err)
	case worker.Reset:
		l.printf("-> reset %s: %s was committed at %d, reading goes on at %d", e.Task, e.TP, e.From, e.To)
	case worker.Rejoin:
		l.printf("-> rejoin: %v", e.Err)
	default:
		l.printf("-> unknown effect %T", e)
	}
}

// showEvent writes an event as the command that makes it.
func showEvent(ev worker.Event) string {
	switch ev := ev.(type) {
	case worker.Assign:
		return fmt.Sprintf("assign in generation %d", ev.Generation)
	case worker.Opened:
		return fmt.Sprintf("opened %s", ev.Task)
	case worker.Restored:
		return fmt.Sprintf("restored %s", ev.Task)
	case worker.Fetched:
		return fmt.Sprintf("fetched %d of %s", len(ev.Records), ev.TP)
	case worker.Work:
		return fmt.Sprintf("work now=%d", ev.Now)
	case worker.Decided:
		return fmt.Sprintf("decided: %s", ev.Outcome)
	default:
		return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", ev), "worker."))
	}
}

func (l *lab) printRound(r *worker.Round) {
	for _, e := range r.Epochs {
		for _, rec := range e.Outputs {
			l.printf("     %s: output %s %s", e.Task, rec.TP(), show(&rec))
		}
		for _, rec := range e.Changes {
			l.printf("     %s: change %s %s", e.Task, rec.TP(), show(&rec))
		}
		var at []string
		for _, o := range e.Offsets {
			at = append(at, fmt.Sprintf("%s/%d at %d", o.Topic, o.Partition, o.Offset))
		}
		l.printf("     %s: offsets %s; stream time %s", e.Task, strings.Join(at, ", "), showTime(e.StreamTime))
	}
}

func (l *lab) printBatch(b *store.Batch) {
	for _, p := range b.Parts() {
		var ops []string
		for _, op := range p.Ops {
			if op.Value == nil {
				ops = append(ops, "delete "+showKey(p.Space.Table, op.Key))
				continue
			}
			ops = append(ops, "put "+showKey(p.Space.Table, op.Key)+"="+showValue(op.Value))
		}
		l.printf("     %s gen %d: %s; position %d", p.Space, p.Generation, strings.Join(ops, ", "), p.Position.Changelog)
	}
}

func join(tps []record.TopicPartition) string {
	var s []string
	for _, tp := range tps {
		s = append(s, tp.String())
	}
	return strings.Join(s, " ")
}

func showTime(at int64) string {
	if at == record.NoTime {
		return "none"
	}
	return fmt.Sprint(at)
}

// show prints key and value of a record; changelogs have the keys of their tables.
func show(r *record.Record) string {
	table := strings.TrimSuffix(strings.TrimPrefix(r.Topic, appName+"-"), "-changelog")
	key := "(no key)"
	if r.Key != nil {
		key = showKey(table, r.Key)
	}
	if r.Value == nil {
		return key + " deleted"
	}
	return key + "=" + showValue(r.Value)
}

// showKey prints a storage key: those of windows and timers hold times.
func showKey(table string, key []byte) string {
	switch table {
	case "hourly", "rooms-hourly", "sold-hourly", "trips-hourly":
		start, user, _ := topology.SplitWindowKey(key)
		return fmt.Sprintf("[%d,%d)%s", start, start+100, user)
	case "bell", "reminder":
		if key[0] == 't' {
			return fmt.Sprintf("at:%d:%s", int64(binary.BigEndian.Uint64(key[1:9])^(1<<63)), key[9:])
		}
		return "key:" + string(key[1:])
	}
	return string(key)
}

func showValue(v []byte) string {
	if len(v) == 8 && v[0] == 0 {
		return fmt.Sprint(binary.BigEndian.Uint64(v)) // the time of a timer
	}
	return string(v)
}

// tables prints what the disk holds.
func (l *lab) tables() {
	var names []store.Space
	for sp := range l.disk.spaces {
		names = append(names, sp)
	}
	slices.SortFunc(names, func(x, y store.Space) int { return strings.Compare(x.String(), y.String()) })
	for _, sp := range names {
		s := l.disk.spaces[sp]
		if !s.pos.Exists && len(s.data) == 0 {
			continue
		}
		var entries []string
		for _, k := range slices.Sorted(maps.Keys(s.data)) {
			entries = append(entries, showKey(sp.Table, []byte(k))+"="+showValue([]byte(s.data[k])))
		}
		l.printf("%s: %s; position %d", sp, strings.Join(entries, " "), s.pos.Changelog)
	}
	if len(l.lines) == 0 {
		l.printf("the disk is empty")
	}
}

// topic prints what a reader of committed records sees.
func (l *lab) topic(tp record.TopicPartition, headers bool) {
	p := l.broker.log(tp)
	for at := p.start; at < p.end(); at++ {
		r := p.slots[at]
		if r == nil {
			l.printf("%d: -", at)
			continue
		}
		l.printf("%d: %s", at, show(r))
		if headers {
			l.printf("     time %d", r.Time)
			for _, h := range r.Headers {
				v := string(h.Value)
				if h.Key == task.HeaderStack {
					v = fmt.Sprintf("(a stack with misbehave: %t)", strings.Contains(v, "misbehave"))
				}
				l.printf("     %s: %s", h.Key, v)
			}
		}
	}
	l.printf("end %d", p.end())
}

func (l *lab) tasks() {
	for _, in := range l.m.Tasks() {
		var next []string
		for _, tp := range sortedParts(in.Next) {
			next = append(next, fmt.Sprintf("%s at %d", tp, in.Next[tp]))
		}
		l.printf("%s gen %d %s: next %s; stream time %s%s", in.Task, in.Generation, in.State,
			orNone(strings.Join(next, ", ")), showTime(in.StreamTime), showStats(in.Stats))
		if in.Err != nil {
			l.printf("     %v", in.Err)
		}
	}
	if len(l.lines) == 0 {
		l.printf("no tasks")
	}
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func showStats(s task.Stats) string {
	var b strings.Builder
	add := func(name string, n int64) {
		if n != 0 {
			fmt.Fprintf(&b, "; %s %d", name, n)
		}
	}
	add("processed", s.Processed)
	add("late", s.Late)
	add("skipped", s.Skipped)
	add("dead-lettered", s.DeadLettered)
	add("retried", s.Retried)
	add("fired", s.Fired)
	add("closed", s.Closed)
	add("seen before", s.Stale)
	return b.String()
}

func (l *lab) offsets() {
	for _, tp := range sortedParts(l.broker.committed) {
		c := l.broker.committed[tp]
		l.printf("%s at %d %s", tp, c.offset, c.metadata)
	}
	if len(l.lines) == 0 {
		l.printf("nothing is committed")
	}
}
