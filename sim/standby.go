package sim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// standbys keeps the standbys of a process: a standby.Machine, and what waits
// for it. Opening a standby and reading one batch are things that happen in
// steps of their own; everything else is done at once.
type standbys struct {
	p     *process
	m     *standby.Machine
	told  []task.ID // by the group
	opens []standby.Open
	reads []*reading
}

func newStandbys(p *process) *standbys {
	return &standbys{p: p, m: standby.New(standby.Config{Topology: p.s.topology})}
}

// want makes the standbys those that the group says.
func (b *standbys) want(ids []task.ID) {
	if !slices.Equal(b.told, ids) {
		b.told = ids
		b.step(standby.Wanted{Generation: b.p.s.nextGeneration(), Tasks: ids})
	}
}

func (b *standbys) step(ev standby.Event) {
	for events := []standby.Event{ev}; len(events) > 0; events = events[1:] {
		for _, e := range b.m.Step(events[0]) {
			if answer := b.do(e); answer != nil {
				events = append(events, answer)
			}
		}
	}
}

// do carries out an effect and returns its answer, if it has one at once.
func (b *standbys) do(e standby.Effect) standby.Event {
	d := b.p.w.disk
	switch e := e.(type) {
	case standby.Open:
		b.opens = append(b.opens, e)
	case standby.Drop:
		var err error
		for _, p := range e.Plans {
			b.p.s.stats.Rebuilt++
			err = errors.Join(err, d.Drop(p.Space, e.Generation))
		}
		return standby.Dropped{Task: e.Task, Generation: e.Generation, Err: err}
	case standby.Fetch:
		for _, tp := range sortedParts(e.At) {
			b.reads = append(b.reads, &reading{tp: tp, session: e.Session, next: e.At[tp]})
		}
	case standby.Unfetch:
		b.reads = slices.DeleteFunc(b.reads, func(r *reading) bool { return slices.Contains(e.Parts, r.tp) })
	case standby.Pause:
		b.pause(e.Parts, true)
	case standby.Resume:
		b.pause(e.Parts, false)
	case standby.Apply:
		err := d.Apply(e.Batch)
		for _, p := range e.Batch.Parts() {
			if err == nil {
				b.p.s.stats.Followed += len(p.Ops)
			}
		}
		return standby.Applied{Err: err}
	case standby.Close:
		for _, name := range e.Stores {
			_ = d.Release(store.Space{Table: name, Partition: e.Task.Partition}, e.Generation)
		}
	}
	return nil
}

func (b *standbys) pause(tps []record.TopicPartition, paused bool) {
	for _, r := range b.reads {
		if slices.Contains(tps, r.tp) {
			r.paused = paused
		}
	}
}

// ready returns how many openings and which readings can go on.
func (b *standbys) ready(add func(action) bool) bool {
	if len(b.opens) > 0 && add(action{kind: actStandbyOpen, p: b.p}) {
		return true
	}
	for i, r := range b.reads {
		if !r.paused && b.p.s.readable(r) && add(action{kind: actStandbyRead, p: b.p, i: i}) {
			return true
		}
	}
	return false
}

// idle notes until when those that read have waited for more.
func (b *standbys) idle(now int64) {
	for _, r := range b.reads {
		if !r.paused && !b.p.s.readable(r) {
			r.before = now
		}
	}
}

// open answers the oldest Open.
func (b *standbys) open() {
	e := b.opens[0]
	b.opens = b.opens[1:]
	s := b.p.s
	ev := standby.Opened{Task: e.Task, Generation: e.Generation}
	for _, name := range e.Stores {
		l := changelog.Log{
			Space: store.Space{Table: name, Partition: e.Task.Partition},
			TP:    record.TopicPartition{Topic: topology.ChangelogTopic(s.topology.App, name), Partition: e.Task.Partition},
			Now:   s.millis(), TombstoneRetention: s.cfg.tombstones.Milliseconds(),
		}
		_, pos, err := b.p.w.disk.Open(l.Space, e.Generation)
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			ev.Logs, ev.Err = nil, fmt.Errorf("standby of task %s: opening %s: %w", e.Task, name, err)
			break
		}
		p := s.broker.partition(l.TP)
		l.Position, l.ID, l.Corrupt, l.Start, l.End = pos, p.id(), err != nil, p.start, p.end()
		ev.Logs = append(ev.Logs, l)
	}
	b.step(ev)
}

// read fetches one batch of a changelog and writes it.
func (b *standbys) read(r *reading) {
	s := b.p.s
	rs, next, err := s.broker.partition(r.tp).fetch(r.next, s.limit(s.cfg.restoreRecords))
	if err != nil {
		b.step(standby.FetchFailed{TP: r.tp, Session: r.session})
		return
	}
	ev := standby.Fetched{TP: r.tp, Session: r.session, Read: changelog.Read{Records: rs, Next: next, At: s.millis(), Before: r.before}}
	if r.next, r.before = next, 0; next >= s.broker.partition(r.tp).stable() {
		ev.Whole = s.millis()
		r.before = ev.Whole
	}
	b.step(ev)
	b.step(standby.Polled{})
}

// yield lets restores of the process go first.
func (p *process) yield() {
	if p.standbys == nil {
		return
	}
	restoring := slices.ContainsFunc(p.tasks, func(j taskJob) bool { _, ok := j.(*restoreJob); return ok })
	p.standbys.step(standby.Restoring{On: restoring})
}

// left lets tasks be followed that are not active here any more.
func (p *process) left(ids []task.ID) {
	if p.standbys != nil && !p.dead {
		p.standbys.step(standby.Left{Generation: p.s.nextGeneration(), Tasks: ids})
	}
}

// behind reports whether a task has a standby here that has not caught up.
func (b *standbys) behind(id task.ID) bool {
	return slices.ContainsFunc(b.m.Standbys(), func(in standby.Info) bool { return in.Task == id && !in.CaughtUp })
}

// StandbysOf returns the numbers of the workers that keep a standby of the task
// which reads a topic's partition.
func (s *App) StandbysOf(topic string, partition int32) []int {
	s.t.Helper()
	sub := s.topology.SubOf(topic)
	if sub == nil {
		s.t.Fatalf("sim: nobody reads topic %q", topic)
	}
	id := task.ID{Sub: sub.Name, Partition: partition}
	var ns []int
	for n, w := range s.workers {
		if w.p == nil || w.p.standbys == nil {
			continue
		}
		if slices.ContainsFunc(w.p.standbys.m.Standbys(), func(in standby.Info) bool { return in.Task == id }) {
			ns = append(ns, n)
		}
	}
	return ns
}
