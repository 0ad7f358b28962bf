package timeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weirstream/weir/sim/check"
)

// A Class says what kind of thing a row shows.
type Class string

// Classes of rows.
const (
	Life      Class = "life"      // started, stopped
	Crash     Class = "crash"     // crashed
	Group     Class = "group"     // assigned, revoked, lost
	Commit    Class = "commit"    // committed rounds
	Failure   Class = "failure"   // rounds that were not committed
	Restore   Class = "restore"   // what a store held, restores
	Fault     Class = "fault"     // what was done to the system
	Milestone Class = "milestone" // healed, caught up, the group at the end
)

// A Row is something that happened, to one worker or to all.
type Row struct {
	// N is the number of the event, or of the last of several.
	N int64
	// At is when it was, in milliseconds after the first event.
	At    int64
	Class Class
	// Column is the number of the worker, or -1 for what concerns all.
	Column int
	Text   string
	// Alive says for each column whether a worker lives after this.
	Alive []bool
}

// A Timeline is a history as rows.
type Timeline struct {
	Columns    []string
	Rows       []Row
	Violations []check.Violation
}

// New makes a timeline of a history and what is wrong with it.
func New(h *check.History, vs []check.Violation) *Timeline {
	b := &builder{t: &Timeline{Violations: vs}, column: make(map[string]int)}
	for i := range h.Events {
		if w := h.Events[i].Worker; w != "" && h.Events[i].Kind != check.Held {
			b.columnOf(w)
		}
	}
	// Columns are in the order of names, whoever started first.
	slices.Sort(b.t.Columns)
	for i, name := range b.t.Columns {
		b.column[name] = i
	}
	b.runs, b.restoring = make([]commits, len(b.t.Columns)), make([]restores, len(b.t.Columns))
	for i := range h.Events {
		b.event(&h.Events[i])
	}
	b.flushAll()
	b.inOrder()
	return b.t
}

// inOrder sorts the rows, since what was counted is written late, and says who
// lived at each.
func (b *builder) inOrder() {
	slices.SortStableFunc(b.t.Rows, func(a, c Row) int { return cmp.Compare(a.N, c.N) })
	alive := make([]bool, len(b.t.Columns))
	for i := range b.t.Rows {
		r := &b.t.Rows[i]
		for len(b.lives) > 0 && b.lives[0].n <= r.N {
			alive[b.lives[0].column] = b.lives[0].alive
			b.lives = b.lives[1:]
		}
		r.Alive = slices.Clone(alive)
	}
}

// nameOf is the worker of a life.
func nameOf(life string) string {
	if name, n, ok := cutLast(life); ok {
		if _, err := strconv.Atoi(n); err == nil {
			return name
		}
	}
	return life
}

func cutLast(s string) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, '.'); i > 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// A builder turns events into rows.
type builder struct {
	t         *Timeline
	column    map[string]int
	begin     int64
	lives     []life
	runs      []commits
	restoring []restores
}

// A life is the begin or the end of one.
type life struct {
	n      int64
	column int
	alive  bool
}

// commits are rounds in a row that were committed, which make one row.
type commits struct {
	rounds, records, offsets int
	sent                     map[int64]*check.Event
	last                     *check.Event
}

// restores are restores in a row that ended, which make one row.
type restores struct {
	count   int
	records int64
	last    *check.Event
}

func (b *builder) columnOf(life string) int {
	name := nameOf(life)
	c, ok := b.column[name]
	if !ok {
		c = len(b.t.Columns)
		b.column[name] = c
		b.t.Columns = append(b.t.Columns, name)
	}
	return c
}

// rowf adds a row, after what was being counted for the worker, or for all.
func (b *builder) rowf(e *check.Event, c int, class Class, format string, args ...any) {
	if c < 0 {
		b.flushAll()
	} else {
		b.flush(c)
	}
	b.add(e, c, class, fmt.Sprintf(format, args...))
}

func (b *builder) add(e *check.Event, c int, class Class, text string) {
	b.t.Rows = append(b.t.Rows, Row{N: e.N, At: e.At - b.begin, Class: class, Column: c, Text: text})
}

func (b *builder) flushAll() {
	for c := range b.runs {
		b.flush(c)
	}
}

// flush writes what was counted for a worker.
func (b *builder) flush(c int) {
	if r := b.restoring[c]; r.count > 0 {
		b.restoring[c] = restores{}
		b.add(r.last, c, Restore, fmt.Sprintf("restored %s, %s", plural(r.count, "space"), plural(int(r.records), "record")))
	}
	if r := b.runs[c]; r.rounds > 0 {
		b.runs[c] = commits{sent: r.sent}
		b.add(r.last, c, Commit, fmt.Sprintf("%s: %s, %s", plural(r.rounds, "commit"), plural(r.records, "record"), plural(r.offsets, "offset")))
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (b *builder) event(e *check.Event) {
	if b.begin == 0 {
		b.begin = e.At
	}
	switch e.Kind {
	case check.Fault:
		b.rowf(e, -1, Fault, "%s", e.Note)
	case check.Compacted:
		b.rowf(e, -1, Fault, "the broker compacts its logs")
	case check.Healed:
		b.rowf(e, -1, Milestone, "healed: no more faults")
	case check.Caught:
		b.rowf(e, -1, Milestone, "caught up after %d ms", e.Took)
	case check.GroupIs:
		b.rowf(e, -1, Milestone, "the group is %s: %s", e.Note, members(e.Members))
	default:
		if e.Worker != "" {
			b.worker(e, b.columnOf(e.Worker))
		}
	}
}

// worker adds an event of one worker.
func (b *builder) worker(e *check.Event, c int) {
	switch e.Kind {
	case check.Started:
		b.lives = append(b.lives, life{e.N, c, true})
		b.rowf(e, c, Life, "%s started", e.Worker)
	case check.Stopped:
		b.lives = append(b.lives, life{e.N, c, false})
		b.rowf(e, c, Life, "%s stopped%s", e.Worker, note(e))
	case check.Crashed:
		b.lives = append(b.lives, life{e.N, c, false})
		b.rowf(e, c, Crash, "%s crashed%s", e.Worker, note(e))
	case check.Assigned:
		b.rowf(e, c, Group, "assigned %s", parts(e.Parts))
	case check.Revoked:
		b.rowf(e, c, Group, "revoked %s", parts(e.Parts))
	case check.Lost:
		b.rowf(e, c, Group, "lost %s", parts(e.Parts))
	case check.Sent, check.Decided:
		b.round(e, c)
	case check.Opened:
		if e.Corrupt {
			b.rowf(e, c, Restore, "%s/%d is damaged", e.Table, e.Partition)
		}
	case check.Restoring:
		b.restore(e, c)
	default:
	}
}

// round counts commits, and shows those that came to nothing.
func (b *builder) round(e *check.Event, c int) {
	r := &b.runs[c]
	if r.sent == nil {
		r.sent = make(map[int64]*check.Event)
	}
	if e.Kind == check.Sent {
		r.sent[e.Round] = e
		return
	}
	sent := r.sent[e.Round]
	delete(r.sent, e.Round)
	if e.Outcome != "committed" {
		b.rowf(e, c, Failure, "round %d: %s", e.Round, e.Outcome)
		return
	}
	r.rounds++
	r.last = e
	if sent != nil {
		r.records += len(sent.Records)
		r.offsets += len(sent.Offsets)
	}
}

// restore counts restores that ended, and shows those with a reason.
func (b *builder) restore(e *check.Event, c int) {
	switch {
	case e.Done:
		r := &b.restoring[c]
		r.count++
		r.records += max(e.Reached-e.From, 0)
		r.last = e
	case e.Note != "":
		b.rowf(e, c, Restore, "restore of %s/%d from %d: %s", e.Table, e.Partition, e.From, e.Note)
	}
}

func note(e *check.Event) string {
	if e.Note == "" || e.Note == "<nil>" {
		return ""
	}
	return ": " + e.Note
}

// parts lists partitions, those of one topic together.
func parts(tps []check.TP) string {
	if len(tps) == 0 {
		return "nothing"
	}
	of := make(map[string][]int32)
	for _, tp := range tps {
		of[tp.Topic] = append(of[tp.Topic], tp.Partition)
	}
	var s []string
	for _, topic := range slices.Sorted(maps.Keys(of)) {
		slices.Sort(of[topic])
		s = append(s, strings.ReplaceAll(fmt.Sprint(topic, of[topic]), " ", ","))
	}
	return strings.Join(s, " ")
}

func members(m map[string][]check.TP) string {
	var s []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		s = append(s, name+" has "+parts(m[name]))
	}
	return strings.Join(s, "; ")
}
