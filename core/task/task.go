package task

import (
	"context"
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/topology"
)

// A Config says what a task starts from.
type Config struct {
	Topology   *topology.Topology
	Sub        *topology.Sub
	Partition  int32
	Generation store.Generation
	// Context is what user code sees as its context.Context: values such as
	// the logger, and an end when the worker stops. Nil means Background.
	Context context.Context
	// Readers are the open, restored spaces by store name, global tables
	// included.
	Readers map[string]store.Reader
	// Positions are those of the restored spaces by store name.
	Positions map[string]store.Position
	// RefreshEvery is how old, in milliseconds, the position of a space may
	// become before a round writes it again although nothing else of the
	// space changed; zero means never. See Refresh.
	RefreshEvery int64
	// Partitions returns the partition count of a topic that is sent to,
	// or 0 when the topic does not exist.
	Partitions func(topic string) int32
	// Offsets are the committed offsets of the inputs; an input that is
	// absent starts at 0, and the driver says where that is by the records
	// it adds.
	Offsets map[record.TopicPartition]int64
	// StreamTime as it was committed, or record.NoTime.
	StreamTime int64
	// CacheBytes bounds what is kept of each space beside the store; zero
	// keeps nothing.
	CacheBytes int
}

// A Task is one sub-topology on one partition. It is for one goroutine.
type Task struct {
	id         ID
	cfg        Config
	inputs     []*input
	agents     []*agent
	spaces     []*space
	byTable    map[string]*space
	globals    map[string]store.Reader
	windows    []*window
	timers     []*timers
	outs       *outbox
	spareOuts  *outbox
	flying     *Epoch
	journal    journal
	ctx        taskContext
	step       step
	late       []lateWrite // that the step sent to a late topic
	streamTime int64
	committed  int64 // stream time of the last committed epoch
	moved      bool  // anything to commit in the current epoch
	poisoned   bool  // stopped in the middle of what cannot be undone
	stopped    error
	stats      Stats
}

// Stats count what a task did since it was made.
type Stats struct {
	Processed, Late, Skipped, DeadLettered, Retried, Fired, Closed, Stale int64
}

// New makes a task. The configuration comes from the lane, which checked it.
func New(cfg Config) *Task {
	if cfg.Context == nil {
		cfg.Context = context.Background()
	}
	t := &Task{
		id:         ID{cfg.Sub.Name, cfg.Partition},
		cfg:        cfg,
		byTable:    make(map[string]*space),
		globals:    make(map[string]store.Reader),
		outs:       &outbox{},
		streamTime: cfg.StreamTime,
		committed:  cfg.StreamTime,
	}
	t.ctx = taskContext{Context: cfg.Context, t: t}
	for _, name := range cfg.Sub.Stores() {
		s := newSpace(name, cfg.Partition, topology.ChangelogTopic(cfg.Topology.App, name), cfg.Readers[name], cfg.CacheBytes)
		s.pos = cfg.Positions[name]
		if table := cfg.Topology.Tables[name]; table != nil {
			s.ahead = newAhead(s.reader, table.Window, cfg.CacheBytes)
		}
		t.spaces = append(t.spaces, s)
		t.byTable[name] = s
	}
	for _, g := range cfg.Topology.Globals {
		t.globals[g.Name] = cfg.Readers[g.Name]
	}
	for _, table := range cfg.Sub.Tables {
		if table.Window != nil {
			t.windows = append(t.windows, &window{table: table, space: t.byTable[table.Name]})
		}
	}
	for _, tm := range cfg.Sub.Timers {
		t.timers = append(t.timers, &timers{timer: tm, space: t.byTable[tm.Name], next: unknownTime})
	}
	for _, a := range cfg.Sub.Agents {
		t.agents = append(t.agents, newAgent(a))
	}
	for _, topic := range cfg.Sub.Sources {
		in := &input{tp: record.TopicPartition{Topic: topic, Partition: cfg.Partition}}
		in.start(cfg.Offsets[in.tp])
		for i, a := range t.agents {
			if a.spec.Source == topic {
				in.agents = append(in.agents, i)
			}
		}
		t.inputs = append(t.inputs, in)
	}
	return t
}

// ID returns the task's name.
func (t *Task) ID() ID { return t.id }

// Generation returns the generation in which the task is owned.
func (t *Task) Generation() store.Generation { return t.cfg.Generation }

// StreamTime is the largest event time seen, or record.NoTime.
func (t *Task) StreamTime() int64 { return t.streamTime }

// Stats returns the counters.
func (t *Task) Stats() Stats { return t.stats }

// Stopped returns why the task stopped on a record, or nil.
func (t *Task) Stopped() error { return t.stopped }

// Inputs returns the partitions that the task reads.
func (t *Task) Inputs() []record.TopicPartition {
	tps := make([]record.TopicPartition, len(t.inputs))
	for i, in := range t.inputs {
		tps[i] = in.tp
	}
	return tps
}

// Buffered returns how many records and bytes wait in an input.
func (t *Task) Buffered(tp record.TopicPartition) (records, bytes int) {
	if in := t.input(tp); in != nil {
		return in.count, in.bytes
	}
	return 0, 0
}

// Next returns the offset of the next record to process in each input.
func (t *Task) Next() map[record.TopicPartition]int64 {
	next := make(map[record.TopicPartition]int64, len(t.inputs))
	for _, in := range t.inputs {
		next[in.tp] = in.next
	}
	return next
}

// Dirty returns how many bytes the current epoch is counted as: what it and an
// epoch of the same size in flight hold in memory, with all that is made of
// them on the way to broker and store.
func (t *Task) Dirty() int {
	n := t.outs.bytes
	for _, s := range t.spaces {
		n += s.cur.bytes
	}
	return n
}

func (t *Task) input(tp record.TopicPartition) *input {
	for _, in := range t.inputs {
		if in.tp == tp {
			return in
		}
	}
	return nil
}

// Add takes fetched records of one input; next is the offset after them,
// control records included. What was seen before is dropped and counted. The
// task keeps the slice until its records are processed.
func (t *Task) Add(tp record.TopicPartition, rs []record.Record, next int64) error {
	in := t.input(tp)
	if in == nil {
		return fmt.Errorf("task %s does not read %s", t.id, tp)
	}
	fresh := len(rs)
	rs = in.add(rs, next)
	t.stats.Stale += int64(fresh - len(rs))
	if in.count == 0 && in.settle() {
		t.moved = true
	}
	return nil
}

// Committable reports whether the current epoch may end now: not in the
// middle of a record, and with no record held back by a batch.
func (t *Task) Committable() bool {
	if t.poisoned || t.step.phase != idle {
		return false
	}
	return !slices.ContainsFunc(t.agents, (*agent).holds)
}

// Batches reports whether any agent may hold records back.
func (t *Task) Batches() bool {
	return slices.ContainsFunc(t.agents, func(a *agent) bool { return a.batch != nil })
}

// Moved reports whether the current epoch has anything to commit.
func (t *Task) Moved() bool { return t.moved }

// InFlight reports whether an epoch is sealed and undecided.
func (t *Task) InFlight() bool { return t.flying != nil }

// Close ends the processors. The task must not be used any more.
func (t *Task) Close() {
	for _, a := range t.agents {
		a.close()
	}
}
