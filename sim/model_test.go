package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// A model computes in one plain pass over the inputs what the application of
// a plan must come to.
type model struct {
	plan   plan
	tables map[string]map[string]int64   // table, key
	outs   map[string]map[string][]int64 // topic, key, in order
}

func newModel(p plan) *model {
	return &model{p, make(map[string]map[string]int64), make(map[string]map[string][]int64)}
}

func (m *model) table(name string) map[string]int64 {
	if m.tables[name] == nil {
		m.tables[name] = make(map[string]int64)
	}
	return m.tables[name]
}

func (m *model) send(format string, i int, key string, v int64) {
	name := fmt.Sprintf(format, i)
	if m.outs[name] == nil {
		m.outs[name] = make(map[string][]int64)
	}
	m.outs[name][key] = append(m.outs[name][key], v)
}

// partition runs the model over one partition of source i.
func (m *model) partition(i int, rs []record.Record, decode func(r record.Record) (string, int64)) {
	at := &moment{m: m, i: i, time: record.NoTime, windows: make(map[slot]int64), timers: make(map[string]int64), closed: make(map[slot]bool)}
	for _, r := range rs {
		key, v := decode(r)
		if r.Time > at.time {
			at.time = r.Time
			at.closeWindows()
		}
		at.fireTimers()
		m.stateless(i, key, v)
		m.stateful(i, key, v)
		at.window(r.Time, key, v)
		at.timer(r.Time, key, v)
	}
	for s, v := range at.windows {
		m.table(fmt.Sprintf("windows-%d", i))[strconv.FormatInt(s.start, 10)+"|"+s.key] = v
	}
}

func (m *model) stateless(i int, key string, v int64) {
	if m.plan.Shared {
		m.table("shared")[key] += payload(v)
	}
	if m.plan.has(filtering) && v%2 == 0 {
		m.send("evens-%d", i, key, 2*v)
		m.table(fmt.Sprintf("even-count-%d", i))[key]++
	}
	if m.plan.has(joining) && dimOf(v) != "d3" {
		m.send("joined-%d", i, key, v*10+dimValue(dimOf(v)))
	}
}

// dimValue is what the global table holds; d3 is absent.
func dimValue(dim string) int64 { return int64(dim[1] - '0') }

func (m *model) stateful(i int, key string, v int64) {
	table := func(s string) map[string]int64 { return m.table(fmt.Sprintf("%s-%d", s, i)) }
	if m.plan.has(counting) {
		table("counts")[key]++
		table("seen")[key+"|"+strconv.FormatInt(v, 10)] = 1
	}
	if m.plan.has(folding) {
		table("folds")[key] = next(table("folds")[key], v)
	}
	if m.plan.has(deleting) {
		if table("last")[key] = v; payload(v)%3 == 0 {
			delete(table("last"), key)
		}
	}
	if m.plan.has(grouping) {
		table("sums")[parity(v)] += payload(v)
		table("order")[parity(v)+"|"+key] = next(table("order")[parity(v)+"|"+key], v)
	}
	if m.plan.has(failing) {
		if d := payload(v) % 10; d == 7 || d == 8 {
			m.send("dead-%d", i, key, v)
		} else {
			table("alive")[key]++
		}
	}
	if m.plan.has(batching) {
		m.send("batched-%d", i, key, v)
		table("batch-sums")[key] += payload(v)
	}
}

// A moment is where the event time of one partition is.
type moment struct {
	m       *model
	i       int
	time    int64
	windows map[slot]int64
	closed  map[slot]bool
	timers  map[string]int64
}

type slot struct {
	start int64
	key   string
}

func (s slot) compare(o slot) int {
	return cmp.Or(cmp.Compare(s.start, o.start), cmp.Compare(s.key, o.key))
}

func (at *moment) spec() topology.Window {
	return topology.Window{Size: windowSize.Milliseconds(), Grace: at.m.plan.Grace.Milliseconds()}
}

// closeWindows closes what is due, then removes what was kept long enough.
func (at *moment) closeWindows() {
	p := at.m.plan
	for _, s := range slices.SortedFunc(maps.Keys(at.windows), slot.compare) {
		end := at.spec().CloseAt(s.start)
		if end <= at.time && !at.closed[s] {
			at.closed[s] = true
			at.m.send("closed-%d", at.i, s.key, s.start/1000*1000+at.windows[s])
		}
		if p.Retain >= 0 && end+p.Retain.Milliseconds() <= at.time {
			delete(at.windows, s)
		}
	}
}

func (at *moment) window(t int64, key string, v int64) {
	if !at.m.plan.has(windowing) {
		return
	}
	start := at.spec().Start(t)
	if at.spec().CloseAt(start) <= at.time {
		at.m.send("late-%d", at.i, key, v)
		return
	}
	at.windows[slot{start, key}] += payload(v)
}

func (at *moment) fireTimers() {
	var due []slot
	for k, t := range at.timers {
		if t <= at.time {
			due = append(due, slot{t, k})
		}
	}
	slices.SortFunc(due, slot.compare)
	for _, d := range due {
		delete(at.timers, d.key)
		at.m.table(fmt.Sprintf("fires-%d", at.i))[d.key]++
		at.m.send("fired-%d", at.i, d.key, d.start)
	}
}

func (at *moment) timer(t int64, key string, v int64) {
	if !at.m.plan.has(timing) {
		return
	}
	switch payload(v) % 4 {
	case 1:
		at.timers[key] = t + timerDelay.Milliseconds()
	case 2:
		delete(at.timers, key)
	}
}
