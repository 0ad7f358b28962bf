package generate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// A Model computes in one plain pass over the inputs what the application of
// a plan must come to.
type Model struct {
	plan Plan
	// Tables has the entries of each table by name and key; keys of windowed
	// tables are those of WindowKey. Outs has what is sent, by topic and key,
	// in order.
	Tables map[string]map[string]int64
	Outs   map[string]map[string][]int64
}

// WindowKey names an entry of a windowed table; start is in Unix milliseconds.
func WindowKey(start int64, key string) string { return strconv.FormatInt(start, 10) + "|" + key }

// NewModel returns the model of a plan.
func NewModel(p Plan) *Model {
	return &Model{p, make(map[string]map[string]int64), make(map[string]map[string][]int64)}
}

func (m *Model) table(name string) map[string]int64 {
	if m.Tables[name] == nil {
		m.Tables[name] = make(map[string]int64)
	}
	return m.Tables[name]
}

func (m *Model) send(format string, i int, key string, v int64) {
	name := fmt.Sprintf(format, i)
	if m.Outs[name] == nil {
		m.Outs[name] = make(map[string][]int64)
	}
	m.Outs[name][key] = append(m.Outs[name][key], v)
}

// Partition runs the model over one partition of source i.
func (m *Model) Partition(i int, rs []record.Record, decode func(r record.Record) (string, int64)) {
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
		m.table(fmt.Sprintf("windows-%d", i))[WindowKey(s.start, s.key)] = v
	}
}

func (m *Model) stateless(i int, key string, v int64) {
	if m.plan.Shared {
		m.table("shared")[key] += payload(v)
	}
	if m.plan.Has(Filtering) && v%2 == 0 {
		m.send("evens-%d", i, key, 2*v)
		m.table(fmt.Sprintf("even-count-%d", i))[key]++
	}
	if m.plan.Has(Joining) && dimOf(v) != "d3" {
		m.send("joined-%d", i, key, v*10+DimValue(dimOf(v)))
	}
}

// DimValue is what the global table holds; d3 is absent.
func DimValue(dim string) int64 { return int64(dim[1] - '0') }

func (m *Model) stateful(i int, key string, v int64) {
	table := func(s string) map[string]int64 { return m.table(fmt.Sprintf("%s-%d", s, i)) }
	if m.plan.Has(Counting) {
		table("counts")[key]++
		table("seen")[key+"|"+strconv.FormatInt(v, 10)] = 1
	}
	if m.plan.Has(Folding) {
		table("folds")[key] = next(table("folds")[key], v)
	}
	if m.plan.Has(Deleting) {
		if table("last")[key] = v; payload(v)%3 == 0 {
			delete(table("last"), key)
		}
	}
	if m.plan.Has(Grouping) {
		table("sums")[parity(v)] += payload(v)
		table("order")[parity(v)+"|"+key] = next(table("order")[parity(v)+"|"+key], v)
	}
	if m.plan.Has(Failing) {
		if d := payload(v) % 10; d == 7 || d == 8 {
			m.send("dead-%d", i, key, v)
		} else {
			table("alive")[key]++
		}
	}
	if m.plan.Has(Batching) {
		m.send("batched-%d", i, key, v)
		table("batch-sums")[key] += payload(v)
	}
}

// A moment is where the event time of one partition is.
type moment struct {
	m       *Model
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
	if !at.m.plan.Has(Windowing) {
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
	if !at.m.plan.Has(Timing) {
		return
	}
	switch payload(v) % 4 {
	case 1:
		at.timers[key] = t + timerDelay.Milliseconds()
	case 2:
		delete(at.timers, key)
	}
}
