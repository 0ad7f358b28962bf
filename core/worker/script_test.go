package worker_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// TestScripts runs the scenarios of testdata/scripts; testdata/README.md is their
// language. Run with -rewrite after a change that was meant, and review what
// it rewrites like code.
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		t.Parallel()
		var l *lab
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if l == nil || d.Cmd == "new" {
				l = newLab(t)
			}
			l.t = t
			l.run(d)
			return l.take()
		})
	})
}

// run carries out one command.
func (l *lab) run(d *datadriven.TestData) {
	a := args{d}
	if l.runEvent(d, a) || l.runWorld(d, a) {
		return
	}
	switch d.Cmd {
	case "new":
	case "crash-everywhere":
		l.runCrashes(d, a)
	case "tasks":
		l.tasks()
	case "tables":
		l.tables()
	case "offsets":
		l.offsets()
	case "topic":
		l.topic(a.part(), d.HasArg("headers"))
	case "ready":
		ready, at, ok := l.m.Ready(a.num("now", l.now))
		switch {
		case ready:
			l.printf("ready now")
		case ok:
			l.printf("ready at %d", at)
		default:
			l.printf("waits for events")
		}
	case "owns":
		for _, id := range a.tasks() {
			l.printf("%t", l.m.Owns(id, store.Generation(a.num("gen", int64(l.gen)))))
		}
	default:
		d.Fatalf(l.t, "no such command %q", d.Cmd)
	}
}

// runEvent does the commands that feed the machine.
func (l *lab) runEvent(d *datadriven.TestData, a args) bool {
	l.now = a.num("now", l.now)
	switch d.Cmd {
	case "start":
		l.start(a.tasks())
	case "assign":
		l.gen = store.Generation(a.num("gen", int64(l.gen+1)))
		l.step(worker.Assign{Generation: l.gen, Tasks: a.tasks()})
	case "open":
		l.open(a.task())
	case "opened":
		l.step(worker.Opened{Task: a.task(), Generation: store.Generation(a.num("gen", 0)), Err: a.err()})
	case "restore":
		l.restore(a.task())
	case "restored":
		l.step(worker.Restored{Task: a.task(), Generation: store.Generation(a.num("gen", 0)), Err: a.err()})
	case "reopen":
		l.finishOpening()
	case "fetch":
		l.fetch(a.part(), int(a.num("max", 1000)))
	case "fetched":
		tp := a.part()
		rs, next := l.broker.log(tp).read(a.num("from", 0), int(a.num("max", 1000)))
		l.step(worker.Fetched{TP: tp, Session: a.num("session", 0), Records: rs, Next: next})
	case "fetch-failed":
		tp := a.part()
		l.step(worker.FetchFailed{TP: tp, Session: l.reads[tp].session, Err: a.err()})
	case "work":
		l.step(worker.Work{Now: l.now, Max: int(a.num("max", 1000))})
	case "decide":
		l.runDecide(d, a)
	case "send":
		l.send()
	case "decided":
		l.step(worker.Decided{Round: a.num("round", 0), Outcome: worker.Committed})
	case "apply":
		if d.HasArg("really") {
			if err := l.disk.apply(l.apply.Batch); err != nil {
				d.Fatalf(l.t, "%v", err)
			}
		}
		l.applyNow(a.err())
	case "recovered":
		l.recovering = false
		l.step(worker.Recovered{})
	case "revoke":
		l.step(worker.Revoke{Tasks: a.tasks()})
	case "expire":
		l.step(worker.Expire{Tasks: a.tasks()})
	case "lost":
		l.step(worker.Lost{Tasks: a.tasks()})
	default:
		return false
	}
	return true
}

func (l *lab) runDecide(d *datadriven.TestData, a args) {
	outcomes := map[string]worker.Outcome{"committed": worker.Committed, "aborted": worker.Aborted, "unknown": worker.Unknown, "fenced": worker.Fenced}
	word := d.CmdArgs[0].Key
	outcome, ok := outcomes[word]
	if !ok {
		d.Fatalf(l.t, "no such outcome %q", word)
	}
	really := word == "committed"
	if word == "unknown" {
		d.ScanArgs(l.t, "really", &word)
		really = word == "committed"
	}
	l.decide(outcome, really)
}

// runWorld does the commands that change the world around the machine.
func (l *lab) runWorld(d *datadriven.TestData, a args) bool {
	switch d.Cmd {
	case "config":
		l.cfg.CommitInterval = a.num("interval", l.cfg.CommitInterval)
		l.cfg.MaxEpochBytes = int(a.num("max-epoch", int64(l.cfg.MaxEpochBytes)))
		l.cfg.MaxBufferedBytes = int(a.num("max-buffered", int64(l.cfg.MaxBufferedBytes)))
		l.cfg.CacheBytes = int(a.num("cache", int64(l.cfg.CacheBytes)))
		l.retention = a.num("tombstones", l.retention)
		l.restart()
	case "produce":
		for line := range strings.Lines(d.Input) {
			l.produce(strings.TrimSpace(line))
		}
	case "marker":
		l.broker.log(a.part()).append(nil)
	case "city":
		for _, arg := range d.CmdArgs {
			l.cities[arg.Key] = arg.Vals[0]
		}
	case "crash":
		l.runCrash(d)
	case "move":
		l.disk = newDisk()
		l.restart()
	case "compact":
		l.broker.log(a.part()).compact()
	case "truncate":
		l.broker.log(a.part()).start = a.num("start", 0)
	case "cut":
		p := l.broker.log(a.part())
		p.slots = p.slots[:a.num("end", 0)]
	case "recreate":
		delete(l.broker.logs, a.part())
	case "commit-offset":
		tp := a.part()
		c := l.broker.committed[tp]
		d.MaybeScanArgs(l.t, "metadata", &c.metadata)
		l.broker.committed[tp] = committed{a.num("at", c.offset), c.metadata}
	case "corrupt", "break", "mend":
		tp := a.part()
		s := l.disk.space(store.Space{Table: tp.Topic, Partition: tp.Partition})
		switch d.Cmd {
		case "corrupt":
			s.corrupt = true
		case "mend":
			s.broken = nil
		default:
			s.broken = cmp.Or(a.err(), errors.New("disk on fire"))
		}
	case "forget-log":
		tp := a.part()
		l.disk.space(store.Space{Table: tp.Topic, Partition: tp.Partition}).pos.Log = store.LogID{}
	case "takeover":
		tp := a.part()
		_, _, err := l.disk.open(store.Space{Table: tp.Topic, Partition: tp.Partition}, store.Generation(a.num("gen", 0)))
		if err != nil {
			l.printf("%v", err)
		}
	default:
		return false
	}
	return true
}

// runCrash ends the process. A round in flight is decided by the broker.
func (l *lab) runCrash(d *datadriven.TestData) {
	if l.round != nil {
		word := "aborted"
		d.MaybeScanArgs(l.t, "round", &word)
		l.printf("the broker ends round %d: %s", l.round.ID, word)
		l.end(word == "committed")
	}
	if d.HasArg("lose-disk") {
		l.disk = newDisk()
	}
	l.restart()
}

// runCrashes crashes at every place of the scenario that is the input, or of
// the one before: then with a mistake, of which it prints whether it was noticed.
func (l *lab) runCrashes(d *datadriven.TestData, a args) {
	if d.Input != "" {
		l.scenario = *d
	}
	c := newCrashes(l.t, l.scenario.Input, a.str("bug"), args{&l.scenario}.tasks())
	rs := c.everywhere()
	if c.bug == "" {
		l.printf("%s\n\n%s", c.table(rs), c.summary(rs))
		l.printf("The end of each:\n%s", c.want)
		return
	}
	if !slices.Contains(bugs, c.bug) {
		d.Fatalf(l.t, "no such bug: %q", c.bug)
	}
	l.printf("%s", c.summary(rs))
}

// produce appends "topic/partition key value @time" to a log; "-" as key or
// value is null, and "#name=value" at the end is a header.
func (l *lab) produce(line string) {
	f := strings.Fields(line)
	tp := parsePart(f[0])
	r := &record.Record{Topic: tp.Topic, Partition: tp.Partition, Key: field(f[1]), Value: []byte{}}
	for _, s := range f[2:] {
		switch {
		case s[0] == '@':
			r.Time, _ = strconv.ParseInt(s[1:], 10, 64)
		case s[0] == '#':
			k, v, _ := strings.Cut(s[1:], "=")
			r.Headers = append(r.Headers, record.Header{Key: k, Value: []byte(v)})
		default:
			r.Value = field(s)
		}
	}
	l.broker.log(tp).append(r)
}

func field(s string) []byte {
	if s == "-" {
		return nil
	}
	return []byte(s)
}

func parsePart(s string) record.TopicPartition {
	topic, p, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(p)
	if err != nil {
		panic(fmt.Sprintf("not a partition: %q", s))
	}
	return record.TopicPartition{Topic: topic, Partition: int32(n)}
}

// args reads the arguments of a command.
type args struct{ *datadriven.TestData }

func (a args) num(name string, def int64) int64 {
	for _, arg := range a.CmdArgs {
		if arg.Key == name && len(arg.Vals) == 1 {
			n, err := strconv.ParseInt(arg.Vals[0], 10, 64)
			if err != nil {
				panic(err)
			}
			return n
		}
	}
	return def
}

func (a args) str(name string) string {
	for _, arg := range a.CmdArgs {
		if arg.Key == name && len(arg.Vals) == 1 {
			return strings.ReplaceAll(arg.Vals[0], "-", " ")
		}
	}
	return ""
}

func (a args) err() error {
	for _, arg := range a.CmdArgs {
		switch {
		case arg.Key != "err":
		case arg.Vals[0] == "fenced":
			return store.ErrFenced
		case arg.Vals[0] == "corrupt":
			return store.ErrCorrupt
		case arg.Vals[0] == "unavailable":
			return store.ErrUnavailable
		default:
			return errors.New(strings.ReplaceAll(arg.Vals[0], "-", " "))
		}
	}
	return nil
}

func (a args) part() record.TopicPartition { return parsePart(a.CmdArgs[0].Key) }

func (a args) task() task.ID { return a.tasks()[0] }

func (a args) tasks() []task.ID {
	var ids []task.ID
	for _, arg := range a.CmdArgs {
		if strings.Contains(arg.Key, "/") {
			tp := parsePart(arg.Key)
			ids = append(ids, task.ID{Sub: tp.Topic, Partition: tp.Partition})
		}
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}
