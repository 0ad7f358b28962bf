package standby

import (
	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// An Event is something that happened.
type Event interface{ event() }

type (
	// Wanted lists the standbys that this worker is to keep, all of them, in a
	// generation larger than any before.
	Wanted struct {
		Generation store.Generation
		Tasks      []task.ID
	}
	// Take says that tasks become active on this worker. Answer: Taken, when
	// they may be opened.
	Take struct{ Tasks []task.ID }
	// Left says that tasks are not active on this worker any more: those that
	// are wanted are followed, in a generation larger than any before.
	Left struct {
		Generation store.Generation
		Tasks      []task.ID
	}
	// Opened answers Open.
	Opened struct {
		Task       task.ID
		Generation store.Generation
		Logs       []changelog.Log
		// Err says that the standby cannot be opened; waiting does not help.
		Err error
	}
	// Dropped answers Drop.
	Dropped struct {
		Task       task.ID
		Generation store.Generation
		Err        error
	}
	// Fetched brings what was read; Session is that of the Fetch effect.
	Fetched struct {
		TP      record.TopicPartition
		Session int64
		changelog.Read
	}
	// FetchFailed says that a changelog cannot be read at its offset: with Err
	// nil because the log does not hold it, otherwise for good.
	FetchFailed struct {
		TP      record.TopicPartition
		Session int64
		Err     error
	}
	// Polled says that there is nothing more to be had at once: what was read
	// is written.
	Polled struct{}
	// Applied answers Apply; Err says why the store did not take the batch.
	Applied struct{ Err error }
	// Retry tries standbys again that have failed, in a generation larger than
	// any before.
	Retry struct{ Generation store.Generation }
	// Restoring says whether tasks of this worker are being restored.
	Restoring struct{ On bool }
	// Stop gives all standbys up.
	Stop struct{}
)

func (Wanted) event()      {}
func (Take) event()        {}
func (Left) event()        {}
func (Opened) event()      {}
func (Dropped) event()     {}
func (Fetched) event()     {}
func (FetchFailed) event() {}
func (Polled) event()      {}
func (Applied) event()     {}
func (Retry) event()       {}
func (Restoring) event()   {}
func (Stop) event()        {}

// An Effect is something to be done by the driver, in the order given.
type Effect interface{ effect() }

type (
	// Open asks for what a standby starts from: its spaces, opened, and the
	// ranges of their changelogs. Answer: Opened, at any time later.
	Open struct {
		Task       task.ID
		Generation store.Generation
		Stores     []string
	}
	// Drop empties spaces. Answer: Dropped.
	Drop struct {
		Task       task.ID
		Generation store.Generation
		Plans      []changelog.Plan
	}
	// Fetch starts reading changelogs at offsets, not paused, in place of what
	// was read of them before. Answers: Fetched, FetchFailed, Polled.
	Fetch struct {
		Session int64
		At      map[record.TopicPartition]int64
	}
	// Unfetch stops reading changelogs.
	Unfetch struct{ Parts []record.TopicPartition }
	// Pause stops fetching for a while, Resume goes on.
	Pause struct{ Parts []record.TopicPartition }
	// Resume goes on fetching.
	Resume struct{ Parts []record.TopicPartition }
	// Apply writes a batch to the store before anything else is done. Answer:
	// Applied, as the next event. The batch may be used until then.
	Apply struct{ Batch *store.Batch }
	// Close gives up the spaces of a standby.
	Close struct {
		Task       task.ID
		Generation store.Generation
		Stores     []string
	}
	// Taken says that tasks may be opened as active ones.
	Taken struct{ Tasks []task.ID }
	// CaughtUp says that a standby holds all that its changelogs held when it
	// was opened, for the first time since then.
	CaughtUp struct{ Task task.ID }
	// Failed says that a standby is not kept, and why. It is tried again with
	// Retry, or when the group assigns the next time.
	Failed struct {
		Task task.ID
		Err  error
	}
)

func (Open) effect()     {}
func (Drop) effect()     {}
func (Fetch) effect()    {}
func (Unfetch) effect()  {}
func (Pause) effect()    {}
func (Resume) effect()   {}
func (Apply) effect()    {}
func (Close) effect()    {}
func (Taken) effect()    {}
func (CaughtUp) effect() {}
func (Failed) effect()   {}
