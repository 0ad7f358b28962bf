package worker

import (
	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// An Event is something that happened.
type Event interface{ event() }

type (
	// Assign gives tasks to the lane, in a generation larger than any before.
	Assign struct {
		Generation store.Generation
		Tasks      []task.ID
	}
	// Opened answers Open.
	Opened struct {
		Task       task.ID
		Generation store.Generation
		Inputs     []Input
		Logs       []changelog.Log
		// Readers are the opened spaces and the global tables, by name.
		Readers map[string]store.Reader
		// Err says that the task cannot be opened; waiting does not help.
		// For what waiting may help against, the driver waits.
		Err error
	}
	// Restored answers Restore.
	Restored struct {
		Task       task.ID
		Generation store.Generation
		// Err is why the task is not restored. After store.ErrCorrupt,
		// store.ErrUnavailable and store.ErrFenced it is opened again at once:
		// the driver waits before it says so.
		Err error
	}
	// Fetched brings records; Session is that of the Fetch effect.
	Fetched struct {
		TP      record.TopicPartition
		Session int64
		Records []record.Record
		Next    int64
	}
	// FetchFailed says that an input cannot be read at its offset: with Err
	// nil because the log does not hold it, otherwise for good.
	FetchFailed struct {
		TP      record.TopicPartition
		Session int64
		Err     error
	}
	// Work lets tasks run: at most Max records, with processing time Now.
	Work struct {
		Now int64
		Max int
	}
	// Decided is the outcome of the round in flight.
	Decided struct {
		Round   int64
		Outcome Outcome
		// Next is the offset after the last record written to each
		// partition, for Committed.
		Next map[record.TopicPartition]int64
		Err  error
	}
	// Applied says that the store took the batch of a round, or why not.
	Applied struct {
		Round int64
		Err   error
	}
	// Recovered says that the producer works again.
	Recovered struct{}
	// Revoke asks for tasks back: each is answered with Released.
	Revoke struct{ Tasks []task.ID }
	// Expire says that the budget of a revocation is used up.
	Expire struct{ Tasks []task.ID }
	// Lost says that tasks belong to somebody else already.
	Lost struct{ Tasks []task.ID }
)

func (Assign) event()      {}
func (Opened) event()      {}
func (Restored) event()    {}
func (Fetched) event()     {}
func (FetchFailed) event() {}
func (Work) event()        {}
func (Decided) event()     {}
func (Applied) event()     {}
func (Recovered) event()   {}
func (Revoke) event()      {}
func (Expire) event()      {}
func (Lost) event()        {}

// An Input is one input partition of a task that opens.
type Input struct {
	TP record.TopicPartition
	// Committed is the group's committed offset, or -1 without one.
	Committed int64
	Metadata  string
	// Start and End are the log start and the high watermark.
	Start, End int64
}

// An Outcome says what became of a round.
type Outcome uint8

// Outcomes of a round.
const (
	Committed Outcome = iota // durable and visible
	Aborted                  // nothing is visible, and never will be
	Unknown                  // either; nobody knows yet
	Fenced                   // a newer owner exists; nothing is visible
)

func (o Outcome) String() string {
	return [...]string{"committed", "aborted", "unknown", "fenced"}[o]
}
