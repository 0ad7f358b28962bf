package standby

import (
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// A Config is what a Machine needs to know.
type Config struct {
	Topology *topology.Topology
	// MaxBatchBytes bounds what is read before it is written. Zero means
	// 4 MiB.
	MaxBatchBytes int
}

// A Machine keeps the standbys of one worker. It is for one goroutine.
type Machine struct {
	cfg       Config
	wanted    map[task.ID]bool
	active    map[task.ID]bool // on this worker
	replicas  []*replica       // ordered by task
	session   int64
	restoring bool
	out       []Effect

	batch    store.Batch
	bytes    int  // in the batch
	applying bool // Applied is due
}

// A State is where a standby is in its life.
type State uint8

// States of a standby.
const (
	Opening State = iota
	Dropping
	Following
	Stopped
)

func (s State) String() string {
	return [...]string{"opening", "dropping", "following", "stopped"}[s]
}

// New makes a Machine without standbys.
func New(cfg Config) *Machine {
	if cfg.MaxBatchBytes == 0 {
		cfg.MaxBatchBytes = 4 << 20
	}
	return &Machine{cfg: cfg, wanted: make(map[task.ID]bool), active: make(map[task.ID]bool)}
}

// Step takes one event and returns what is to be done. The slice is valid
// until the next Step.
func (m *Machine) Step(ev Event) []Effect {
	clear(m.out)
	m.out = m.out[:0]
	if _, ok := ev.(Applied); m.applying != ok {
		panic(fmt.Sprintf("standby: %T while Applied is due: %t", ev, m.applying))
	}
	switch ev := ev.(type) {
	case Fetched:
		m.fetched(ev)
	case FetchFailed:
		m.fetchFailed(ev)
	case Polled:
		m.write()
	case Applied:
		m.applied(ev)
	case Wanted:
		m.want(ev)
	case Take:
		m.take(ev.Tasks)
	case Left:
		m.left(ev)
	case Opened:
		m.opened(ev)
	case Dropped:
		m.dropped(ev)
	case Retry:
		m.again(ev.Generation)
	case Restoring:
		m.yield(ev.On)
	case Stop:
		m.stop()
	default:
		panic(fmt.Sprintf("standby: no such event: %T", ev))
	}
	return m.out
}

func (m *Machine) emit(e Effect) { m.out = append(m.out, e) }

func (m *Machine) find(id task.ID) *replica {
	i, ok := slices.BinarySearchFunc(m.replicas, id, func(r *replica, id task.ID) int { return r.id.Compare(id) })
	if !ok {
		return nil
	}
	return m.replicas[i]
}

// findIn returns the standby if it is kept in that generation and state.
func (m *Machine) findIn(id task.ID, gen store.Generation, s State) *replica {
	if r := m.find(id); r != nil && r.gen == gen && r.state == s {
		return r
	}
	return nil
}

// An Info describes a standby.
type Info struct {
	Task       task.ID
	Generation store.Generation
	State      State
	// CaughtUp says that it has reached the ends that its changelogs had when
	// it was opened, and goes on from there.
	CaughtUp bool
	// Next is the next offset of each changelog that is to be written to the
	// store, from Following on.
	Next map[record.TopicPartition]int64
	// Err is why a stopped one does not go on.
	Err error
}

// Standbys describes the standbys, ordered by task.
func (m *Machine) Standbys() []Info {
	infos := make([]Info, 0, len(m.replicas))
	for _, r := range m.replicas {
		in := Info{Task: r.id, Generation: r.gen, State: r.state, CaughtUp: r.caughtUp, Err: r.err}
		if r.state == Following {
			in.Next = r.next()
		}
		infos = append(infos, in)
	}
	return infos
}
