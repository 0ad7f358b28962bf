package worker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// A lab is a driver of one Machine whose every step is asked for. What
// services would answer follows from the broker and the disk.
type lab struct {
	t      testing.TB
	app    *testApp
	broker *broker
	disk   *disk
	cfg    worker.Config
	m      *worker.Machine
	gen    store.Generation
	now    int64
	cities globalTable
	// retention of tombstones in changelogs
	retention int64

	reads    map[record.TopicPartition]*reading
	opens    map[task.ID]worker.Open
	restores map[task.ID]worker.Restore
	round    *worker.Round
	apply    *worker.Apply
	released []task.ID
	lines    []string
	// recovering says that the producer was asked to recover.
	recovering bool
	// place, if set, is told of each place where the process may end.
	place func(what string)
	// blocked is called when a read waits for an open transaction.
	blocked func()
	// bug is what this driver does wrong on purpose; see bugs.
	bug string
	// ends are ends of logs that were read too early, by one of the bugs.
	ends map[task.ID]map[record.TopicPartition]int64
	// scenario is what crash-everywhere crashed last.
	scenario datadriven.TestData
	// plans are those that this process was asked to carry out.
	plans []changelog.Plan
}

// A reading is one input that is being fetched.
type reading struct {
	session, next int64
	paused        bool
}

func newLab(t testing.TB) *lab {
	app := newTestApp(t)
	l := &lab{t: t, app: app, broker: newBroker(), disk: newDisk(), cities: globalTable{}}
	l.cfg = worker.Config{Topology: app.topo, CommitInterval: 100, Partitions: func(topic string) int32 {
		if topic == "gone" {
			return 0
		}
		return 1
	}}
	l.restart()
	return l
}

// restart is a new process: the broker and the disk are as they were.
func (l *lab) restart() {
	l.m = worker.New(l.cfg)
	l.disk.crash()
	l.reads = make(map[record.TopicPartition]*reading)
	l.opens = make(map[task.ID]worker.Open)
	l.restores = make(map[task.ID]worker.Restore)
	l.round, l.apply, l.released, l.recovering, l.plans = nil, nil, nil, false, nil
}

// take returns what was printed since the last time.
func (l *lab) take() string {
	s := strings.Join(l.lines, "\n")
	l.lines = nil
	return s
}

func (l *lab) printf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// step feeds one event and notes what was answered.
func (l *lab) step(ev worker.Event) {
	effects := l.m.Step(ev)
	l.at("event %s", showEvent(ev))
	for _, e := range effects {
		line := len(l.lines)
		l.print(e)
		l.note(e)
		l.at("%s", l.lines[line])
	}
}

// at is a place where the process may end.
func (l *lab) at(format string, args ...any) {
	if l.place != nil {
		l.place(fmt.Sprintf(format, args...))
	}
}

func (l *lab) note(e worker.Effect) {
	switch e := e.(type) {
	case worker.Open:
		if l.epochOf(e.Task) == e.Generation {
			l.t.Fatalf("%s is to be opened while an epoch of it is in flight: what is read may still change", e.Task)
		}
		l.opens[e.Task] = e
		l.readEndsEarly(e)
	case worker.Recover:
		l.recovering = true
	case worker.Restore:
		l.restores[e.Task] = e
		l.plans = append(l.plans, e.Plans...)
	case worker.Fetch:
		for tp, at := range e.At {
			l.reads[tp] = &reading{session: e.Session, next: at}
		}
	case worker.Unfetch:
		for _, tp := range e.Parts {
			delete(l.reads, tp)
		}
	case worker.Pause:
		for _, tp := range e.Parts {
			l.reads[tp].paused = true
		}
	case worker.Resume:
		for _, tp := range e.Parts {
			l.reads[tp].paused = false
		}
	case worker.Commit:
		if l.round != nil {
			l.t.Fatalf("round %d begins while round %d is in flight", e.Round.ID, l.round.ID)
		}
		l.round = e.Round
	case worker.Apply:
		l.apply = &e
	case worker.Close:
		delete(l.opens, e.Task)
		delete(l.restores, e.Task)
		for _, name := range e.Stores {
			l.disk.fence.Release(store.Space{Table: name, Partition: e.Task.Partition}, e.Generation)
		}
	case worker.Released:
		l.released = append(l.released, e.Task)
	}
}

// epochOf returns the generation of the task's epoch in flight, or 0.
func (l *lab) epochOf(id task.ID) store.Generation {
	if l.round != nil {
		for _, e := range l.round.Epochs {
			if e.Task == id {
				return e.Generation
			}
		}
	}
	return 0
}

// open answers Open from what the broker and the disk hold.
func (l *lab) open(id task.ID) {
	e, ok := l.opens[id]
	if !ok {
		l.printf("nothing asks to open %s", id)
		return
	}
	if !l.stable(e) {
		l.printf("its offsets are not stable yet")
		return
	}
	delete(l.opens, id)
	ev := worker.Opened{Task: id, Generation: e.Generation, Readers: map[string]store.Reader{"city": l.cities}}
	for _, tp := range e.Inputs {
		in := worker.Input{TP: tp, Committed: -1, Start: l.broker.log(tp).start, End: l.broker.log(tp).end()}
		if c, ok := l.broker.committed[tp]; ok {
			in.Committed, in.Metadata = c.offset, c.metadata
		}
		ev.Inputs = append(ev.Inputs, in)
	}
	for _, name := range e.Stores {
		sp := store.Space{Table: name, Partition: id.Partition}
		r, pos, err := l.disk.open(sp, e.Generation)
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			ev.Err = err
			break
		}
		tp := record.TopicPartition{Topic: appName + "-" + name + "-changelog", Partition: id.Partition}
		ev.Readers[name] = r
		ev.Logs = append(ev.Logs, changelog.Log{
			Space: sp, TP: tp, ID: l.broker.log(tp).id, Start: l.broker.log(tp).start, End: l.endOf(id, tp), Position: pos,
			Corrupt: err != nil || e.Rebuild, Now: l.now, TombstoneRetention: l.retention,
		})
	}
	l.step(ev)
}

// restore answers Restore, reading a few records at a time.
func (l *lab) restore(id task.ID) {
	e, ok := l.restores[id]
	if !ok {
		l.printf("nothing asks to restore %s", id)
		return
	}
	delete(l.restores, id)
	var err error
	for _, p := range e.Plans {
		if err = l.restoreSpace(e.Generation, p); err != nil {
			break
		}
	}
	l.step(worker.Restored{Task: id, Generation: e.Generation, Err: err})
}

func (l *lab) restoreSpace(gen store.Generation, p changelog.Plan) error {
	if p.Drop {
		if err := l.disk.drop(p.Space, gen); err != nil {
			return err
		}
		l.at("%s is emptied", p.Space)
	}
	if l.bug == "no replay" && p.From > 0 {
		p.From = p.To
	}
	r := changelog.NewRestore(p)
	for !r.Done() {
		rs, next := l.broker.log(p.TP).read(r.Next(), 2)
		if next == r.Next() && l.blocked != nil {
			l.blocked()
			continue
		}
		var b store.Batch
		r.Add(b.Part(p.Space, gen), changelog.Read{Records: rs, Next: next, Whole: p.Now})
		if err := l.disk.apply(&b); err != nil {
			return err
		}
		l.at("%s is replayed up to %d", p.Space, r.Next())
	}
	return nil
}

// fetch brings up to limit records of one input.
func (l *lab) fetch(tp record.TopicPartition, limit int) {
	r := l.reads[tp]
	switch {
	case r == nil:
		l.printf("%s is not being read", tp)
		return
	case r.paused:
		l.printf("%s is paused", tp)
		return
	}
	rs, next := l.broker.log(tp).read(r.next, limit)
	r.next = next
	l.step(worker.Fetched{TP: tp, Session: r.session, Records: rs, Next: next})
}

// decide ends the round in flight: really says what the broker did when the
// outcome is unknown.
func (l *lab) decide(outcome worker.Outcome, really bool) {
	if l.round == nil {
		l.printf("no round is in flight")
		return
	}
	r := l.round
	next := l.end(really)
	l.step(worker.Decided{Round: r.ID, Outcome: outcome, Next: next, Err: errors.New("somebody has a newer epoch")})
}

// send brings the round in flight to the broker, all but its end.
func (l *lab) send() {
	l.sendTooMuch()
	x := l.broker.begin(l.round)
	for _, rs := range l.round.Records() {
		x.produce(rs)
		l.at("sent records of the round: %d", len(rs))
	}
	x.pending = true
	l.at("sent the offsets of the round")
}

// end ends the transaction of the round in flight.
func (l *lab) end(commit bool) map[record.TopicPartition]int64 {
	if l.broker.open == nil {
		l.send()
	}
	l.round = nil
	next := l.broker.open.end(commit)
	l.at("the broker ended the transaction")
	return next
}

// applyNow carries out the batch that was handed to the store.
func (l *lab) applyNow(fail error) {
	if l.apply == nil {
		l.printf("no batch is on its way")
		return
	}
	a := *l.apply
	l.apply = nil
	if fail == nil {
		l.applyPositionsFirst(a.Batch)
		fail = l.disk.apply(a.Batch)
		l.at("the store took the batch")
	}
	if fail != nil {
		l.printf("the store answers: %v", fail)
	}
	l.step(worker.Applied{Round: a.Round, Err: fail})
}

// start takes tasks up to where they run.
func (l *lab) start(ids []task.ID) {
	l.gen++
	l.step(worker.Assign{Generation: l.gen, Tasks: ids})
	l.finishOpening()
}

// finishOpening answers every Open and Restore.
func (l *lab) finishOpening() {
	for l.opensNow() {
		for _, id := range sortedIDs(l.opens) {
			l.open(id)
		}
		for _, id := range sortedIDs(l.restores) {
			l.restore(id)
		}
	}
}

// opensNow reports whether an open task can be brought further.
func (l *lab) opensNow() bool {
	for _, e := range l.opens {
		if l.stable(e) {
			return true
		}
	}
	return len(l.restores) > 0
}

// stable reports whether the offsets that a task starts from will not change
// any more.
func (l *lab) stable(e worker.Open) bool {
	return l.epochOf(e.Task) == 0 && (l.broker.stable(e.Inputs) || l.bug == "unstable offsets")
}

func sortedIDs[V any](m map[task.ID]V) []task.ID {
	var ids []task.ID
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}
