package standby_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// testTopology has a sub-topology with one table, one with a table and timers,
// and one without state.
func testTopology() *topology.Topology {
	return &topology.Topology{App: "app", Subs: []*topology.Sub{
		{Name: "alarms", Sources: []string{"alarms"}, Tables: []*topology.Table{{Name: "rung"}}, Timers: []*topology.Timer{{Name: "bell"}}},
		{Name: "plain", Sources: []string{"plain"}},
		{Name: "words", Sources: []string{"words"}, Tables: []*topology.Table{{Name: "counts"}}},
	}}
}

// A log is a changelog partition; nil is an offset that no reader sees.
type log struct {
	start   int64
	records []*record.Record
	// all are the records as they were before compaction, and horizon says
	// from when on a deletion may go.
	all     []*record.Record
	horizon map[int]int64
}

func (l *log) end() int64 { return int64(len(l.records)) }

func (l *log) append(r *record.Record) {
	l.records, l.all = append(l.records, r), append(l.all, r)
}

// compact does what Kafka's cleaner does (KIP-534): what is superseded goes, and a
// deletion that it met longer than the retention ago.
func (l *log) compact(now, retention int64) {
	if l.horizon == nil {
		l.horizon = make(map[int]int64)
	}
	newest := make(map[string]int)
	for at, r := range l.records {
		if r != nil {
			newest[string(r.Key)] = at
		}
	}
	for at, r := range l.records {
		switch horizon, met := l.horizon[at]; {
		case r == nil:
		case newest[string(r.Key)] != at:
			l.records[at] = nil
		case r.Value == nil && !met:
			l.horizon[at] = now + retention
		case r.Value == nil && now > horizon:
			l.records[at] = nil
		}
	}
}

// A lab is a driver of one Machine whose every step is asked for. Answers of
// services follow from the logs and the store.
type lab struct {
	t    testing.TB
	m    *standby.Machine
	logs map[record.TopicPartition]*log
	disk *disk
	gen  store.Generation
	now  int64
	// retention of tombstones in changelogs
	retention int64

	opens map[task.ID]standby.Open
	drops map[task.ID]standby.Drop
	reads map[record.TopicPartition]*reading
	taken []task.ID
	lines []string
}

// A reading is one changelog that is being fetched.
type reading struct {
	session, next int64
	paused        bool
	before        int64 // when there was last nothing to read
}

func newLab(t testing.TB, max int) *lab {
	return &lab{
		t: t, m: standby.New(standby.Config{Topology: testTopology(), MaxBatchBytes: max}),
		logs: make(map[record.TopicPartition]*log), disk: newDisk(),
		opens: make(map[task.ID]standby.Open), drops: make(map[task.ID]standby.Drop), reads: make(map[record.TopicPartition]*reading),
	}
}

func (l *lab) log(tp record.TopicPartition) *log {
	if l.logs[tp] == nil {
		l.logs[tp] = &log{}
	}
	return l.logs[tp]
}

func (l *lab) printf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// take returns what was printed.
func (l *lab) take() string {
	if len(l.lines) == 0 {
		return ""
	}
	out := strings.Join(l.lines, "\n") + "\n"
	l.lines = nil
	return out
}

// step gives the machine an event and carries out what it answers; a batch is
// written, and answered, before anything else happens.
func (l *lab) step(ev standby.Event) {
	var applied *standby.Applied
	for _, e := range slices.Clone(l.m.Step(ev)) {
		l.print(e)
		switch e := e.(type) {
		case standby.Open:
			l.opens[e.Task] = e
		case standby.Drop:
			l.drops[e.Task] = e
		case standby.Fetch:
			for tp, at := range e.At {
				l.reads[tp] = &reading{session: e.Session, next: at}
			}
		case standby.Unfetch:
			for _, tp := range e.Parts {
				delete(l.reads, tp)
			}
		case standby.Pause:
			l.pause(e.Parts, true)
		case standby.Resume:
			l.pause(e.Parts, false)
		case standby.Apply:
			applied = &standby.Applied{Err: l.disk.apply(e.Batch)}
		case standby.Close:
			for _, name := range e.Stores {
				l.disk.fence.Release(store.Space{Table: name, Partition: e.Task.Partition}, e.Generation)
			}
		case standby.Taken:
			l.taken = append(l.taken, e.Tasks...)
		case standby.CaughtUp, standby.Failed:
		default:
			l.t.Fatalf("unknown effect %T", e)
		}
	}
	if applied != nil {
		if applied.Err != nil {
			l.printf("   the store refuses: %v", applied.Err)
		}
		l.step(*applied)
	}
}

func (l *lab) pause(parts []record.TopicPartition, paused bool) {
	for _, tp := range parts {
		l.reads[tp].paused = paused
	}
}

// open answers Open.
func (l *lab) open(id task.ID) {
	e, ok := l.opens[id]
	if !ok {
		l.t.Fatalf("nobody asked to open %s", id)
	}
	delete(l.opens, id)
	ev := standby.Opened{Task: id, Generation: e.Generation}
	for _, name := range e.Stores {
		tp := record.TopicPartition{Topic: topology.ChangelogTopic("app", name), Partition: id.Partition}
		sp := store.Space{Table: name, Partition: id.Partition}
		pos, err := l.disk.open(sp, e.Generation)
		if err != nil {
			ev.Err, ev.Logs = err, nil
			break
		}
		ev.Logs = append(ev.Logs, changelog.Log{
			Space: sp, TP: tp, Start: l.log(tp).start, End: l.log(tp).end(), Position: pos,
			Corrupt: l.disk.space(sp).corrupt, Now: l.now, TombstoneRetention: l.retention,
		})
	}
	l.step(ev)
}

// drop answers Drop.
func (l *lab) drop(id task.ID) {
	e, ok := l.drops[id]
	if !ok {
		l.t.Fatalf("nobody asked to empty spaces of %s", id)
	}
	delete(l.drops, id)
	ev := standby.Dropped{Task: id, Generation: e.Generation}
	for _, p := range e.Plans {
		if err := l.disk.drop(p.Space, e.Generation); err != nil {
			ev.Err = err
		}
	}
	l.step(ev)
}

// fetch brings at most max offsets of one changelog and reports whether there
// was anything.
func (l *lab) fetch(tp record.TopicPartition, max int64) bool {
	r := l.reads[tp]
	g := l.log(tp)
	switch {
	case r == nil || r.paused:
		return false
	case r.next == g.end():
		r.before = l.now
		return false
	case r.next < g.start || r.next > g.end():
		delete(l.reads, tp)
		l.step(standby.FetchFailed{TP: tp, Session: r.session})
		return true
	}
	ev := standby.Fetched{TP: tp, Session: r.session, Read: changelog.Read{Next: min(r.next+max, g.end()), At: l.now, Before: r.before}}
	if r.before = 0; ev.Next == g.end() {
		ev.Whole, r.before = l.now, l.now
	}
	for at := r.next; at < ev.Next; at++ {
		if rec := g.records[at]; rec != nil {
			rec := *rec
			rec.Offset = at
			ev.Records = append(ev.Records, rec)
		}
	}
	r.next = ev.Next
	l.step(ev)
	return true
}

// poll brings all there is.
func (l *lab) poll(max int64) {
	for _, tp := range slices.SortedFunc(maps.Keys(l.reads), record.TopicPartition.Compare) {
		l.fetch(tp, max)
	}
	l.step(standby.Polled{})
}

// tables prints what the store holds, as one who takes it over sees it.
func (l *lab) tables() {
	for _, sub := range testTopology().Subs {
		for _, name := range sub.Stores() {
			for p := range int32(2) {
				l.table(store.Space{Table: name, Partition: p})
			}
		}
	}
}

func (l *lab) table(sp store.Space) {
	data, pos := l.disk.content(sp), l.disk.space(sp).pos
	if !pos.Exists && len(data) == 0 {
		return
	}
	var words []string
	for _, k := range slices.Sorted(maps.Keys(data)) {
		words = append(words, k+"="+data[k])
	}
	l.printf("%s: %s; position %d", sp, strings.Join(words, " "), pos.Changelog)
}
