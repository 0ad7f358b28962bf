package topology

import (
	"context"
	"iter"
	"time"

	"github.com/weirstream/weir/core/record"
)

// A Graph is an application as it was declared, unchecked.
type Graph struct {
	// App is the application's name: the consumer group, and the prefix of
	// every internal topic.
	App    string
	Topics []Topic
	Tables []Table
	Timers []Timer
	Agents []Agent
	// Problems are mistakes found while declaring; Build reports them with
	// its own.
	Problems []Problem
}

// A TopicKind says who owns a topic.
type TopicKind uint8

const (
	// External topics belong to the user; weir never creates them unasked.
	External TopicKind = iota
	// Repartition topics carry a re-keyed stream between sub-topologies;
	// weir creates them and deletes what was consumed.
	Repartition
	// Changelog topics carry the history of a table; weir creates them
	// compacted.
	Changelog
)

func (k TopicKind) String() string {
	return [...]string{"external", "repartition", "changelog"}[k]
}

// A Topic is a topic that the application reads or writes.
type Topic struct {
	// Name as it is in Kafka.
	Name string
	Kind TopicKind
	// Partitions wanted: 0 means as many as the topic has, or, for a
	// repartition topic, as many as the topic it comes from; for an external
	// topic it is what `topics create` creates.
	Partitions int32
	// From is, for a repartition topic, the topic it is derived from.
	From string
	// KeyType and ValueType describe the codecs, for people and for the
	// check that a topic is not declared twice with different types.
	KeyType, ValueType string
}

// A Window cuts a table's entries by event time.
type Window struct {
	// Size of a tumbling window, in milliseconds; windows are aligned to
	// the Unix epoch and hold start <= time < start+Size.
	Size int64
	// Grace is how far stream time may pass a window's end before the
	// window closes, in milliseconds.
	Grace int64
	// Retain is how long a closed window stays readable after it closed, in
	// milliseconds; Forever keeps it.
	Retain int64
}

// Forever as Window.Retain keeps closed windows.
const Forever int64 = -1

// Start returns the start of the window that holds time t.
func (w Window) Start(t int64) int64 {
	s := t - t%w.Size
	if t%w.Size < 0 {
		s -= w.Size
	}
	return s
}

// CloseAt returns the stream time at which the window that starts at start
// closes: records for it are late from then on.
func (w Window) CloseAt(start int64) int64 { return start + w.Size + w.Grace }

// A Table is a keyed table, partitioned like the topics of the agents that
// use it, or a global table.
type Table struct {
	Name string
	// Source makes this a global table: the full content of that topic on
	// every worker, read-only, without a changelog of its own.
	Source string
	// Window is nil for a plain table.
	Window *Window
	// Late is the topic that gets the record whose write came too late for
	// its window, or empty to only count it.
	Late string
	// OnClose, when set, runs once for each entry of a window that closes,
	// in key order, with that window's final value. It may write tables
	// that CloseUses names and send to CloseSends.
	OnClose               func(ctx Context, start int64, key, value []byte) error
	CloseUses, CloseSends []string
	// Policy of OnClose.
	Policy Policy
	// Store names the kind of store to keep this table in, or empty for the
	// worker's default.
	Store              string
	KeyType, ValueType string
}

// Global reports whether every worker holds the whole table.
func (t *Table) Global() bool { return t.Source != "" }

// A Timer is a named set of durable event-time timers, one for each key.
type Timer struct {
	Name string
	// Fire runs once when stream time reaches the time that was set.
	Fire        func(ctx Context, key []byte) error
	Uses, Sends []string
	Policy      Policy
}

// An Agent is one function of a stream.
type Agent struct {
	Name string
	// Source is the topic it reads.
	Source string
	// Steps describe the stateless operators between source and function
	// ("filter late", "map"), for drawings.
	Steps []string
	// Uses are the tables it reads or writes, Sends the topics it sends to,
	// Sets the timers it sets.
	Uses, Sends, Sets []string
	Policy            Policy
	// New makes the agent's processor for one task. A processor is used by
	// one goroutine at a time.
	New func() Processor
}

// A Processor is an agent at work on one task.
type Processor interface {
	// Process handles one record. When it returns an error, everything it
	// did since it was called is undone and the agent's Policy decides.
	Process(ctx Context, r *record.Record) error
}

// A BatchProcessor is a Processor that may keep records back to handle
// several at once. The core never commits past a record that is held.
type BatchProcessor interface {
	Processor
	// Held returns how many records wait for their batch to fill, oldest
	// first counted from the last call of Process.
	Held() int
	// Due returns the processing time, in Unix milliseconds, at which the
	// held records must be flushed.
	Due() int64
	// Flush handles the held records now.
	Flush(ctx Context) error
	// Close ends the processor; records still held are simply forgotten,
	// they were not committed.
	Close()
}

// A Context is what the core offers to user code while it handles one record,
// one timer or one closing window. It is valid during that call only;
// afterwards its methods fail with ErrInactive.
type Context interface {
	context.Context

	// Record is the record at hand; for timers and closing windows a record
	// with the key, the firing time and no topic.
	Record() *record.Record
	// Task names the task, "sub-topology/partition".
	Task() string
	// Partition is the task's partition number.
	Partition() int32
	// Now is processing time, frozen while one record is handled, in Unix
	// milliseconds.
	Now() int64
	// StreamTime is the largest event time the task has seen.
	StreamTime() int64
	// Rand returns a random number that depends only on the record at hand
	// and on how many were drawn before: a retry draws the same ones.
	Rand() uint64
	// Agent is the name of the agent, table or timer whose function runs.
	Agent() string

	// Get appends the value of key to dst; false when absent.
	Get(table *Table, key, dst []byte) ([]byte, bool, error)
	// Put writes. The core copies key and value. A nil value is an error.
	Put(table *Table, key, value []byte) error
	// Delete removes a key; removing an absent one is fine.
	Delete(table *Table, key []byte) error
	// Scan yields from <= key < to of this partition in byte order, with
	// the task's own uncommitted writes. The table must not be written
	// during a scan.
	Scan(table *Table, from, to []byte) iter.Seq2[Entry, error]
	// Window prepares the write to a windowed table for event time t: it
	// returns the start of the window, and false when that window is closed:
	// the record was then counted as late and sent to the late topic.
	Window(table *Table, t int64) (start int64, open bool, err error)

	// Send adds a record to the output of the current epoch. Partition -1
	// lets the key choose. The core copies key, value and headers.
	Send(topic string, out Output) error
	// SetTimer sets or moves the timer of a key; CancelTimer removes it.
	SetTimer(timer *Timer, key []byte, at int64) error
	CancelTimer(timer *Timer, key []byte) error
}

// An Output is a record to be sent.
type Output struct {
	Partition  int32 // -1: chosen by the key, or for a nil key by the input
	Key, Value []byte
	Headers    []record.Header
	Time       int64
}

// An Entry is one key and value of a table; the slices are valid until the
// scan's next step.
type Entry struct {
	Key, Value []byte
}

// A PolicyKind says what happens to a record whose handling failed.
type PolicyKind uint8

const (
	// Stop stops the task's partition, loudly, and keeps the record.
	Stop PolicyKind = iota
	// Skip drops the record and counts it.
	Skip
	// DeadLetter sends the record with the error to Policy.Topic.
	DeadLetter
)

func (k PolicyKind) String() string { return [...]string{"stop", "skip", "dead-letter"}[k] }

// A Policy is an agent's answer to errors, panics and undecodable records:
// Retries attempts more, with a backoff that doubles from Backoff up to
// MaxBackoff, and then Final. Records behind the failing one wait, so order
// is kept.
type Policy struct {
	Retries             int
	Backoff, MaxBackoff time.Duration
	Final               PolicyKind
	Topic               string // of DeadLetter
}
