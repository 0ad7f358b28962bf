package standby_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// TestScripts runs the scenarios of testdata/scripts; testdata/README.md is
// their language. Run with -rewrite after a change that was meant, and review
// what it rewrites like code.
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		t.Parallel()
		var l *lab
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if l == nil || d.Cmd == "new" {
				l = newLab(t, 0)
			}
			l.t = t
			l.run(d)
			return l.take()
		})
	})
}

func (l *lab) run(d *datadriven.TestData) {
	var words []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			words = append(words, a.Key)
		}
	}
	num := func(key string, def int64) int64 {
		if d.HasArg(key) {
			d.ScanArgs(l.t.(*testing.T), key, &def)
		}
		return def
	}
	switch d.Cmd {
	case "new":
	case "want":
		l.gen++
		l.step(standby.Wanted{Generation: l.gen, Tasks: l.ids(words)})
	case "take":
		l.step(standby.Take{Tasks: l.ids(words)})
	case "left":
		l.gen++
		l.step(standby.Left{Generation: l.gen, Tasks: l.ids(words)})
	case "open":
		l.open(l.ids(words)[0])
	case "drop":
		l.drop(l.ids(words)[0])
	case "poll":
		l.poll(num("max", 1000))
	case "fetch":
		l.fetch(l.part(words[0]), num("max", 1000))
	case "restoring":
		l.step(standby.Restoring{On: words[0] == "on"})
	case "retry":
		l.gen++
		l.step(standby.Retry{Generation: l.gen})
	case "stop":
		l.step(standby.Stop{})
	case "failed":
		l.step(standby.FetchFailed{TP: l.part(words[0]), Session: num("session", 0), Err: errors.New("no such topic")})
	case "idle": // there is nothing to read, and the fetcher says so
		tp := l.part(words[0])
		r := l.reads[tp]
		r.before = l.now
		l.step(standby.Fetched{TP: tp, Session: r.session, Read: changelog.Read{Next: r.next, At: l.now, Before: l.now, Whole: l.now}})
	case "late":
		l.step(standby.Fetched{TP: l.part(words[0]), Session: num("session", 0), Read: changelog.Read{Next: 99, Records: []record.Record{{Offset: 98, Key: []byte("late"), Value: []byte("late")}}}})
	case "opened":
		l.step(standby.Opened{Task: l.ids(words)[0], Generation: store.Generation(num("gen", 0))})
	default:
		l.world(d, words, num)
	}
}

// world carries out commands that change the world, and those that look.
func (l *lab) world(d *datadriven.TestData, words []string, num func(string, int64) int64) {
	switch d.Cmd {
	case "produce":
		l.produce(d.Input)
	case "marker":
		g := l.log(l.part(words[0]))
		g.append(nil)
	case "truncate":
		g := l.log(l.part(words[0]))
		g.start = num("before", g.end())
	case "compact":
		l.log(l.part(words[0])).compact(l.now, l.retention)
	case "recreate":
		l.logs[l.part(words[0])] = &log{}
	case "corrupt":
		l.disk.space(l.space(words[0])).corrupt = true
	case "break":
		l.disk.broken = errors.New("disk full")
	case "mend":
		l.disk.broken = nil
	case "now":
		l.now = num("at", l.now)
		l.retention = num("retention", l.retention)
	case "activate": // what the worker does with a task once it was taken
		l.gen++
		pos, err := l.disk.open(l.space(words[0]), l.gen)
		l.printf("opened %s in generation %d at position %d: %v", words[0], l.gen, pos.Changelog, err)
	case "crash":
		l.disk.crash()
		old := *l
		*l = *newLab(old.t, 0)
		l.logs, l.disk, l.gen = old.logs, old.disk, old.gen
	case "tables":
		l.tables()
	case "standbys":
		for _, in := range l.m.Standbys() {
			caught := ""
			if in.CaughtUp {
				caught = ", caught up"
			}
			if in.Err != nil {
				caught += ": " + in.Err.Error()
			}
			l.printf("%s gen %d: %s%s%s", in.Task, in.Generation, in.State, caught, at(in.Next))
		}
	default:
		l.t.Fatalf("no such command: %s", d.Cmd)
	}
}

func (l *lab) part(word string) record.TopicPartition {
	sp := l.space(word)
	return record.TopicPartition{Topic: topology.ChangelogTopic("app", sp.Table), Partition: sp.Partition}
}

func (l *lab) space(word string) store.Space {
	name, number, ok := strings.Cut(word, "/")
	p, err := strconv.Atoi(number)
	if !ok || err != nil {
		l.t.Fatalf("%q is no name/partition", word)
	}
	return store.Space{Table: name, Partition: int32(p)}
}

func (l *lab) ids(words []string) []task.ID {
	var ids []task.ID
	for _, w := range words {
		sp := l.space(w)
		ids = append(ids, task.ID{Sub: sp.Table, Partition: sp.Partition})
	}
	return ids
}

// produce appends lines "table/partition key value"; the value "-" deletes.
func (l *lab) produce(input string) {
	for line := range strings.Lines(input) {
		f := strings.Fields(line)
		rec := &record.Record{Key: []byte(f[1])}
		if f[2] != "-" {
			rec.Value = []byte(f[2])
		}
		l.log(l.part(f[0])).append(rec)
	}
}

func at(next map[record.TopicPartition]int64) string {
	var words []string
	for _, tp := range slices.SortedFunc(maps.Keys(next), record.TopicPartition.Compare) {
		words = append(words, fmt.Sprintf("%s at %d", tp, next[tp]))
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

// print writes an effect as a line that can be read without the code.
func (l *lab) print(e standby.Effect) {
	switch e := e.(type) {
	case standby.Open:
		l.printf("-> open %s gen %d: keep [%s]", e.Task, e.Generation, strings.Join(e.Stores, " "))
	case standby.Drop:
		for _, p := range e.Plans {
			l.printf("-> empty %s gen %d: %s", p.Space, e.Generation, p.Reason)
		}
	case standby.Fetch:
		l.printf("-> fetch in session %d%s", e.Session, at(e.At))
	case standby.Unfetch:
		l.printf("-> stop fetching %v", e.Parts)
	case standby.Pause:
		l.printf("-> pause %v", e.Parts)
	case standby.Resume:
		l.printf("-> resume %v", e.Parts)
	case standby.Apply:
		for _, p := range e.Batch.Parts() {
			l.printf("-> apply %d writes to %s gen %d, position %d", len(p.Ops), p.Space, p.Generation, p.Position.Changelog)
		}
	case standby.Close:
		l.printf("-> close %s gen %d", e.Task, e.Generation)
	case standby.Taken:
		l.printf("-> taken %v", e.Tasks)
	case standby.CaughtUp:
		l.printf("-> caught up %s", e.Task)
	case standby.Failed:
		l.printf("-> failed %s: %v", e.Task, e.Err)
	}
}
