package sim

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// A taskJob is a service at work for one task, in steps between which
// anything may happen.
type taskJob interface {
	task() task.ID
	// ready reports whether step can do something.
	ready() bool
	// step does the next thing and reports whether that was the last.
	step() bool
}

// An openJob finds out what a task starts from, in the order that
// worker.Open prescribes.
type openJob struct {
	p         *process
	e         worker.Open
	committed map[record.TopicPartition]offset
}

func (j *openJob) task() task.ID { return j.e.Task }

func (j *openJob) ready() bool {
	if j.committed != nil || j.p.s.hooks.unstable {
		return true
	}
	return j.p.s.broker.isStable(j.e.Inputs)
}

func (j *openJob) step() bool {
	b := j.p.s.broker
	if j.committed == nil {
		j.committed = make(map[record.TopicPartition]offset)
		for _, tp := range j.e.Inputs {
			if o, ok := b.offsets[tp]; ok {
				j.committed[tp] = o
			}
		}
		return false
	}
	ev := worker.Opened{Task: j.e.Task, Generation: j.e.Generation, Readers: make(map[string]store.Reader)}
	for _, tp := range j.e.Inputs {
		p := b.partition(tp)
		in := worker.Input{TP: tp, Committed: -1, Start: p.start, End: p.end()}
		if o, ok := j.committed[tp]; ok {
			in.Committed, in.Metadata = o.at, o.metadata
		}
		ev.Inputs = append(ev.Inputs, in)
	}
	for _, g := range j.p.globals {
		ev.Readers[g.table.Name] = g.reader
	}
	for _, name := range j.e.Stores {
		if err := j.space(&ev, name); err != nil {
			ev.Err = fmt.Errorf("task %s: opening %s: %w", j.e.Task, name, err)
			break
		}
	}
	j.p.post(ev)
	return true
}

func (j *openJob) space(ev *worker.Opened, name string) error {
	s := j.p.s
	l := changelog.Log{
		Space:   store.Space{Table: name, Partition: j.e.Task.Partition},
		TP:      record.TopicPartition{Topic: topology.ChangelogTopic(s.topology.App, name), Partition: j.e.Task.Partition},
		Corrupt: j.e.Rebuild,
		Now:     s.millis(), TombstoneRetention: s.cfg.tombstones.Milliseconds(),
	}
	r, pos, err := j.p.w.disk.Open(l.Space, j.e.Generation)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	p := s.broker.partition(l.TP)
	l.Position, l.ID, l.Start, l.End = pos, p.id(), p.start, p.end()
	if s.hooks.logEnd != nil {
		l.End = s.hooks.logEnd(p)
	}
	ev.Logs = append(ev.Logs, l)
	ev.Readers[name] = r
	return nil
}

// A restoreJob brings the spaces of a task up to date, a batch at a time.
type restoreJob struct {
	p      *process
	e      worker.Restore
	spaces []*restoring
	begun  bool
	batch  store.Batch
}

type restoring struct {
	plan changelog.Plan
	*changelog.Restore
}

func newRestoreJob(p *process, e worker.Restore) *restoreJob {
	j := &restoreJob{p: p, e: e}
	for _, plan := range e.Plans {
		j.spaces = append(j.spaces, &restoring{plan, changelog.NewRestore(plan)})
	}
	return j
}

func (j *restoreJob) task() task.ID { return j.e.Task }

// next returns a space that can go on; all says that every space is done.
func (j *restoreJob) next() (r *restoring, all bool) {
	all = true
	for _, r := range j.spaces {
		if r.Done() {
			continue
		}
		all = false
		if p := j.p.s.broker.partition(r.plan.TP); r.Next() < p.stable() || r.Next() < p.start {
			return r, false
		}
	}
	return nil, all
}

func (j *restoreJob) ready() bool {
	r, all := j.next()
	return !j.begun || all || r != nil
}

func (j *restoreJob) step() bool {
	ev := worker.Restored{Task: j.e.Task, Generation: j.e.Generation}
	r, all := j.next()
	switch {
	case !j.begun:
		j.begun = true
		ev.Err = j.drop()
	case r != nil:
		ev.Err = j.read(r)
	case all:
		j.p.post(ev)
		return true
	}
	if ev.Err != nil {
		j.p.post(ev)
		return true
	}
	return false
}

func (j *restoreJob) drop() error {
	for _, r := range j.spaces {
		if err := j.empty(r); err != nil {
			return err
		}
	}
	return nil
}

func (j *restoreJob) empty(r *restoring) error {
	if !r.plan.Drop {
		return nil
	}
	j.p.s.stats.Rebuilt++
	return j.p.w.disk.Drop(r.plan.Space, j.e.Generation)
}

// again plans a space once more that was not read for so long that deletions may
// be gone from its log.
func (j *restoreJob) again(r *restoring) error {
	s := j.p.s
	p := s.broker.partition(r.plan.TP)
	plan := changelog.NewPlan(changelog.Log{
		Space: r.plan.Space, TP: r.plan.TP, ID: p.id(), Start: p.start, End: p.end(), Position: r.Position(),
		Now: s.millis(), TombstoneRetention: r.plan.TombstoneRetention,
	})
	*r = restoring{plan, changelog.NewRestore(plan)}
	return j.empty(r)
}

func (j *restoreJob) read(r *restoring) error {
	s := j.p.s
	rd := changelog.Read{At: s.millis()}
	rs, next, err := s.broker.partition(r.plan.TP).fetch(r.Next(), s.limit(s.cfg.restoreRecords))
	if err != nil {
		return err
	}
	if f := s.hooks.restored; f != nil {
		rs = f(rs)
	}
	rd.Records, rd.Next = rs, next
	if r.TooLate(rd) {
		return j.again(r)
	}
	j.batch.Reset()
	r.Add(j.batch.Part(r.plan.Space, j.e.Generation), rd)
	s.stats.Restored += len(rs)
	return j.p.w.disk.Apply(&j.batch)
}

// A globalTable follows the topic of one global table.
type globalTable struct {
	table  *topology.Table
	space  store.Space
	gen    store.Generation
	reader store.Reader
	next   []int64 // by partition
}

// openGlobals reads all global tables to their ends.
func (p *process) openGlobals() {
	s := p.s
	for _, t := range s.topology.Globals {
		s.taskGeneration++
		g := &globalTable{table: t, space: store.Space{Table: t.Name}, gen: s.taskGeneration, next: make([]int64, s.broker.partitions(t.Source))}
		r, pos, err := p.w.disk.Open(g.space, g.gen)
		if err != nil {
			s.t.Fatalf("sim: opening global table %q: %v", t.Name, err)
		}
		g.reader = r
		for _, in := range pos.Inputs {
			g.next[in.Partition] = in.Offset
		}
		p.globals = append(p.globals, g)
		for p.behind(g) >= 0 {
			p.follow(g)
		}
	}
}

// behind returns a partition that the table has not read to its end, or -1.
func (p *process) behind(g *globalTable) int {
	for i, part := range p.s.broker.topics[g.table.Source] {
		if g.next[i] < part.stable() {
			return i
		}
	}
	return -1
}

// follow reads on in one partition.
func (p *process) follow(g *globalTable) {
	s := p.s
	i := p.behind(g)
	rs, next, err := s.broker.topics[g.table.Source][i].fetch(g.next[i], s.cfg.restoreRecords)
	if err != nil {
		s.t.Fatalf("sim: following global table %q: %v", g.table.Name, err)
	}
	g.next[i] = next
	var b store.Batch
	part := b.Part(g.space, g.gen)
	for _, r := range rs {
		if r.Value == nil {
			part.Delete(r.Key)
		} else {
			part.Put(r.Key, r.Value)
		}
	}
	part.Position = store.Position{StreamTime: record.NoTime, At: s.millis(), Exists: true}
	for n, at := range g.next {
		part.Position.Inputs = append(part.Position.Inputs, store.InputOffset{Topic: g.table.Source, Partition: int32(n), Offset: at})
	}
	if err := p.w.disk.Apply(&b); err != nil {
		s.t.Fatalf("sim: following global table %q: %v", g.table.Name, err)
	}
}
