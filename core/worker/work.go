package worker

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// quantum is how many records a task handles before the next one has its
// turn.
const quantum = 256

// work runs tasks, in turns, then begins a round if one is due.
func (m *Machine) work(ev Work) {
	left := ev.Max
	for left > 0 {
		done := 0
		for i := 0; i < len(m.owned) && left > 0; i++ {
			n := m.runTask(m.owned[i], ev.Now, min(quantum, left))
			done += n
			left -= n
		}
		if done == 0 || m.due(ev.Now) {
			break
		}
	}
	m.settle()
	m.begin(ev.Now)
}

// runTask runs one task for at most n records and returns how many it did.
func (m *Machine) runTask(o *owned, now int64, n int) int {
	switch o.state {
	case Running:
	case Draining:
		return m.drain(o, now)
	default:
		return 0
	}
	if m.full() {
		return 0
	}
	// A task with batches waits at its boundary for a round that is about
	// to begin: later it would be in the middle of a batch again.
	wanted := m.free() && (o.missed || o.task.Batches() && m.due(now))
	done := 0
	for done < n && !(wanted && m.atBoundary(o)) {
		st := o.task.Step(now)
		if st == task.Progress {
			done++
			continue
		}
		m.stuck(o, st)
		break
	}
	if o.state == Running {
		m.resume(o)
	}
	return done
}

// stuck answers a task that can not go on by itself.
func (m *Machine) stuck(o *owned, st task.Status) {
	switch {
	case st == task.Stopped:
		m.halt(o, o.task.Stopped())
	case st == task.Faulted && errors.Is(o.task.Fault(), store.ErrCorrupt):
		o.rebuild = true
		m.reopen(o)
	case st == task.Faulted && Mends(o.task.Fault()):
		m.reopen(o)
	case st == task.Faulted:
		m.halt(o, fmt.Errorf("%w: %w", errFault, o.task.Fault()))
	}
}

// atBoundary reports whether the task has something to commit and may.
func (m *Machine) atBoundary(o *owned) bool {
	return o.task.Moved() && o.task.Committable()
}

// full reports whether processing must wait because no round can begin that
// would make room.
func (m *Machine) full() bool {
	return !m.free() && m.dirty() >= m.cfg.MaxEpochBytes
}

// drain brings a leaving task to a boundary: batches that wait are handled,
// a record that is being retried is left to the next owner.
func (m *Machine) drain(o *owned, now int64) int {
	if o.drained {
		return 0
	}
	st := o.task.Flush(now)
	for st == task.Progress {
		st = o.task.Flush(now)
	}
	if st == task.Blocked {
		o.task.Cancel()
	}
	o.drained = true
	return 0
}

// Ready says whether Work has something to do at processing time now, and
// otherwise when it will without new events; ok is false when it will not.
func (m *Machine) Ready(now int64) (ready bool, at int64, ok bool) {
	wake := func(t int64) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	moved := false
	for _, o := range m.owned {
		if o.task == nil {
			continue
		}
		refresh, ages := o.task.RefreshAt()
		if ages = ages && o.state == Running; ages && refresh > now {
			wake(refresh)
		}
		moved = moved || (o.task.Moved() || ages && refresh <= now) && o.task.Committable()
		switch {
		case o.state == Draining && !o.drained:
			return true, now, true
		case o.state != Running || m.full():
			continue
		case o.task.Ready(now):
			return true, now, true
		}
		if t, waiting := o.task.Wake(); waiting {
			wake(t)
		}
	}
	if moved && m.free() {
		if m.urgent() || m.due(now) {
			return true, now, true
		}
		wake(m.last + m.cfg.CommitInterval)
	}
	return ok && at <= now, at, ok
}
