package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// A Config is what a Machine needs to know. All of it is required unless a
// default is given.
type Config struct {
	Topology *topology.Topology
	// Partitions returns the partition count of a topic, 0 if there is none.
	Partitions func(topic string) int32
	// CommitInterval is the time between commit rounds, in milliseconds.
	CommitInterval int64
	// MaxEpochBytes bounds what the epochs of the lane take, the current
	// ones and those in flight together, with all that is made of them on
	// the way to broker and store: a round starts early when the current
	// ones need so much, and processing stops while a round is in flight
	// and the next epochs need as much. Zero means 64 MiB.
	MaxEpochBytes int
	// MaxBufferedBytes pauses an input that has this much waiting; it is
	// resumed at half of it. Zero means 16 MiB.
	MaxBufferedBytes int
	// CacheBytes bounds the read cache of each space. Zero keeps none.
	CacheBytes int
	// Context is handed to user code. Nil means Background.
	Context context.Context
}

// A Machine runs the tasks of one lane. It is for one goroutine.
type Machine struct {
	cfg     Config
	owned   []*owned // ordered by task
	session int64
	out     []Effect

	round      *Round
	outcome    Decided // of the round that is being applied
	applying   bool
	recovering bool
	rounds     int64
	last       int64 // when the last round began
	batch      store.Batch
}

// A State is where a task is in its life.
type State uint8

// States of a task.
const (
	Opening State = iota
	Restoring
	Running
	Draining
	Stopped
)

func (s State) String() string {
	return [...]string{"opening", "restoring", "running", "draining", "stopped"}[s]
}

// owned is one task of the lane.
type owned struct {
	id      task.ID
	gen     store.Generation
	sub     *topology.Sub
	state   State
	task    *task.Task // from Running on
	opened  *Opened
	session int64
	paused  map[record.TopicPartition]bool
	// reopen says that the task's outcome is unknown: it starts from what
	// was committed once the producer has recovered.
	reopen bool
	// missed says that a round began while the task was in the middle of a
	// batch; it stops at its next boundary and is due at once.
	missed bool
	// drained says that a draining task has nothing left to handle.
	drained bool
	// err is why a stopped task does not go on.
	err error
	// rebuild says that the store's data was found damaged.
	rebuild bool
}

// New makes a Machine without tasks.
func New(cfg Config) *Machine {
	if cfg.MaxEpochBytes == 0 {
		cfg.MaxEpochBytes = 64 << 20
	}
	if cfg.MaxBufferedBytes == 0 {
		cfg.MaxBufferedBytes = 16 << 20
	}
	return &Machine{cfg: cfg}
}

// Step takes one event and returns what is to be done. The slice is valid
// until the next Step.
func (m *Machine) Step(ev Event) []Effect {
	clear(m.out)
	m.out = m.out[:0]
	switch ev := ev.(type) {
	case Work:
		m.work(ev)
	case Fetched:
		m.fetched(ev)
	case FetchFailed:
		m.fetchFailed(ev)
	case Decided:
		m.decided(ev)
	case Applied:
		m.applied(ev)
	case Recovered:
		m.recovered()
	case Assign:
		m.assign(ev)
	case Opened:
		m.opened(&ev)
	case Restored:
		m.restored(ev)
	case Revoke:
		m.revoke(ev.Tasks)
	case Expire:
		m.drop(ev.Tasks, true)
	case Lost:
		m.drop(ev.Tasks, false)
	default:
		panic(fmt.Sprintf("worker: no such event: %T", ev))
	}
	return m.out
}

func (m *Machine) emit(e Effect) { m.out = append(m.out, e) }

func (m *Machine) find(id task.ID) *owned {
	i, ok := slices.BinarySearchFunc(m.owned, id, func(o *owned, id task.ID) int { return o.id.Compare(id) })
	if !ok {
		return nil
	}
	return m.owned[i]
}

// findIn returns the task if it is owned in that generation.
func (m *Machine) findIn(id task.ID, gen store.Generation) *owned {
	if o := m.find(id); o != nil && o.gen == gen {
		return o
	}
	return nil
}

// reader returns the running task that reads tp in that session.
func (m *Machine) reader(tp record.TopicPartition, session int64) *owned {
	for _, o := range m.owned {
		if o.session == session && o.task != nil && o.id.Partition == tp.Partition && slices.Contains(o.sub.Sources, tp.Topic) {
			return o
		}
	}
	return nil
}

// Owns reports whether a task is owned in that generation and may commit.
func (m *Machine) Owns(id task.ID, gen store.Generation) bool { return m.findIn(id, gen) != nil }

// An Info describes a task of the lane.
type Info struct {
	Task       task.ID
	Generation store.Generation
	State      State
	Next       map[record.TopicPartition]int64
	StreamTime int64
	Stats      task.Stats
	// Err is why a stopped task does not go on.
	Err error
}

// Tasks describes the tasks, ordered.
func (m *Machine) Tasks() []Info {
	infos := make([]Info, 0, len(m.owned))
	for _, o := range m.owned {
		in := Info{Task: o.id, Generation: o.gen, State: o.state, StreamTime: record.NoTime, Err: o.err}
		if o.task != nil {
			in.Next, in.StreamTime, in.Stats = o.task.Next(), o.task.StreamTime(), o.task.Stats()
		}
		infos = append(infos, in)
	}
	return infos
}

// halt keeps a task from going on, with its partition owned.
func (m *Machine) halt(o *owned, err error) {
	o.state = Stopped
	m.unfetch(o)
	if o.err == nil {
		o.err = err
		m.emit(Halted{o.id, err})
	}
}

var errNoSub = errors.New("the assignment names a sub-topology that this application does not have; all workers of a group must run the same application")
