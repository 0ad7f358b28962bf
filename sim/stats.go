package sim

import (
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// Stats count what happened since New.
type Stats struct {
	// Tasks are the counters of the tasks that run now, since each began.
	Tasks task.Stats
	// Commits, Aborts, Unknowns and Fenced count the outcomes of commit
	// rounds as workers heard of them.
	Commits, Aborts, Unknowns, Fenced int
	Crashes, Rejoins, Rebalances      int
	// Restored counts changelog records that were replayed, Rebuilt the
	// spaces that were emptied first.
	Restored, Rebuilt int
	// Followed counts changelog records that standbys wrote.
	Followed int
	// Resets count inputs that could not be read at their committed offset.
	Resets int
	// Steps of the simulation.
	Steps int
}

func (st *Stats) count(o worker.Outcome) {
	switch o {
	case worker.Committed:
		st.Commits++
	case worker.Aborted:
		st.Aborts++
	case worker.Unknown:
		st.Unknowns++
	case worker.Fenced:
		st.Fenced++
	}
}

// Stats returns the counters.
func (s *App) Stats() Stats {
	st := s.stats
	for _, w := range s.workers {
		if w.p == nil {
			continue
		}
		for _, in := range w.p.m.Tasks() {
			t := &st.Tasks
			t.Processed += in.Stats.Processed
			t.Late += in.Stats.Late
			t.Skipped += in.Stats.Skipped
			t.DeadLettered += in.Stats.DeadLettered
			t.Retried += in.Stats.Retried
			t.Fired += in.Stats.Fired
			t.Closed += in.Stats.Closed
			t.Stale += in.Stats.Stale
		}
	}
	return st
}
