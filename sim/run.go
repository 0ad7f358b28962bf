package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// An action is one thing that could happen next.
type action struct {
	kind actionKind
	p    *process
	i    int
	txn  *txn
}

type actionKind uint8

const (
	actMarker actionKind = iota
	actHeartbeat
	actMail
	actTask
	actCommit
	actRead
	actWork
	actStandbyOpen
	actStandbyRead
)

// actions lists what could happen now. Without a chooser the first is enough.
func (s *App) actions() []action {
	s.acts = s.acts[:0]
	add := func(a action) bool {
		s.acts = append(s.acts, a)
		return s.hooks.choose == nil
	}
	for _, t := range s.broker.ending {
		for i := range t.steps() {
			if add(action{kind: actMarker, txn: t, i: i}) {
				return s.acts
			}
		}
	}
	for _, w := range s.workers {
		if p := w.p; p != nil && !w.frozen && p.actions(add) {
			return s.acts
		}
	}
	return s.acts
}

// actions adds what a process could do; true means enough.
func (p *process) actions(add func(action) bool) bool {
	if p.outdated() && add(action{kind: actHeartbeat, p: p}) {
		return true
	}
	if len(p.mailbox) > 0 && add(action{kind: actMail, p: p}) {
		return true
	}
	for i, j := range p.tasks {
		if j.ready() && add(action{kind: actTask, p: p, i: i}) {
			return true
		}
	}
	if len(p.commits) > 0 && p.commits[0].ready() && add(action{kind: actCommit, p: p}) {
		return true
	}
	for i, r := range p.reads {
		if !r.paused && p.s.readable(r) && add(action{kind: actRead, p: p, i: i}) {
			return true
		}
	}
	if ready, _, _ := p.m.Ready(p.s.millis()); ready && add(action{kind: actWork, p: p}) {
		return true
	}
	return p.standbys != nil && p.standbys.ready(add)
}

// readable reports whether an input has something new for its reader, or
// does not hold its offset.
func (s *App) readable(r *reading) bool {
	p := s.broker.partition(r.tp)
	return r.next < p.stable() || r.next < p.start || r.next > p.end()
}

// step lets one thing happen; false when nothing can now.
func (s *App) step() bool {
	for _, w := range s.workers {
		if w.p == nil || w.frozen {
			continue
		}
		for _, g := range w.p.globals {
			for w.p.behind(g) >= 0 {
				w.p.follow(g)
			}
		}
	}
	acts := s.actions()
	if len(acts) == 0 {
		return false
	}
	s.stats.Steps++
	a := acts[0]
	if s.hooks.choose != nil {
		a = acts[s.hooks.choose(len(acts))]
	}
	s.act(a)
	return true
}

func (s *App) act(a action) {
	p := a.p
	switch a.kind {
	case actMarker:
		s.broker.finish(a.txn, a.i)
	case actHeartbeat:
		p.heartbeat()
	case actMail:
		ev := p.mailbox[0]
		p.mailbox = p.mailbox[1:]
		p.step(ev)
	case actTask:
		j := p.tasks[a.i]
		if j.step() {
			p.cancel(j.task())
		}
	case actCommit:
		if p.commits[0].step() {
			p.commits = p.commits[1:]
		}
	case actRead:
		p.read(p.reads[a.i])
	case actWork:
		p.step(worker.Work{Now: s.millis(), Max: s.limit(s.cfg.workRecords)})
	case actStandbyOpen:
		p.standbys.open()
	case actStandbyRead:
		p.standbys.read(p.standbys.reads[a.i])
	}
}

func (s *App) limit(most int) int {
	if s.hooks.limit != nil {
		return s.hooks.limit(most)
	}
	return most
}

// read fetches one batch of an input.
func (p *process) read(r *reading) {
	s := p.s
	part := s.broker.partition(r.tp)
	rs, next, err := part.fetch(r.next, s.limit(s.cfg.fetchRecords))
	if err != nil {
		p.unfetch(r.tp)
		p.post(worker.FetchFailed{TP: r.tp, Session: r.session})
		return
	}
	r.next = next
	p.post(worker.Fetched{TP: r.tp, Session: r.session, Records: rs, Next: next})
}

// Run lets everything happen that can at this moment of the simulation. The
// clock does not move, so commits and batches that wait for it do not happen.
func (s *App) Run() {
	s.t.Helper()
	for n := 0; s.step(); n++ {
		if n > s.cfg.maxSteps {
			s.t.Fatalf("sim: no rest after %d steps at %s; does the application feed itself?\n%s", n, s.now.Format(time.RFC3339Nano), s.describe())
		}
	}
}

// wake returns the next moment at which something happens by itself.
func (s *App) wake() (int64, bool) {
	var at int64
	ok := false
	take := func(t int64) {
		if t > s.millis() && (!ok || t < at) {
			at, ok = t, true
		}
	}
	for _, w := range s.workers {
		if w.p == nil || w.frozen {
			continue
		}
		if ready, t, waits := w.p.m.Ready(s.millis()); waits && !ready {
			take(t)
		}
	}
	for _, t := range s.broker.openTxns() {
		take(t.deadline)
	}
	g := &s.broker.group
	for _, m := range g.members {
		if m.silent != 0 {
			take(m.silent + s.cfg.session.Milliseconds())
		}
	}
	for _, id := range g.tasks {
		if t := g.leaving[id]; t != 0 {
			take(t)
		}
	}
	return at, ok
}

// setClock moves the clock and lets the group and the coordinator see it.
func (s *App) setClock(t time.Time) {
	s.now = t
	for _, w := range s.workers {
		if w.p != nil && !w.frozen && w.p.standbys != nil {
			w.p.standbys.idle(s.millis())
		}
	}
	s.broker.expire(s.millis())
	s.expireSessions()
	s.expireBudgets()
}

// Advance moves the clock on by d. Whatever becomes due on the way happens at
// its time: commits, batches, retries, session timeouts.
func (s *App) Advance(d time.Duration) {
	s.t.Helper()
	to := s.now.Add(d)
	s.Run()
	for {
		at, ok := s.wake()
		if !ok || at > to.UnixMilli() {
			break
		}
		s.setClock(time.UnixMilli(at).UTC())
		s.Run()
	}
	s.setClock(to)
	s.Run()
}

// Commit moves the clock by the commit interval, so that everything that can
// be committed is.
func (s *App) Commit() {
	s.t.Helper()
	s.Advance(s.cfg.commitInterval)
}

// Settle runs until all input is processed and committed, moving the clock as
// far as that needs. It fails the test when that does not come about, and
// when a task stopped on a record.
func (s *App) Settle() {
	s.t.Helper()
	s.until("everything is processed and committed", s.settled)
}

// until runs and moves the clock until done.
func (s *App) until(what string, done func() bool) {
	s.t.Helper()
	deadline := s.now.Add(s.cfg.patience)
	steps := s.stats.Steps
	for wakes := 1; ; wakes++ {
		s.Run()
		for _, id := range s.halted() {
			s.t.Fatalf("sim: task %s does not go on, so it cannot be that %s: %v", id, what, s.stopped[id])
		}
		if done() {
			return
		}
		at, ok := s.wake()
		if !ok || at > deadline.UnixMilli() || s.stats.Steps-steps+wakes > s.cfg.maxSteps {
			s.t.Fatalf("sim: waited until %s, but not %s:\n%s", s.now.Format(time.RFC3339), what, s.describe())
		}
		s.setClock(time.UnixMilli(at).UTC())
	}
}

// settled reports whether every input is committed up to its last record and
// no transaction is open.
func (s *App) settled() bool {
	if len(s.broker.openTxns()) > 0 {
		return false
	}
	for _, id := range s.broker.group.tasks {
		for _, tp := range s.inputs(id) {
			if s.lag(tp) > 0 {
				return false
			}
		}
	}
	return true
}

// lag is how far the group is behind the last record of an input.
func (s *App) lag(tp record.TopicPartition) int64 {
	p := s.broker.partition(tp)
	at := p.start
	if o, ok := s.broker.offsets[tp]; ok {
		at = max(at, o.at)
	}
	return p.lastData() - at
}

// describe says what the tasks are at.
func (s *App) describe() string {
	var b strings.Builder
	g := &s.broker.group
	infos := make(map[*process]map[task.ID]worker.Info)
	for _, w := range s.workers {
		if w.p == nil {
			fmt.Fprintf(&b, "worker %s is down\n", w.name)
			continue
		}
		if w.frozen {
			fmt.Fprintf(&b, "worker %s is frozen\n", w.name)
		}
		infos[w.p] = make(map[task.ID]worker.Info)
		for _, in := range w.p.m.Tasks() {
			infos[w.p][in.Task] = in
		}
	}
	for _, id := range g.tasks {
		at := "nobody"
		if p := g.owner[id]; p != nil {
			at = p.w.name
			if in, ok := infos[p][id]; ok {
				at += " (" + in.State.String() + ")"
			}
		}
		fmt.Fprintf(&b, "task %s at %s:", id, at)
		for _, tp := range s.inputs(id) {
			p := s.broker.partition(tp)
			fmt.Fprintf(&b, " %s committed %d of %d (stable %d)", tp, s.broker.offsets[tp].at, p.end(), p.stable())
		}
		b.WriteByte('\n')
	}
	for _, t := range s.broker.openTxns() {
		fmt.Fprintf(&b, "a transaction is open until %d\n", t.deadline)
	}
	return b.String()
}
