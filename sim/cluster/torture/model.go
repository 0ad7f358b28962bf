package torture

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/sim/check"
)

// encode and decode are the codec of int64.
func encode(v int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(v)^1<<63)
}

func decode(b []byte) (int64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b) ^ 1<<63), true
}

// Model computes in one plain pass over the committed input what must come
// out.
func Model(in []check.Record) check.Expectation {
	m := &model{exp: check.Expectation{
		Ordered:   make(map[string]map[string][]string),
		Unordered: make(map[string]map[string]int),
		Tables:    make(map[string]map[string]string),
		// What depends on the order of all records, or on how many there
		// were, is not what the model says once records are handled twice.
		Approximate: map[string]bool{"ranked": true, "closed": true, "fired": true, "last": true, "late": true, "fires": true, "windows": true, "timer": true},
	}, dims: make(map[string]int64), numbers: make(map[string]map[string]int64)}
	for _, t := range []string{"receipts", "ranked", "closed", "fired", "joined", "batched", "halves", "late"} {
		m.exp.Ordered[t] = make(map[string][]string)
	}
	m.exp.Unordered["dead"] = make(map[string]int)
	for _, r := range in {
		if v, ok := decode(r.Value); ok && r.Topic == "dims" {
			m.dims[string(r.Key)] = v
		}
	}
	parts := make(map[int32][]check.Record)
	for _, r := range in {
		if r.Topic == "events" {
			parts[r.Partition] = append(parts[r.Partition], r)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(parts)) {
		m.partition(parts[p])
	}
	for _, t := range []string{"counts", "folds", "last", "fires", "alive", "sums", "order", "batch-sums", "even-counts", "windows"} {
		m.exp.Tables[t] = make(map[string]string)
		for k, v := range m.table(t) {
			m.exp.Tables[t][k] = string(encode(v))
		}
	}
	return m.exp
}

type model struct {
	exp     check.Expectation
	dims    map[string]int64
	numbers map[string]map[string]int64 // tables
}

func (m *model) table(name string) map[string]int64 {
	if m.numbers[name] == nil {
		m.numbers[name] = make(map[string]int64)
	}
	return m.numbers[name]
}

func (m *model) send(topic, key string, v int64) {
	m.exp.Ordered[topic][key] = append(m.exp.Ordered[topic][key], string(encode(v)))
}

// partition runs the model over one partition of the events.
func (m *model) partition(rs []check.Record) {
	at := &moment{m: m, time: record.NoTime, windows: make(map[slot]int64), timers: make(map[string]int64), closed: make(map[slot]bool)}
	for _, r := range rs {
		if r.Time > at.time {
			at.time = r.Time
			at.closeWindows()
		}
		at.fireTimers()
		v, ok := decode(r.Value)
		if !ok {
			m.exp.Unordered["dead"][check.Pair(r.Key, r.Value)] += agents
			continue
		}
		key := string(r.Key)
		m.send("receipts", key, v)
		m.tables(key, v)
		at.window(r, key, v)
		at.timer(r.Time, key, v)
		if d := payload(v) % 20; d == 7 || d == 8 {
			m.exp.Unordered["dead"][check.Pair(r.Key, r.Value)]++
		} else {
			m.table("alive")[key]++
		}
	}
	for s, v := range at.windows {
		m.table("windows")[string(topology.AppendWindowStart(nil, s.start))+s.key] = v
	}
}

func (m *model) tables(key string, v int64) {
	m.table("counts")[key]++
	m.table("folds")[key] = next(m.table("folds")[key], v)
	m.send("ranked", key, v<<16+m.table("counts")[key])
	if m.table("last")[key] = v; payload(v)%3 == 0 {
		delete(m.table("last"), key)
	}
	if d, ok := m.dims[dimOf(v)]; ok {
		m.send("joined", key, v*10+d)
	}
	m.table("sums")[groupOf(v)] += payload(v)
	o := groupOf(v) + "|" + keyOf(v)
	m.table("order")[o] = next(m.table("order")[o], v)
	m.send("batched", key, v)
	m.table("batch-sums")[key] += payload(v)
	if v%2 == 0 {
		m.table("even-counts")[key]++
		m.send("halves", key, 2*v/4)
	}
}

// A moment is where the event time of one partition is.
type moment struct {
	m       *model
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

var spec = topology.Window{Size: windowSize.Milliseconds(), Grace: grace.Milliseconds()}

func (at *moment) closeWindows() {
	for _, s := range slices.SortedFunc(maps.Keys(at.windows), slot.compare) {
		if spec.CloseAt(s.start) <= at.time && !at.closed[s] {
			at.closed[s] = true
			at.m.send("closed", s.key, closedAs(s.start, at.windows[s]))
		}
	}
}

func (at *moment) window(r check.Record, key string, v int64) {
	start := spec.Start(r.Time)
	if spec.CloseAt(start) <= at.time {
		at.m.exp.Ordered["late"][key] = append(at.m.exp.Ordered["late"][key], string(r.Value))
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
		at.m.table("fires")[d.key]++
		at.m.send("fired", d.key, d.start*1000+at.m.table("fires")[d.key])
	}
}

func (at *moment) timer(t int64, key string, v int64) {
	switch payload(v) % 4 {
	case 1:
		at.timers[key] = t + timerDelay.Milliseconds()
	case 2:
		delete(at.timers, key)
	}
}

// keyName is the key of number k.
func keyName(k int) string { return "k" + strconv.Itoa(k) }
