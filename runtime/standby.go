package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

var _ BriefedListener = (*session)(nil)

// Briefed follows what the leader of the group says this worker is to keep
// standbys of.
func (s *session) Briefed(brief []byte) {
	select {
	case <-s.joined:
	case <-s.ctx.Done():
		return
	}
	ids := standbysOf(brief)
	if store.Shared(s.cfg.Store) {
		ids = nil
	}
	s.follow(ids)
}

// follow makes the standbys those that are listed.
func (s *session) follow(ids []task.ID) {
	s.assignor.follow(ids)
	s.mu.Lock()
	s.following = ids
	gen := s.nextGeneration()
	b := s.standby
	s.mu.Unlock()
	if b == nil && len(ids) > 0 {
		b = s.startStandbys()
	}
	if b != nil {
		s.log.Info("standbys assigned", "tasks", fmt.Sprint(ids), "generation", int64(gen))
		b.post(standby.Wanted{Generation: gen, Tasks: ids})
	}
}

// startStandbys makes what keeps standbys, when there is the first. Workers
// that keep none have no such goroutine and no such connection.
func (s *session) startStandbys() *standbys {
	f, err := s.cfg.Transport.Fetcher(FetchConfig{FromLog: true, MaxBytes: s.budget.fetch, Idle: s.refreshEvery()})
	if err != nil {
		s.log.Error("no standbys are kept on this worker: there is no fetcher for them", "error", err)
		return nil
	}
	b := &standbys{
		s: s, f: f,
		m:        standby.New(standby.Config{Topology: s.cfg.Topology, MaxBatchBytes: restoreBatchBytes}),
		sessions: make(map[record.TopicPartition]int64),
		done:     make(chan struct{}),
	}
	b.post(standby.Take{Tasks: s.tasks()})
	s.mu.Lock()
	s.standby = b
	b.post(standby.Restoring{On: s.reading > 0})
	s.mu.Unlock()
	s.services.Go(func() { b.run(s.ctx) })
	return b
}

// take waits until tasks that become active have no standby here any more.
func (s *session) take(ids []task.ID) {
	if b := s.standbys(); b != nil {
		b.wait(s.ctx, func() { b.step(s.ctx, standby.Take{Tasks: ids}) })
	}
}

// left lets tasks be followed that are not active here any more.
func (s *session) left(ids []task.ID) {
	if b := s.standbys(); b != nil {
		s.mu.Lock()
		gen := s.nextGeneration()
		s.mu.Unlock()
		b.post(standby.Left{Generation: gen, Tasks: ids})
	}
}

func (s *session) standbys() *standbys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.standby
}

// restoring counts the tasks that read their changelogs: one more or one less.
// Standbys stand still while there are any.
func (s *session) restoring(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading += n
	if s.standby != nil {
		s.standby.post(standby.Restoring{On: s.reading > 0})
	}
}

// standbys is the goroutine that keeps the standbys of a session: it gives a
// standby.Machine what happened and carries out what that answers, with one
// fetcher for all changelogs, whose buffers are bounded. Everything but opening
// happens on it.
type standbys struct {
	s        *session
	m        *standby.Machine
	f        Fetcher
	sessions map[record.TopicPartition]int64 // of what is fetched
	retry    time.Duration                   // before what failed is opened again
	done     chan struct{}
	commands
}

// post hands an event to the goroutine and interrupts its poll.
func (b *standbys) post(ev standby.Event) {
	b.command(func() { b.step(b.s.ctx, ev) })
}

// wait has the goroutine do something and waits until it did.
func (b *standbys) wait(ctx context.Context, f func()) {
	b.await(ctx, b.done, f)
}

// run polls until ctx ends, then gives everything up.
func (b *standbys) run(ctx context.Context) {
	defer close(b.done)
	defer b.f.Close()
	for ctx.Err() == nil {
		batches := b.poll(ctx, b.f)
		for i := range batches {
			b.fetched(ctx, &batches[i])
		}
		b.step(ctx, standby.Polled{})
	}
	b.step(ctx, standby.Stop{})
}

func (b *standbys) fetched(ctx context.Context, f *Batch) {
	session, ok := b.sessions[f.TP]
	switch {
	case !ok:
	case errors.Is(f.Err, ErrOffsetOutOfRange):
		b.step(ctx, standby.FetchFailed{TP: f.TP, Session: session})
	case f.Err != nil:
		b.step(ctx, standby.FetchFailed{TP: f.TP, Session: session, Err: f.Err})
	default:
		b.step(ctx, standby.Fetched{TP: f.TP, Session: session, Read: readOf(f)})
	}
}

// step gives the machine an event and carries out what it answers, until
// there are no more answers.
func (b *standbys) step(ctx context.Context, ev standby.Event) {
	for events := []standby.Event{ev}; len(events) > 0; events = events[1:] {
		for _, e := range b.m.Step(events[0]) {
			if answer := b.do(ctx, e); answer != nil {
				events = append(events, answer)
			}
		}
	}
}

// do carries out one effect. Its answer, if it has one at once, comes next.
func (b *standbys) do(ctx context.Context, e standby.Effect) standby.Event {
	switch e := e.(type) {
	case standby.Open:
		delay := b.retry
		b.s.services.Go(func() { b.open(ctx, e, delay) })
	case standby.Drop:
		return standby.Dropped{Task: e.Task, Generation: e.Generation, Err: b.drop(e)}
	case standby.Fetch:
		for tp := range e.At {
			b.sessions[tp] = e.Session
		}
		b.f.Set(e.At)
	case standby.Unfetch:
		for _, tp := range e.Parts {
			delete(b.sessions, tp)
		}
		b.f.Remove(e.Parts)
	case standby.Pause:
		b.f.Pause(e.Parts)
	case standby.Resume:
		b.f.Resume(e.Parts)
	case standby.Apply:
		return standby.Applied{Err: b.apply(e.Batch)}
	case standby.Close:
		b.close(e)
	case standby.Taken:
	case standby.CaughtUp:
		b.s.log.Info("standby caught up", "task", e.Task.String())
		b.s.assignor.note([]task.ID{e.Task})
	case standby.Failed:
		b.s.log.Error("standby stopped; it is tried again soon", "task", e.Task.String(), "error", e.Err)
		b.s.services.Go(func() { b.again(ctx) })
	}
	return nil
}

func (b *standbys) drop(e standby.Drop) error {
	for _, p := range e.Plans {
		b.s.log.Warn("rebuilding the space of a standby from its changelog", "space", p.Space.String(), "reason", p.Reason)
		if err := b.s.cfg.Store.Drop(p.Space, e.Generation); err != nil {
			return err
		}
	}
	return nil
}

// apply writes a batch. After a failure the store is left alone for a while,
// longer each time.
func (b *standbys) apply(batch *store.Batch) error {
	Crash(b.s.cfg, "standby.apply")
	err := b.s.cfg.Store.Apply(batch)
	Crash(b.s.cfg, "standby.applied")
	if err == nil {
		b.retry = 0
		return nil
	}
	if !errors.Is(err, store.ErrFenced) {
		b.retry = min(max(2*b.retry, 100*time.Millisecond), 5*time.Second)
	}
	b.s.log.Warn("writing standbys failed; opening them again", "error", err)
	return err
}

func (b *standbys) close(e standby.Close) {
	for _, name := range e.Stores {
		sp := spaceOf(name, e.Task)
		if err := b.s.cfg.Store.Release(sp, e.Generation); err != nil {
			b.s.log.Warn("releasing the space of a standby failed", "space", sp.String(), "error", err)
		}
	}
}

// standbyRetry is when a standby that failed is tried again.
const standbyRetry = 10 * time.Second

// again tries standbys again that have failed.
func (b *standbys) again(ctx context.Context) {
	t := time.NewTimer(standbyRetry)
	defer t.Stop()
	select {
	case <-t.C:
		b.s.mu.Lock()
		gen := b.s.nextGeneration()
		b.s.mu.Unlock()
		b.post(standby.Retry{Generation: gen})
	case <-ctx.Done():
	}
}

// open answers Open. The ranges are read after the spaces were opened, so that
// no position is beyond them.
func (b *standbys) open(ctx context.Context, e standby.Open, delay time.Duration) {
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	ev := standby.Opened{Task: e.Task, Generation: e.Generation}
	fail := func(err error) {
		ev.Logs, ev.Err = nil, fmt.Errorf("standby of task %s: %w", e.Task, err)
	}
	logs := b.s.changelogs(e.Task, e.Stores)
	for _, name := range e.Stores {
		l, _, err := b.s.waitForSpace(ctx, spaceOf(name, e.Task), e.Generation, false)
		if err != nil {
			fail(fmt.Errorf("opening %s: %w", name, err))
			b.post(ev)
			return
		}
		ev.Logs = append(ev.Logs, l)
	}
	Crash(b.s.cfg, "standby.opened")
	now := nowMillis() // before the ends: what is complete up to them was complete then
	ranges, err := b.s.cfg.Transport.Offsets(ctx, logs)
	if err != nil {
		fail(fmt.Errorf("reading the ends of its changelogs: %w", err))
	}
	for i := range ev.Logs {
		l, r := &ev.Logs[i], ranges[logs[i]]
		l.TP, l.ID, l.Start, l.End = logs[i], r.Topic, r.Start, r.End
		l.Now, l.TombstoneRetention = now, b.s.tombstones[logs[i].Topic]
	}
	b.post(ev)
}

// status describes the standbys.
func (b *standbys) status(ctx context.Context) []standby.Info {
	answer := make(chan []standby.Info, 1)
	b.wait(ctx, func() { answer <- b.m.Standbys() })
	select {
	case infos := <-answer:
		return infos
	default:
		return nil
	}
}
