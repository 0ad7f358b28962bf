package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// A Worker runs an application as one member of its consumer group. Make one
// with New, then call Run once.
type Worker struct {
	cfg      Config
	assignor *assignor

	mu      sync.Mutex
	session *session
	gen     store.Generation // the newest of the sessions that are over
}

// New checks the configuration, all of it, and makes a Worker.
func New(cfg Config) (*Worker, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Worker{cfg: cfg, assignor: newAssignor(cfg.Topology, cfg.Standbys)}, nil
}

// Run runs the application until ctx ends, then drains, commits and leaves
// the group, for at most ShutdownTimeout, and returns nil; or an error when an
// agent or the store does not come back after that. While brokers are
// away it waits and goes on by itself. It returns an error only for what
// waiting cannot mend: topics that do not fit the application, or a store
// that cannot be opened, or that has a newer owner however often the group is
// joined anew.
func (w *Worker) Run(ctx context.Context) error {
	topics, err := w.prepare(ctx)
	if err != nil {
		return quiet(ctx, err)
	}
	var again rejoins
	rebuild := ""
	for {
		began := time.Now()
		err := w.runOnce(ctx, topics, rebuild)
		if err == nil || ctx.Err() != nil {
			return quiet(ctx, err)
		}
		if !errors.Is(err, errRejoin) {
			return err
		}
		if err := again.after(err, time.Since(began)); err != nil {
			return err
		}
		rebuild = ""
		if damage := (*damageError)(nil); errors.As(err, &damage) {
			rebuild = damage.table
		}
		w.cfg.Logger.Warn("leaving the group to join it anew", "reason", err)
		again.wait.sleep(ctx)
	}
}

// rejoins counts the sessions that ended soon, and those of them that a store
// ended which had a newer owner although the group gave us the task. The store
// is ours with the next membership, or with one that is as much later as the
// clock of an earlier owner was ahead; but not when somebody writes it who is not
// in the group.
type rejoins struct {
	wait   backoff
	fenced int
}

const (
	// maxFenced is how often: over a minute and a half, with the pauses.
	maxFenced = 20
	// soon is how short a session is that counts.
	soon = time.Minute
)

// after counts a session that ended with err, and fails when it is enough.
func (r *rejoins) after(err error, lasted time.Duration) error {
	if lasted > soon {
		*r = rejoins{}
	}
	if !errors.Is(err, store.ErrFenced) {
		return nil
	}
	if r.fenced++; r.fenced < maxFenced {
		return nil
	}
	return fmt.Errorf("joining the group anew %d times did not help: see to it that nobody else writes the store, compare the workers' clocks, and start the worker again: %w", r.fenced, err)
}

// runOnce opens the global tables and runs one session over them.
func (w *Worker) runOnce(ctx context.Context, topics map[string]TopicInfo, rebuild string) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	g := newGlobals(&w.cfg)
	defer g.done.Wait()
	defer stop()
	starting := context.AfterFunc(ctx, stop)
	if err := g.start(background, topics, rebuild); err != nil {
		return err
	}
	// From here on the global tables are followed until the tasks are gone.
	starting()
	return w.runSession(ctx, newSession(&w.cfg, topics, g, w.assignor))
}

var errRejoin = errors.New("session over")

// quiet hides the errors of an orderly stop.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (w *Worker) runSession(ctx context.Context, s *session) (err error) {
	w.mu.Lock()
	w.session = s
	s.gen = w.gen // generations grow although clocks go back
	w.mu.Unlock()
	defer func() {
		if stuck := s.close(); stuck != nil {
			err = stuck
		}
		w.mu.Lock()
		w.gen = s.generation()
		w.mu.Unlock()
	}()
	if err := s.start(ctx); err != nil {
		if errors.Is(err, ErrFenced) {
			return fmt.Errorf("%w: %w", errRejoin, err)
		}
		return err
	}
	var ended error
	select {
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.ShutdownTimeout)
		s.drain(drain)
		cancel()
	case err := <-s.ended:
		ended = fmt.Errorf("%w: %w", errRejoin, err)
	case err := <-s.globals.damaged:
		ended = fmt.Errorf("%w: %w", errRejoin, err)
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	s.leave(leave)
	return ended
}

// A Status describes a worker at one moment.
type Status struct {
	Tasks []TaskStatus
	// Standbys are the replicas that it keeps of tasks of others.
	Standbys []standby.Info
}

// A TaskStatus describes one task.
type TaskStatus struct {
	worker.Info
	Lane int
	// Stopped says why the task does not go on, if so.
	Stopped error
}

// Status asks the lanes for the state of their tasks. It waits for lanes
// that are in the middle of user code, and for batches that are written, until
// ctx ends.
func (w *Worker) Status(ctx context.Context) Status {
	w.mu.Lock()
	s := w.session
	w.mu.Unlock()
	var st Status
	if s == nil {
		return st
	}
	select {
	case <-s.joined:
	default:
		return st
	}
	for _, l := range s.lanes {
		var infos []worker.Info
		if !l.query(ctx, func(m *worker.Machine) { infos = m.Tasks() }) {
			continue
		}
		for _, in := range infos {
			st.Tasks = append(st.Tasks, TaskStatus{Info: in, Lane: l.id, Stopped: s.why(in.Task)})
		}
	}
	if b := s.standbys(); b != nil {
		st.Standbys = b.status(ctx)
	}
	return st
}

func (s *session) why(id task.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped[id]
}
