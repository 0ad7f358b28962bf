package worker_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/cockroachdb/datadriven"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// A crashes runs one scenario again and again and ends the process at another
// place each time: after every event, every effect and every step of a service.
// A new worker then goes on from what is durable.
type crashes struct {
	t      testing.TB
	lines  []string
	bug    string
	tasks  []task.ID
	spaces []store.Space
	want   string // what is there in the end when nothing crashes
}

// A place is one at which the process may end, and what is durable there.
type place struct {
	what, durable string
	// ways are the outcomes that the open transaction may still have.
	ways []string
}

// crashed ends a process.
type crashed struct{}

func newCrashes(t testing.TB, input, bug string, tasks []task.ID) *crashes {
	c := &crashes{t: t, lines: strings.Split(strings.TrimSpace(input), "\n"), bug: bug, tasks: tasks}
	for _, sub := range newTestApp(t).topo.Subs {
		for _, id := range tasks {
			if id.Sub == sub.Name {
				for _, name := range sub.Stores() {
					c.spaces = append(c.spaces, store.Space{Table: name, Partition: id.Partition})
				}
			}
		}
	}
	return c
}

// run carries the scenario out up to the place with number last, or to its
// end, and calls each at every place.
func (c *crashes) run(last int, each func(l *lab, what string)) *lab {
	l := newLab(c.t)
	l.bug = c.bug
	n := 0
	l.place = func(what string) {
		n++
		each(l, what)
		if n == last {
			panic(crashed{})
		}
	}
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(crashed); !ok {
				panic(v)
			}
		}
	}()
	c.script(l)
	l.place = nil
	return l
}

// crash is run without a result: the lab it leaves is what outlives a process.
func (c *crashes) crash(last int) *lab {
	var left *lab
	n := 0
	c.run(last, func(l *lab, _ string) { left, n = l, n+1 })
	if n != last {
		c.t.Fatalf("the scenario has %d places, it was to crash at %d: it does not run twice alike", n, last)
	}
	left.place = nil
	return left
}

func (c *crashes) script(l *lab) {
	for _, line := range c.lines {
		if rest, ok := strings.CutPrefix(line, "produce "); ok {
			l.produce(rest)
			continue
		}
		cmd, args, err := datadriven.ParseLine(line)
		if err != nil {
			c.t.Fatal(err)
		}
		if cmd != "" {
			l.run(&datadriven.TestData{Cmd: cmd, CmdArgs: args})
		}
	}
}

// calm runs the scenario without a crash or a mistake, for its end, and
// without a crash, for its places.
func (c *crashes) calm() []place {
	bug := c.bug
	c.bug = ""
	l := c.run(-1, func(*lab, string) {})
	if !l.finish(c.tasks) {
		c.t.Fatal("the work does not end without a crash either")
	}
	c.want, c.bug = c.endState(l), bug
	return c.places()
}

func (c *crashes) places() []place {
	var ps []place
	c.run(-1, func(l *lab, what string) {
		p := place{what: what, durable: c.durable(l), ways: []string{""}}
		if x := l.broker.open; x != nil {
			p.ways = []string{"aborted"}
			if x.pending {
				p.ways = append(p.ways, "committed")
			}
		}
		ps = append(ps, p)
	})
	for _, kind := range placesWanted {
		if !slices.ContainsFunc(ps, func(p place) bool { return strings.HasPrefix(p.what, kind) }) {
			c.t.Fatalf("the scenario never crashes after a step like %q", kind)
		}
	}
	return ps
}

// placesWanted are the kinds of steps that a scenario must have to be worth it.
var placesWanted = []string{
	"event assign", "event opened", "event restored", "event fetched", "event work", "event applied", "event recovered", "event revoke",
	"event decided: committed", "event decided: aborted", "event decided: unknown",
	"-> open", "-> restore", "-> fetch", "-> stop fetching", "-> commit", "-> apply", "-> recover", "-> close", "-> released",
	"sent records", "sent the offsets", "the broker ended", "the store took",
}

// durable says what the broker and the disk hold.
func (c *crashes) durable(l *lab) string {
	var at, ends, held []string
	for _, id := range c.tasks {
		at = append(at, strconv.FormatInt(l.broker.committed[record.TopicPartition{Topic: id.Sub, Partition: id.Partition}].offset, 10))
	}
	for _, sp := range c.spaces {
		ends = append(ends, strconv.FormatInt(l.broker.log(changelogOf(sp)).stable(), 10))
		pos := "-"
		if p := l.disk.space(sp).pos; p.Exists {
			pos = strconv.FormatInt(p.Changelog, 10)
		}
		held = append(held, pos)
	}
	return strings.Join(at, " ") + "\t" + strings.Join(ends, " ") + "\t" + strings.Join(held, " ")
}

// recover goes on with a new worker and says what it started from and how it
// ended.
func (c *crashes) recover(l *lab, emptyDisk bool, way string) (how, end string) {
	waits := ""
	l.blocked = func() {
		waits = "; waits"
		l.broker.open.end(way == "committed")
	}
	if emptyDisk {
		l.disk = newDisk()
	}
	l.restart()
	l.start(c.tasks)
	if l.broker.open != nil {
		if len(l.opens) == 0 {
			l.broker.open.end(way == "committed")
		} else {
			l.blocked()
		}
	}
	l.finishOpening()
	var from, replays []string
	for _, in := range l.m.Tasks() {
		for _, at := range in.Next {
			from = append(from, strconv.FormatInt(at, 10))
		}
	}
	for _, p := range l.plans {
		replays = append(replays, fmt.Sprintf("%d-%d", p.From, p.To))
	}
	how = strings.Join(from, " ") + "; " + strings.Join(replays, " ") + waits
	if !l.finish(c.tasks) {
		return how, "the work does not end"
	}
	if end = c.endState(l); end == c.want {
		return how, same
	}
	return how, "DIFFERS: " + firstDifference(end, c.want)
}

// endState is what users see in the end: outputs as a reader of committed
// records sees them, tables as they are in the store and in the changelog, and
// how much of the input is committed, with the stream time.
func (c *crashes) endState(l *lab) string {
	var b strings.Builder
	for _, topic := range shopOutputs {
		fmt.Fprintf(&b, "topic %s:", topic)
		for _, r := range l.broker.log(record.TopicPartition{Topic: topic}).slots {
			if r != nil {
				fmt.Fprintf(&b, " %s@%d", show(r), r.Time)
			}
		}
		b.WriteByte('\n')
	}
	for _, sp := range c.spaces {
		fmt.Fprintf(&b, "store %s:%s\n", sp.Table, showTable(sp, l.disk.space(sp).data))
		fmt.Fprintf(&b, "changelog of %s:%s\n", sp.Table, showTable(sp, fold(l, sp)))
	}
	for _, id := range c.tasks {
		tp := record.TopicPartition{Topic: id.Sub, Partition: id.Partition}
		at := l.broker.committed[tp]
		fmt.Fprintf(&b, "input %s: %d left, %s\n", id.Sub, l.broker.log(tp).end()-at.offset, at.metadata)
	}
	return b.String()
}

func showTable(sp store.Space, data map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(&b, " %s=%s", showKey(sp.Table, []byte(k)), showValue([]byte(data[k])))
	}
	return b.String()
}

func changelogOf(sp store.Space) record.TopicPartition {
	return record.TopicPartition{Topic: topology.ChangelogTopic(appName, sp.Table), Partition: sp.Partition}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if g[i] != w[i] {
			return fmt.Sprintf("%s; without the crash it is %s", g[i], w[i])
		}
	}
	return "nothing"
}

// A result is what became of one crash, with and without the disk.
type result struct {
	n         int
	place     place
	way       string // how the open transaction ended
	old, none string // how the recovery went, with the old disk and with none
	end       string
}

// everywhere crashes at every place.
func (c *crashes) everywhere() []result {
	var rs []result
	for i, p := range c.calm() {
		for _, way := range p.ways {
			r := result{n: i + 1, place: p, way: way}
			r.old, r.end = c.recover(c.crash(i+1), false, way)
			none, end := c.recover(c.crash(i+1), true, way)
			r.none = none
			if r.end == same {
				r.end = end
			}
			rs = append(rs, r)
		}
	}
	return rs
}

const same = "same"

// table prints all results; a row like the one above is ditto marks.
func (c *crashes) table(rs []result) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "place\tlast step\toffsets\tlogs\tdisk\ttransaction\tback with the disk\tback without it\tend")
	before := ""
	for _, r := range rs {
		row := strings.Join([]string{r.place.durable, r.way, r.old, r.none, r.end}, "\t")
		if row == before {
			row = strings.Repeat("\"\t", 6) + "\""
		} else {
			before = row
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", r.n, strings.TrimPrefix(r.place.what, "-> "), row)
	}
	w.Flush()
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}

// summary says how many crashes there were, and of what kind.
func (c *crashes) summary(rs []result) string {
	var b strings.Builder
	unlike := slices.DeleteFunc(slices.Clone(rs), func(r result) bool { return r.end == same })
	fmt.Fprintf(&b, "%d crashes at %d places, %d of them ended differently\n", 2*len(rs), rs[len(rs)-1].n, len(unlike))
	if len(unlike) > 0 {
		fmt.Fprintf(&b, "the first: place %d (%s): %s\n", unlike[0].n, strings.TrimPrefix(unlike[0].place.what, "-> "), unlike[0].end)
	}
	return b.String()
}
