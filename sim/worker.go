package sim

import (
	"context"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// A Worker is one simulated worker: a disk, and while it runs a process.
type Worker struct {
	s       *App
	name    string
	disk    *disk
	p       *process // nil while it is down
	frozen  bool
	leaving bool // drains before it stops
	stopped bool // left the group for good
}

// A process is what a crash takes away: the machine, what waits for it, and
// the services that carry out its effects.
type process struct {
	w          *Worker
	s          *App
	m          *worker.Machine
	dead       bool
	silent     int64 // since when the group hears nothing of it, or 0
	epoch      int   // of its producer
	generation int32 // of the group, as it last heard
	claims     map[task.ID]store.Generation
	mailbox    []worker.Event
	tasks      []taskJob // opening and restoring, side by side
	commits    []commitJob
	reads      []*reading
	globals    []*globalTable
	standbys   *standbys // nil when there are none
	rejoin     bool
}

// A reading is one input that is being fetched.
type reading struct {
	tp      record.TopicPartition
	session int64
	next    int64
	paused  bool
	before  int64 // when there was last nothing to read, of a changelog
}

// start runs a worker: a new process that knows nothing but the disk.
func (w *Worker) start() {
	s := w.s
	w.frozen, w.leaving, w.stopped = false, false, false
	w.disk.crash()
	w.p = &process{w: w, s: s, claims: make(map[task.ID]store.Generation)}
	w.p.epoch = s.broker.init(w.name)
	w.p.m = worker.New(worker.Config{
		Topology:         s.topology,
		Partitions:       s.broker.partitions,
		CommitInterval:   s.cfg.commitInterval.Milliseconds(),
		MaxEpochBytes:    s.cfg.maxEpochBytes,
		MaxBufferedBytes: s.cfg.maxBufferedBytes,
		CacheBytes:       1 << 20,
		Context:          context.WithValue(context.Background(), topology.LoggerKey, s.cfg.logger),
	})
	if s.cfg.standbys > 0 {
		w.p.standbys = newStandbys(w.p)
	}
	w.p.openGlobals()
	g := &s.broker.group
	for _, old := range slices.Clone(g.members) {
		if old.w == w {
			s.forget(old)
		}
	}
	s.join(w.p)
}

// responsive reports whether the group hears of the process.
func (p *process) responsive() bool { return !p.dead && !p.w.frozen && p.w.p == p }

// post puts an event into the mailbox.
func (p *process) post(ev worker.Event) { p.mailbox = append(p.mailbox, ev) }

// assigned takes tasks over; their standbys here are given up before.
func (p *process) assigned(gen store.Generation, ids []task.ID) {
	for _, id := range ids {
		p.claims[id] = gen
	}
	if p.standbys != nil {
		p.standbys.step(standby.Take{Tasks: ids})
	}
	p.post(worker.Assign{Generation: gen, Tasks: ids})
}

// step gives the machine an event and carries out what it answers.
func (p *process) step(ev worker.Event) {
	if f := p.s.hooks.event; f != nil {
		ev = f(p, ev)
	}
	for _, e := range p.m.Step(ev) {
		if f := p.s.hooks.effect; f != nil {
			e = f(p, ev, e)
		}
		p.do(e)
	}
	if f := p.s.hooks.after; f != nil {
		f(p, ev)
	}
	if p.rejoin && !p.dead {
		p.restart()
	}
}

// do carries out an effect, or makes it a job of several steps.
func (p *process) do(e worker.Effect) {
	s := p.s
	switch e := e.(type) {
	case worker.Open:
		p.cancel(e.Task)
		p.tasks = append(p.tasks, &openJob{p: p, e: e})
	case worker.Restore:
		p.cancel(e.Task)
		p.tasks = append(p.tasks, newRestoreJob(p, e))
		p.yield()
	case worker.Fetch:
		for _, tp := range sortedParts(e.At) {
			p.unfetch(tp)
			p.reads = append(p.reads, &reading{tp: tp, session: e.Session, next: e.At[tp]})
		}
	case worker.Unfetch:
		for _, tp := range e.Parts {
			p.unfetch(tp)
		}
	case worker.Pause:
		p.pause(e.Parts, true)
	case worker.Resume:
		p.pause(e.Parts, false)
	case worker.Commit:
		p.commits = append(p.commits, newRoundJob(p, e.Round))
	case worker.Apply:
		p.commits = append(p.commits, &applyJob{p, e})
	case worker.Recover:
		p.commits = append(p.commits, &recoverJob{p})
	case worker.Close:
		p.close(e)
	case worker.Released:
		if !p.assigning(e.Task) {
			s.released(p, e.Task)
		}
	case worker.Halted:
		s.stopped[e.Task] = e.Err
	case worker.Reset:
		s.stats.Resets++
	case worker.Rejoin:
		p.rejoin = true
	}
}

func (p *process) unfetch(tp record.TopicPartition) {
	p.reads = slices.DeleteFunc(p.reads, func(r *reading) bool { return r.tp == tp })
}

func (p *process) reading(tp record.TopicPartition) *reading {
	for _, r := range p.reads {
		if r.tp == tp {
			return r
		}
	}
	return nil
}

func (p *process) pause(tps []record.TopicPartition, paused bool) {
	for _, tp := range tps {
		if r := p.reading(tp); r != nil {
			r.paused = paused
		}
	}
}

// cancel ends the jobs of a task.
func (p *process) cancel(id task.ID) {
	p.tasks = slices.DeleteFunc(p.tasks, func(j taskJob) bool { return j.task() == id })
	p.yield()
}

func (p *process) close(e worker.Close) {
	p.cancel(e.Task)
	for _, name := range e.Stores {
		_ = p.w.disk.Release(store.Space{Table: name, Partition: e.Task.Partition}, e.Generation)
	}
	delete(p.s.stopped, e.Task)
}

// restart ends a session of the group from within and begins another, with
// nothing kept but the disk.
func (p *process) restart() {
	p.end()
	p.s.stats.Rejoins++
	p.w.start()
}

// end stops a process at once, wherever it is.
func (p *process) end() {
	p.dead, p.silent = true, p.s.millis()
	p.w.disk.crash()
	p.w.p = nil
	if p.rejoin {
		p.s.leave(p)
	}
}

// outdated reports whether the group may have gone on without the process.
func (p *process) outdated() bool {
	g := &p.s.broker.group
	return p.silent != 0 || p.generation != g.generation || !slices.Contains(g.members, p)
}

// heartbeat tells a process that was out of touch what became of its
// membership: it is as it was, or it was put out and joins again.
func (p *process) heartbeat() {
	g := &p.s.broker.group
	p.silent = 0
	if slices.Contains(g.members, p) {
		p.generation = g.generation
		p.s.rebalance()
		return
	}

	ids := make([]task.ID, 0, len(p.claims))
	for id := range p.claims {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, task.ID.Compare)
	clear(p.claims)
	p.post(worker.Lost{Tasks: ids})
	p.left(ids)
	p.s.join(p)
}

// assigning reports whether the machine is yet to hear that a task was assigned
// anew: what it says of the task is about an ownership that is over.
func (p *process) assigning(id task.ID) bool {
	return slices.ContainsFunc(p.mailbox, func(ev worker.Event) bool {
		a, ok := ev.(worker.Assign)
		return ok && slices.Contains(a.Tasks, id)
	})
}

func sortedParts(m map[record.TopicPartition]int64) []record.TopicPartition {
	tps := make([]record.TopicPartition, 0, len(m))
	for tp := range m {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, record.TopicPartition.Compare)
	return tps
}
