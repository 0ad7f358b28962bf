package runtime

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// A lane is one goroutine with the tasks it owns: a worker.Machine, and the
// services that carry out its effects. Only that goroutine touches the
// machine; everything else reaches it through the mailbox.
type lane struct {
	id      int
	s       *session
	m       *worker.Machine
	mailbox chan worker.Event
	queries chan func(*worker.Machine)
	fetch   *fetchLoop
	rounds  chan *worker.Round
	batches chan worker.Apply
	recover chan struct{}
	opens   map[task.ID]context.CancelFunc
	log     *slog.Logger
	done    chan struct{}
	// leaving are tasks whose spaces are being released.
	leaving map[task.ID]chan struct{}

	mu   sync.Mutex
	told chan struct{} // closed once the lane has what it was told last
}

// mailboxSize bounds how far fetching runs ahead of a lane, in batches.
const mailboxSize = 32

// workRecords is how many records a lane handles before it looks into its
// mailbox.
const workRecords = 2048

func newLane(s *session, id int, m *worker.Machine, f Fetcher) *lane {
	l := &lane{
		id: id, s: s, m: m,
		mailbox: make(chan worker.Event, mailboxSize),
		queries: make(chan func(*worker.Machine)),
		rounds:  make(chan *worker.Round, 1),
		batches: make(chan worker.Apply, 1),
		recover: make(chan struct{}, 1),
		opens:   make(map[task.ID]context.CancelFunc),
		log:     s.log.With("lane", id),
		done:    make(chan struct{}),
		leaving: make(map[task.ID]chan struct{}),
	}
	l.fetch = newFetchLoop(f, l.post)
	return l
}

// post hands an event to the lane, unless the session is over.
func (l *lane) post(ctx context.Context, ev worker.Event) bool {
	select {
	case l.mailbox <- ev:
		return true
	case <-ctx.Done():
		return false
	case <-l.done:
		return false
	}
}

// tell hands an event of the group to the lane, in the order of the calls,
// without waiting: a lane that is in the middle of user code must not hold up
// the group, nor the end of the session.
func (l *lane) tell(ctx context.Context, ev worker.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, now := l.told, make(chan struct{})
	l.told = now
	go func() {
		defer close(now)
		if before != nil {
			<-before
		}
		l.post(ctx, ev)
	}()
}

// query runs f on the lane's goroutine.
func (l *lane) query(ctx context.Context, f func(*worker.Machine)) bool {
	ran := make(chan struct{})
	select {
	case l.queries <- func(m *worker.Machine) { f(m); close(ran) }:
		<-ran
		return true
	case <-ctx.Done():
		return false
	case <-l.done:
		return false
	}
}

// run is the lane's goroutine.
func (l *lane) run(ctx context.Context) {
	defer close(l.done)
	timer := newStopped()
	defer timer.Stop()
	for ctx.Err() == nil {
		if !l.poll() {
			continue
		}
		now := nowMillis()
		ready, at, ok := l.m.Ready(now)
		if ready {
			l.step(ctx, worker.Work{Now: now, Max: workRecords})
			continue
		}
		if ok {
			timer.Reset(time.Duration(at-now) * time.Millisecond)
		}
		select {
		case ev := <-l.mailbox:
			l.step(ctx, ev)
		case f := <-l.queries:
			f(l.m)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// poll takes what is in the mailbox without waiting; it returns false when
// there was something, so that all of it is seen before the next work.
func (l *lane) poll() bool {
	select {
	case ev := <-l.mailbox:
		l.step(l.s.ctx, ev)
		return false
	case f := <-l.queries:
		f(l.m)
		return false
	default:
		return true
	}
}

func (l *lane) step(ctx context.Context, ev worker.Event) {
	for _, e := range l.m.Step(ev) {
		l.do(ctx, e)
	}
}

// do carries out one effect. It never waits for anything but a service that
// is known to be free.
func (l *lane) do(ctx context.Context, e worker.Effect) {
	switch e := e.(type) {
	case worker.Fetch:
		l.fetch.set(e.Session, e.At)
	case worker.Unfetch:
		l.fetch.remove(e.Parts)
	case worker.Pause:
		l.fetch.pause(e.Parts)
	case worker.Resume:
		l.fetch.resume(e.Parts)
	case worker.Commit:
		l.rounds <- e.Round
	case worker.Apply:
		l.batches <- e
	case worker.Recover:
		l.recover <- struct{}{}
	case worker.Open:
		l.begin(ctx, e.Task, func(ctx context.Context) { l.post(ctx, l.s.open(ctx, e)) })
	case worker.Restore:
		l.begin(ctx, e.Task, func(ctx context.Context) { l.post(ctx, l.s.restore(ctx, e)) })
	case worker.Close:
		l.close(e)
	case worker.Released:
		l.released(e.Task)
	case worker.Halted:
		l.s.halted(e.Task, e.Err)
	case worker.Reset:
		l.log.Warn("committed offset is not in the log: records were lost to retention, or the topic was made anew; reading goes on at the log start",
			"task", e.Task.String(), "partition", e.TP.String(), "committed", e.From, "start", e.To)
	case worker.Rejoin:
		if e.Generation != 0 && !l.s.owned.has(e.Task, e.Generation) {
			l.log.Debug("a task that was taken away finds its store with the next owner", "task", e.Task.String(), "error", e.Err)
			return
		}
		l.s.rejoin(e.Err)
	}
}

// begin runs a service for a task; closing the task ends it.
func (l *lane) begin(ctx context.Context, id task.ID, f func(context.Context)) {
	if cancel := l.opens[id]; cancel != nil {
		cancel()
	}
	ctx, l.opens[id] = context.WithCancel(ctx)
	l.s.services.Go(func() { f(ctx) })
}

// close ends what runs for a task and releases its spaces. That may take long
// where the store is remote, and the other tasks go on meanwhile.
func (l *lane) close(e worker.Close) {
	if cancel := l.opens[e.Task]; cancel != nil {
		cancel()
		delete(l.opens, e.Task)
	}
	if len(e.Stores) == 0 {
		return
	}
	done := make(chan struct{})
	l.leaving[e.Task] = done
	l.s.services.Go(func() {
		defer close(done)
		for _, name := range e.Stores {
			sp := spaceOf(name, e.Task)
			if err := l.s.cfg.Store.Release(sp, e.Generation); err != nil {
				l.log.Warn("releasing a space failed", "space", sp.String(), "error", err)
			}
		}
	})
}

// released tells who waits for it that a task is gone, spaces and all.
func (l *lane) released(id task.ID) {
	done := l.leaving[id]
	if done == nil {
		l.s.releasedTask(id)
		return
	}
	delete(l.leaving, id)
	l.s.services.Go(func() {
		<-done
		l.s.releasedTask(id)
	})
}

// nowMillis is processing time.
func nowMillis() int64 { return time.Now().UnixMilli() }
