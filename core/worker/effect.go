package worker

import (
	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// An Effect is something to be done by the driver, in the order given.
type Effect interface{ effect() }

type (
	// Open asks for everything that the task starts from: wait for stable
	// committed offsets, then read the ranges of its inputs and changelogs,
	// and open its spaces. Answer: Opened.
	Open struct {
		Task       task.ID
		Generation store.Generation
		Inputs     []record.TopicPartition
		Stores     []string
		// Rebuild says that the spaces were found damaged: their Logs are
		// to be marked Corrupt.
		Rebuild bool
	}
	// Restore asks for spaces to be brought up to date. Answer: Restored.
	Restore struct {
		Task       task.ID
		Generation store.Generation
		Plans      []changelog.Plan
	}
	// Fetch starts reading inputs at offsets, not paused, in place of what
	// was read of them before. Answers: Fetched, FetchFailed, with the same session.
	Fetch struct {
		Session int64
		At      map[record.TopicPartition]int64
	}
	// Unfetch stops reading inputs.
	Unfetch struct{ Parts []record.TopicPartition }
	// Pause stops fetching inputs whose task has enough to do.
	Pause struct{ Parts []record.TopicPartition }
	// Resume goes on fetching them.
	Resume struct{ Parts []record.TopicPartition }
	// Commit sends a round. Answer: Decided.
	Commit struct{ Round *Round }
	// Apply writes a batch to the store. Answer: Applied. The batch may be
	// used until then.
	Apply struct {
		Round int64
		Batch *store.Batch
	}
	// Recover makes the producer usable after an unknown outcome, fencing
	// what is on its way. Answer: Recovered.
	Recover struct{}
	// Close gives up the spaces of a task.
	Close struct {
		Task       task.ID
		Generation store.Generation
		Stores     []string
	}
	// Released says that a revoked task is gone.
	Released struct{ Task task.ID }
	// Halted says that a task does not go on, and why. It stays owned.
	Halted struct {
		Task task.ID
		Err  error
	}
	// Reset says that an input could not be read where it was committed, and
	// where reading goes on: records were lost to retention, or the topic
	// was made anew.
	Reset struct {
		Task     task.ID
		TP       record.TopicPartition
		From, To int64
	}
	// Rejoin says that this lane was replaced: leave the group and join anew.
	// With a task, only its store knows a newer owner: there is nothing to do
	// when the group has taken that generation of it away by now.
	Rejoin struct {
		Task       task.ID
		Generation store.Generation
		Err        error
	}
)

func (Open) effect()     {}
func (Restore) effect()  {}
func (Fetch) effect()    {}
func (Unfetch) effect()  {}
func (Pause) effect()    {}
func (Resume) effect()   {}
func (Commit) effect()   {}
func (Apply) effect()    {}
func (Recover) effect()  {}
func (Close) effect()    {}
func (Released) effect() {}
func (Halted) effect()   {}
func (Reset) effect()    {}
func (Rejoin) effect()   {}

// A Round is one commit: the epochs of some tasks of a lane.
type Round struct {
	ID     int64
	Epochs []*task.Epoch
}

// Records returns outputs and changelog records, task by task.
func (r *Round) Records() [][]record.Record {
	var all [][]record.Record
	for _, e := range r.Epochs {
		if len(e.Outputs) > 0 {
			all = append(all, e.Outputs)
		}
		if len(e.Changes) > 0 {
			all = append(all, e.Changes)
		}
	}
	return all
}

// Tasks returns whose epochs the round holds.
func (r *Round) Tasks() []task.ID {
	ids := make([]task.ID, len(r.Epochs))
	for i, e := range r.Epochs {
		ids[i] = e.Task
	}
	return ids
}
