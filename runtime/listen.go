package runtime

import (
	"context"
	"fmt"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

var _ ExpelledListener = (*session)(nil)

// Assigned spreads new tasks over the lanes.
func (s *session) Assigned(_ int64, parts []record.TopicPartition) {
	select {
	case <-s.joined:
	case <-s.ctx.Done():
		return
	}
	ids := s.tasksOf(parts)
	if len(ids) == 0 {
		return
	}
	Crash(s.cfg, "assign")
	s.take(ids)
	s.mu.Lock()
	gen := s.nextGeneration()
	byLane := s.place(ids)
	s.mu.Unlock()
	s.log.Info("tasks assigned", "tasks", fmt.Sprint(ids), "generation", int64(gen))
	s.owned.add(gen, ids)
	s.assignor.note(ids)
	for i, l := range s.lanes {
		if len(byLane[i]) > 0 {
			l.tell(s.ctx, worker.Assign{Generation: gen, Tasks: byLane[i]})
		}
	}
}

// nextGeneration is called with s.mu held. Generations grow also across
// restarts and members, as far as clocks agree: a store shared by workers is
// fenced by them.
func (s *session) nextGeneration() store.Generation {
	s.gen = max(s.gen+1, store.Generation(nowMillis()))
	return s.gen
}

// generation is the newest one.
func (s *session) generation() store.Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gen
}

// place picks a lane for each task: the one with the fewest.
func (s *session) place(ids []task.ID) [][]task.ID {
	load := make([]int, len(s.lanes))
	for _, l := range s.laneOf {
		load[l.id]++
	}
	byLane := make([][]task.ID, len(s.lanes))
	for _, id := range ids {
		best := 0
		for i := range load {
			if load[i] < load[best] {
				best = i
			}
		}
		load[best]++
		s.laneOf[id] = s.lanes[best]
		delete(s.stopped, id)
		byLane[best] = append(byLane[best], id)
	}
	return byLane
}

// Revoked commits what the tasks did and gives them up; when the budget is
// used up they are given up uncommitted.
func (s *session) Revoked(ctx context.Context, parts []record.TopicPartition) {
	ids := s.tasksOf(parts)
	s.log.Info("tasks revoked", "tasks", fmt.Sprint(ids))
	Crash(s.cfg, "revoke.before")
	s.giveUp(ctx, ids)
	Crash(s.cfg, "revoke.after")
}

func (s *session) giveUp(ctx context.Context, ids []task.ID) {
	waits := make(map[task.ID]chan struct{})
	s.mu.Lock()
	byLane := make(map[*lane][]task.ID)
	for _, id := range ids {
		if l := s.laneOf[id]; l != nil {
			waits[id] = make(chan struct{})
			s.waiting[id] = append(s.waiting[id], waits[id])
			byLane[l] = append(byLane[l], id)
		}
	}
	s.mu.Unlock()
	for _, l := range s.lanes {
		if len(byLane[l]) > 0 {
			l.tell(s.ctx, worker.Revoke{Tasks: byLane[l]})
		}
	}
	var late []task.ID
	for _, id := range ids {
		if waits[id] == nil {
			continue // no lane has it, so nobody would ever answer
		}
		select {
		case <-waits[id]:
		case <-ctx.Done():
			late = append(late, id)
		}
	}
	s.owned.remove(ids)
	s.mu.Lock()
	for _, id := range ids {
		delete(s.laneOf, id)
		delete(s.waiting, id)
	}
	s.mu.Unlock()
	if len(late) > 0 {
		s.log.Warn("the time for giving tasks up is over; what they had not committed will be done again by their next owner", "tasks", fmt.Sprint(late))
		for _, l := range s.lanes {
			l.tell(s.ctx, worker.Expire{Tasks: late})
		}
	}
	s.left(ids)
}

// Lost drops tasks that belong to somebody else already.
func (s *session) Lost(parts []record.TopicPartition) {
	ids := s.tasksOf(parts)
	s.log.Warn("tasks lost: this worker was out of touch for longer than its session timeout", "tasks", fmt.Sprint(ids))
	s.owned.remove(ids)
	s.mu.Lock()
	for _, id := range ids {
		delete(s.laneOf, id)
	}
	s.mu.Unlock()
	for _, l := range s.lanes {
		l.tell(s.ctx, worker.Lost{Tasks: ids})
	}
	s.left(ids)
}

// Expelled ends the session: what comes next begins from what is committed.
func (s *session) Expelled(err error) { s.rejoin(err) }
