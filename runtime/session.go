package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// A session is one membership of the group: from joining to leaving. A worker
// that was replaced, or whose producer was fenced, ends its session and
// begins another.
type session struct {
	cfg        *Config
	log        *slog.Logger
	budget     budget
	ctx        context.Context // ends with the session
	cancel     context.CancelFunc
	topics     map[string]TopicInfo
	tombstones map[string]int64
	subOf      map[string]*topology.Sub // by source topic
	assignor   *assignor
	owned      *ownership
	globals    *globals
	purge      *purger
	lanes      []*lane
	producers  []Producer
	group      Group
	joined     chan struct{} // closed once group is set
	restores   chan struct{} // bounds restores under way
	shares     shares
	services   sync.WaitGroup
	ended      chan error // why the session must end

	mu      sync.Mutex
	gen     store.Generation
	laneOf  map[task.ID]*lane
	standby *standbys // nil until this worker is to keep one
	reading int       // tasks that read their changelogs
	// following are the tasks that this worker is to keep standbys of.
	following []task.ID
	waiting   map[task.ID][]chan struct{}
	stopped   map[task.ID]error
}

// maxRestores is how many tasks restore at once.
const maxRestores = 8

func newSession(cfg *Config, topics map[string]TopicInfo, g *globals, a *assignor) *session {
	s := &session{
		cfg: cfg, log: cfg.Logger, budget: cfg.budget(), topics: topics,
		tombstones: tombstoneRetention(topics),
		subOf:      make(map[string]*topology.Sub),
		assignor:   a,
		owned:      newOwnership(),
		globals:    g,
		purge:      newPurger(cfg),
		joined:     make(chan struct{}),
		restores:   make(chan struct{}, maxRestores),
		ended:      make(chan error, 1),
		laneOf:     make(map[task.ID]*lane),
		waiting:    make(map[task.ID][]chan struct{}),
		stopped:    make(map[task.ID]error),
	}
	for _, sub := range cfg.Topology.Subs {
		for _, topic := range sub.Sources {
			s.subOf[topic] = sub
		}
	}
	return s
}

// start makes producers and lanes and joins the group. ctx bounds the start
// only; the session goes on until close.
func (s *session) start(ctx context.Context) error {
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for i := range s.cfg.Lanes {
		if err := s.startLane(ctx, i); err != nil {
			return err
		}
	}
	s.services.Go(func() { s.purge.run(s.ctx) })
	s.services.Go(func() { s.sweeps(s.ctx) })
	var sources []string
	for _, sub := range s.cfg.Topology.Subs {
		sources = append(sources, sub.Sources...)
	}
	slices.Sort(sources)
	s.assignor.note(s.onDisk(nowMillis()))
	gc := GroupConfig{
		Group: s.cfg.Topology.App, Topics: sources, Assignor: s.assignor,
		Session: s.cfg.Session, Rebalance: s.cfg.Rebalance, Heartbeat: s.cfg.Heartbeat, RevokeBudget: s.cfg.RevokeBudget,
	}
	if s.cfg.Static {
		gc.InstanceID = s.cfg.Instance
	}
	g, err := s.cfg.Transport.Join(s.ctx, gc, s)
	if err != nil {
		return fmt.Errorf("joining group %q: %w", gc.Group, err)
	}
	s.group = g
	close(s.joined)
	return nil
}

func (s *session) startLane(ctx context.Context, i int) error {
	txn := ""
	if s.cfg.Guarantee == ExactlyOnce {
		txn = fmt.Sprintf("%s-%s-%d", s.cfg.Topology.App, s.cfg.Instance, i)
	}
	p, err := s.cfg.Transport.Producer(ctx, txn)
	if err != nil {
		return fmt.Errorf("producer of lane %d: %w", i, err)
	}
	s.producers = append(s.producers, p)
	f, err := s.cfg.Transport.Fetcher(FetchConfig{MaxBytes: s.budget.fetch})
	if err != nil {
		return fmt.Errorf("fetcher of lane %d: %w", i, err)
	}
	m := worker.New(worker.Config{
		Topology:         s.cfg.Topology,
		Partitions:       func(topic string) int32 { return s.topics[topic].Partitions },
		CommitInterval:   s.cfg.CommitInterval.Milliseconds(),
		MaxEpochBytes:    s.budget.epoch,
		MaxBufferedBytes: s.budget.input,
		CacheBytes:       s.budget.cache,
		Context:          context.WithValue(s.ctx, topology.LoggerKey, s.log),
	})
	l := newLane(s, i, m, f)
	s.lanes = append(s.lanes, l)
	s.services.Go(func() { l.run(s.ctx) })
	s.services.Go(func() { l.fetch.run(s.ctx) })
	s.services.Go(func() { l.commitLoop(s.ctx, p) })
	return nil
}

// drain gives all tasks up, committed as far as ctx allows.
func (s *session) drain(ctx context.Context) {
	s.follow(nil)
	s.giveUp(ctx, s.tasks())
}

func (s *session) tasks() []task.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]task.ID, 0, len(s.laneOf))
	for id := range s.laneOf {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, task.ID.Compare)
	return ids
}

// leave leaves the group, if it was joined.
func (s *session) leave(ctx context.Context) {
	if s.group == nil {
		return
	}
	if err := s.group.Leave(ctx); err != nil {
		s.log.Warn("leaving the group failed; its tasks move when the session times out", "error", err)
	}
}

// close ends all goroutines and connections of the session. It waits for user
// code and for the store, but not for ever: then it fails.
func (s *session) close() error {
	s.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.services.Wait()
	}()
	late := time.NewTimer(closePatience)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		return fmt.Errorf("an agent or the store did not return within %s of being told to stop: let agents return when their context ends", closePatience)
	}
	for _, p := range s.producers {
		p.Close()
	}
	return nil
}

// rejoin ends the session from within.
func (s *session) rejoin(err error) {
	select {
	case s.ended <- err:
	default:
	}
}

func (s *session) halted(id task.ID, err error) {
	s.mu.Lock()
	s.stopped[id] = err
	s.mu.Unlock()
	s.log.Error("task stopped; its partition is not processed until the cause is mended and the worker restarted", "task", id.String(), "error", err)
}

func (s *session) releasedTask(id task.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting[id] {
		close(w)
	}
	delete(s.waiting, id)
}

// What leaving may take beyond draining, and then the end of user code and of
// calls of the store.
const (
	shutdownPatience = 5 * time.Second
	closePatience    = 20 * time.Second
)

// tasksOf groups partitions into tasks.
func (s *session) tasksOf(parts []record.TopicPartition) []task.ID {
	var ids []task.ID
	for _, tp := range parts {
		sub := s.subOf[tp.Topic]
		if sub == nil {
			continue
		}
		if id := (task.ID{Sub: sub.Name, Partition: tp.Partition}); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, task.ID.Compare)
	return ids
}
