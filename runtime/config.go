package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	stdruntime "runtime"
	"time"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// A Guarantee says what a crash may do to outputs and tables.
type Guarantee uint8

const (
	// ExactlyOnce commits outputs, changelogs and input offsets in one Kafka
	// transaction (KIP-447): readers that read committed see each input's
	// effect once.
	ExactlyOnce Guarantee = iota
	// AtLeastOnce sends outputs and changelogs, then commits the offsets: a
	// crash in between handles some inputs again.
	AtLeastOnce
)

func (g Guarantee) String() string { return [...]string{"exactly-once", "at-least-once"}[g] }

// ParseGuarantee is the inverse of String.
func ParseGuarantee(s string) (Guarantee, error) {
	for _, g := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		if s == g.String() {
			return g, nil
		}
	}
	return 0, fmt.Errorf("guarantee %q is not known: use exactly-once or at-least-once", s)
}

// A Config is what a Worker needs. Fields without a default are required.
type Config struct {
	// Topology is the built application.
	Topology *topology.Topology
	// Transport connects to Kafka. The worker does not close it.
	Transport Transport
	// Store keeps the tables. The worker does not close it.
	Store store.Store
	// Instance names this worker among those of the group, and stays the
	// same when it restarts: it becomes part of the transactional IDs, so
	// that a restart fences what the crashed process left open. Two running
	// workers must not share one.
	Instance string
	// Guarantee; the zero value is ExactlyOnce.
	Guarantee Guarantee
	// Lanes is the number of goroutines that run tasks. Default: GOMAXPROCS,
	// at most 8.
	Lanes int
	// CommitInterval is the time between commit rounds of a lane. Default:
	// 100 ms. It bounds the latency of exactly-once output, and how much is
	// done again after a crash.
	CommitInterval time.Duration
	// CommitTimeout bounds one commit round; when it passes the outcome
	// counts as unknown. Default: 30 s.
	CommitTimeout time.Duration
	// Session, Rebalance and Heartbeat are the group's timeouts. Defaults:
	// 15 s, 60 s, a fifth of Session.
	Session, Rebalance, Heartbeat time.Duration
	// RevokeBudget is how long a revoked task may take to commit before it
	// is given up uncommitted. Default: half of Rebalance.
	RevokeBudget time.Duration
	// ShutdownTimeout is how long a stop may drain and commit. Default: 30 s.
	ShutdownTimeout time.Duration
	// Static makes the worker a static member of the group (KIP-345): a
	// restart within Session moves no task.
	Static bool
	// Standbys is how many other workers follow the changelogs of each task
	// with state, so that one of them can take it over with the tail to replay
	// only. That of the group's leader counts, so all workers should have the
	// same. Stores that workers share need none and allow none. Default: 0.
	Standbys int
	// MemoryBytes is shared by read caches, epochs and fetch buffers of all
	// lanes; the store has its own. Default: 256 MiB.
	MemoryBytes int
	// Replicas is the replication factor of internal topics; -1 takes the
	// broker's default. Default: -1.
	Replicas int16
	// PurgeInterval is how often consumed records of repartition topics are
	// deleted. Default: 30 s.
	PurgeInterval time.Duration
	// Logger; default: slog.Default.
	Logger *slog.Logger
	// OnRestore, when set, is called with the progress of each space that is
	// restored: at the start, after each batch and at the end. Calls come
	// from several goroutines.
	OnRestore func(RestoreProgress)
	// OnHistory, when set, hears of every decided commit round, from several
	// goroutines, for checkers.
	OnHistory func(HistoryEvent)
}

// validate fills defaults in and reports every mistake at once.
func (c *Config) validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("runtime.Config: %s", what))
		}
	}
	need(c.Topology != nil, "Topology is required: build the application first")
	need(c.Transport != nil, "Transport is required")
	need(c.Store != nil, "Store is required")
	need(c.Instance != "", "Instance is required: a name for this worker that survives its restart")
	need(c.Guarantee <= AtLeastOnce, "Guarantee must be ExactlyOnce or AtLeastOnce")
	need(c.Lanes >= 0, "Lanes must not be negative")
	need(c.MemoryBytes >= 0, "MemoryBytes must not be negative")
	need(c.Standbys >= 0, "Standbys must not be negative")
	need(c.Standbys == 0 || !store.Shared(c.Store), "Standbys must be 0 with a store that all workers share: whoever takes a task over has its state already")
	def := func(d *time.Duration, to time.Duration, name string) {
		need(*d >= 0, name+" must not be negative")
		if *d == 0 {
			*d = to
		}
	}
	def(&c.CommitInterval, 100*time.Millisecond, "CommitInterval")
	def(&c.CommitTimeout, 30*time.Second, "CommitTimeout")
	def(&c.Session, 15*time.Second, "Session")
	def(&c.Rebalance, time.Minute, "Rebalance")
	def(&c.Heartbeat, c.Session/5, "Heartbeat")
	def(&c.RevokeBudget, c.Rebalance/2, "RevokeBudget")
	def(&c.ShutdownTimeout, 30*time.Second, "ShutdownTimeout")
	def(&c.PurgeInterval, 30*time.Second, "PurgeInterval")
	need(c.Heartbeat < c.Session, "Heartbeat must be shorter than Session")
	need(c.RevokeBudget < c.Rebalance, "RevokeBudget must be shorter than Rebalance")
	if c.Lanes == 0 {
		c.Lanes = min(stdruntime.GOMAXPROCS(0), 8)
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = 256 << 20
	}
	if c.Replicas == 0 {
		c.Replicas = -1
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return errors.Join(errs...)
}

// budget divides MemoryBytes: a quarter each for epochs, input buffers, fetch
// buffers and read caches. A task that restores has neither input buffers nor
// caches yet; what they would take is for sorting.
type budget struct {
	epoch, input, fetch, cache, load int
}

func (c *Config) budget() budget {
	quarter := c.MemoryBytes / 4
	spaces, inputs := 0, 0
	for _, s := range c.Topology.Subs {
		spaces += len(s.Stores())
		inputs += len(s.Sources)
	}
	// How many tasks a lane will have is not known beforehand; a few are
	// assumed, and every part bounds itself.
	const tasksPerLane = 4
	fetchers := c.Lanes
	if c.Standbys > 0 {
		fetchers++
	}
	return budget{
		epoch: max(quarter/c.Lanes, 1<<20),
		input: max(quarter/(c.Lanes*max(inputs, 1)*tasksPerLane), 256<<10),
		fetch: max(quarter/fetchers, 1<<20),
		cache: quarter / (c.Lanes * max(spaces, 1) * tasksPerLane),
		load:  quarter / (maxRestores / 2),
	}
}

// newStopped returns a stopped timer.
func newStopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
