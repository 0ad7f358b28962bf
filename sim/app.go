package sim

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/assign"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/standby"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/core/worker"
)

// A T is what the simulator needs of a test: *testing.T, *testing.B and
// *rapid.T are each one.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// An App is an application under simulation, with its workers, its topics and
// its clock. It is for one goroutine.
type App struct {
	t        T
	cfg      config
	topology *topology.Topology
	tables   map[string]weir.TableInfo
	broker   *broker
	workers  []*Worker
	groups   []assign.Group
	counts   map[string]int32
	now      time.Time
	stopped  map[task.ID]error
	stats    Stats
	faults   []Fault
	hooks    hooks

	taskGeneration store.Generation
	acts           []action
}

// config is what options set.
type config struct {
	workers, standbys                 int
	partitions                        int32
	byTopic                           map[string]int32
	start                             time.Time
	atLeastOnce                       bool
	commitInterval                    time.Duration
	session, revokeBudget, txnTimeout time.Duration
	tombstones                        time.Duration
	maxEpochBytes, maxBufferedBytes   int
	fetchRecords, workRecords         int
	restoreRecords                    int
	maxSteps                          int
	patience                          time.Duration
	logger                            *slog.Logger
}

// An Option changes how an application is simulated.
type Option func(*config)

// Workers sets how many workers there are at the start. Default: 1.
func Workers(n int) Option { return func(c *config) { c.workers = n } }

// Standbys sets how many other workers follow each task with state, as
// runtime.Config.Standbys does. Default: 0.
func Standbys(n int) Option { return func(c *config) { c.standbys = n } }

// Partitions sets how many partitions the application's own topics have that
// do not say it themselves. Default: 4.
func Partitions(n int) Option { return func(c *config) { c.partitions = int32(n) } }

// TopicPartitions sets the number of partitions of one topic.
func TopicPartitions(topic string, n int) Option {
	return func(c *config) { c.byTopic[topic] = int32(n) }
}

// StartAt sets the clock. Default: 2025-01-01 00:00 UTC.
func StartAt(t time.Time) Option { return func(c *config) { c.start = t } }

// AtLeastOnce runs the application without transactions.
func AtLeastOnce() Option { return func(c *config) { c.atLeastOnce = true } }

// CommitInterval sets the time between commits. Default: 100 ms.
func CommitInterval(d time.Duration) Option { return func(c *config) { c.commitInterval = d } }

// SessionTimeout sets when a worker that is not heard of loses its tasks.
// Default: 15 s.
func SessionTimeout(d time.Duration) Option { return func(c *config) { c.session = d } }

// Logger sets where the application logs to. Default: nowhere.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// MaxSteps bounds what one call of Run or Settle may take, so that an
// application that never comes to rest fails its test. Default: 2 million.
func MaxSteps(n int) Option { return func(c *config) { c.maxSteps = n } }

func defaults() config {
	return config{
		workers: 1, partitions: 4, byTopic: make(map[string]int32),
		start:          time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
		commitInterval: 100 * time.Millisecond,
		session:        15 * time.Second, revokeBudget: 30 * time.Second, txnTimeout: time.Minute,
		fetchRecords: 1000, workRecords: 2048, restoreRecords: 1000,
		maxSteps: 2_000_000, patience: 24 * time.Hour,
		logger: slog.New(slog.DiscardHandler),
	}
}

// New builds an application, makes its topics and starts its workers. It
// fails the test with every mistake of the application at once.
func New(t T, app *weir.App, opts ...Option) *App {
	t.Helper()
	top, err := app.Build()
	if err != nil {
		t.Fatalf("sim: %v", err)
	}
	return newApp(t, app, top, hooks{}, opts)
}

func newApp(t T, app *weir.App, top *topology.Topology, h hooks, opts []Option) *App {
	t.Helper()
	s := &App{t: t, tables: make(map[string]weir.TableInfo), cfg: defaults(), topology: top, broker: newBroker(), stopped: make(map[task.ID]error), counts: make(map[string]int32), hooks: h}
	for _, o := range opts {
		o(&s.cfg)
	}
	if h.configure != nil {
		h.configure(&s.cfg)
	}
	for _, info := range app.Tables() {
		s.tables[info.Name] = info
	}
	s.now = s.cfg.start
	s.makeTopics()
	g := &s.broker.group
	g.owner, g.leaving, g.pinned = make(map[task.ID]*process), make(map[task.ID]int64), make(map[task.ID]*Worker)
	for _, sub := range top.Subs {
		sources := assign.Group{Sub: sub.Name, Sources: sub.Sources}
		if len(sub.Stores()) > 0 {
			sources.Standbys = s.cfg.standbys
		}
		s.groups = append(s.groups, sources)
		for p := range s.counts[sub.Sources[0]] {
			g.tasks = append(g.tasks, task.ID{Sub: sub.Name, Partition: p})
		}
	}
	slices.SortFunc(g.tasks, task.ID.Compare)
	for range s.cfg.workers {
		s.AddWorker()
	}
	return s
}

// makeTopics creates the topics of the user, then the internal ones.
func (s *App) makeTopics() {
	for _, name := range s.topology.External() {
		n := s.topology.Topics[name].Partitions
		if n == 0 {
			n = s.cfg.partitions
		}
		if of, ok := s.cfg.byTopic[name]; ok {
			n = of
		}
		s.broker.create(name, n)
		s.counts[name] = n
	}
	internal, problems := s.topology.Plan(s.counts)
	if len(problems) > 0 {
		s.t.Fatalf("sim: %v", &topology.Error{App: s.topology.App, Problems: problems})
	}
	for _, it := range internal {
		s.broker.create(it.Name, it.Partitions)
		s.counts[it.Name] = it.Partitions
	}
}

// AddWorker starts one more worker with an empty disk and returns its number.
func (s *App) AddWorker() int {
	n := len(s.workers)
	w := &Worker{s: s, name: fmt.Sprintf("w%02d", n), disk: newDisk()}
	s.workers = append(s.workers, w)
	w.start()
	return n
}

func (s *App) worker(n int) *Worker {
	s.t.Helper()
	if n < 0 || n >= len(s.workers) {
		s.t.Fatalf("sim: there is no worker %d, there are %d; numbers begin at 0", n, len(s.workers))
	}
	return s.workers[n]
}

func (s *App) running(n int, what string) *Worker {
	s.t.Helper()
	w := s.worker(n)
	if w.p == nil {
		s.t.Fatalf("sim: cannot %s worker %d: it does not run; Restart it first", what, n)
	}
	return w
}

// Crash kills a worker where it is, in the middle of whatever it does. Its
// disk stays; the group hears of it when the session times out, or when the
// worker is restarted.
func (s *App) Crash(n int) {
	s.t.Helper()
	w := s.running(n, "crash")
	s.stats.Crashes++
	w.p.end()
}

// A Disk says with which disk a worker starts again.
type Disk uint8

// Disks of a restart.
const (
	KeepDisk Disk = iota
	LoseDisk
)

// Restart starts a worker that crashed or was stopped.
func (s *App) Restart(n int, d Disk) {
	s.t.Helper()
	w := s.worker(n)
	if w.p != nil {
		s.t.Fatalf("sim: cannot restart worker %d: it runs; Crash it or StopWorker it first", n)
	}
	if d == LoseDisk {
		w.disk = newDisk()
	}
	w.start()
}

// StopWorker stops a worker as SIGTERM does: it gives its tasks up, commits
// what they did, and leaves. Other workers go on meanwhile.
func (s *App) StopWorker(n int) {
	s.t.Helper()
	w := s.running(n, "stop")
	w.leaving = true
	p := w.p
	if p.standbys != nil {
		p.standbys.step(standby.Stop{})
	}
	s.rebalance()
	s.until(fmt.Sprintf("worker %d gives up its tasks", n), func() bool {
		return w.p != p || !slices.Contains(slices.Collect(maps.Values(s.broker.group.owner)), p)
	})
	if w.p == p {
		s.forget(p)
		p.end()
		w.stopped = true
	}
}

// Freeze stops a worker's process without ending it, as a long pause of the
// machine does. After the session timeout its tasks go to others; it becomes a
// zombie that wakes with Thaw.
func (s *App) Freeze(n int) {
	s.t.Helper()
	w := s.running(n, "freeze")
	w.frozen, w.p.silent = true, s.millis()
}

// Thaw lets a frozen worker go on where it was, not knowing that time passed.
func (s *App) Thaw(n int) {
	s.t.Helper()
	w := s.running(n, "thaw")
	w.frozen = false
}

// Move gives the task that reads a topic's partition to a worker, and keeps
// it there as long as that worker runs.
func (s *App) Move(topic string, partition int32, to int) {
	s.t.Helper()
	sub := s.topology.SubOf(topic)
	if sub == nil {
		s.t.Fatalf("sim: nobody reads topic %q; move one of %v", topic, s.topology.Sources())
	}
	if partition < 0 || partition >= s.counts[topic] {
		s.t.Fatalf("sim: topic %q has no partition %d", topic, partition)
	}
	s.broker.group.pinned[task.ID{Sub: sub.Name, Partition: partition}] = s.worker(to)
	s.rebalance()
}

// Owner returns the number of the worker that owns the task which reads a
// topic's partition, or -1.
func (s *App) Owner(topic string, partition int32) int {
	s.t.Helper()
	sub := s.topology.SubOf(topic)
	if sub == nil {
		s.t.Fatalf("sim: nobody reads topic %q", topic)
	}
	p := s.broker.group.owner[task.ID{Sub: sub.Name, Partition: partition}]
	if p == nil || p.dead {
		return -1
	}
	return slices.Index(s.workers, p.w)
}

// FailCommit makes the next commit of any worker go wrong. Several calls
// queue up.
func (s *App) FailCommit(f Fault) { s.faults = append(s.faults, f) }

func (s *App) nextFault(p *process) Fault {
	if f := s.hooks.fault; f != nil {
		return f(p)
	}
	if len(s.faults) == 0 {
		return noFault
	}
	f := s.faults[0]
	s.faults = s.faults[1:]
	return f
}

// Compact removes from a topic what newer records supersede, as Kafka does
// with compacted topics; tombstones also removes deletions.
func (s *App) Compact(topic string, tombstones bool) {
	s.t.Helper()
	for _, p := range s.topic(topic) {
		p.compact(tombstones)
	}
}

func (s *App) topic(name string) []*partition {
	s.t.Helper()
	ps := s.broker.topics[name]
	if ps == nil {
		s.t.Fatalf("sim: there is no topic %q; there are %v", name, s.broker.names)
	}
	return ps
}

// Now is the time of the simulation.
func (s *App) Now() time.Time { return s.now }

func (s *App) millis() int64 { return s.now.UnixMilli() }

// Stopped returns why tasks do not go on, by topic partition of their first
// source.
func (s *App) Stopped() map[record.TopicPartition]error {
	m := make(map[record.TopicPartition]error)
	for _, id := range s.halted() {
		m[record.TopicPartition{Topic: id.Sub, Partition: id.Partition}] = s.stopped[id]
	}
	return m
}

// halted returns the tasks that are stopped where they are now; a crash, a
// move or an abort sets a stopped task going again.
func (s *App) halted() []task.ID {
	var ids []task.ID
	for _, id := range s.broker.group.tasks {
		p := s.broker.group.owner[id]
		if s.stopped[id] == nil || p == nil || p.dead {
			continue
		}
		for _, in := range p.m.Tasks() {
			if in.Task == id && in.State == worker.Stopped {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
