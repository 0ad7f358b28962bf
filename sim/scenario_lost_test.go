package sim

import (
	"testing"
	"time"

	"github.com/weirstream/weir/core/worker"
)

// A worker was giving a task up when it fell asleep, and lost it; it wakes up,
// joins anew and is given the same task before it has heard of the loss. That
// the old ownership is over says nothing of the new one.
func TestLostWhileLeavingThenAssignedAgain(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.counting()
	s := New(t, b.app, Workers(2))
	s.Move("in", 0, 0)
	s.Run()
	b.send(s, 0, 5)
	s.Run()
	s.Move("in", 0, 1)
	for p := s.workers[0].p; p.m.Tasks()[0].State != worker.Draining; {
		if !s.step() {
			t.Fatal("the task is not revoked")
		}
	}
	s.Freeze(0)
	s.Crash(1)
	s.Advance(s.cfg.session + time.Second)
	before := s.broker.group.generation
	s.Thaw(0)
	s.Run()
	if got := s.broker.group.generation - before; got != 1 {
		t.Errorf("the task was assigned %d times, want once", got)
	}
	b.send(s, 5, 10)
	s.Settle()
	if got := s.Owner("in", 0); got != 0 {
		t.Errorf("worker %d owns the task, want 0", got)
	}
	wantTotal(t, s, b.counts, 10)
	s.Check()
}
