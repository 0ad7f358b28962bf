package worker

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// free reports whether a round can begin.
func (m *Machine) free() bool { return m.round == nil && !m.recovering }

// due reports whether a round should begin now.
func (m *Machine) due(now int64) bool {
	if !m.free() {
		return false
	}
	return now-m.last >= m.cfg.CommitInterval || m.dirty() >= m.cfg.MaxEpochBytes
}

// dirty is how many bytes the current epochs hold.
func (m *Machine) dirty() int {
	n := 0
	for _, o := range m.owned {
		if o.task != nil {
			n += o.task.Dirty()
		}
	}
	return n
}

// begin starts a round with every task that is at a boundary, if one is due.
func (m *Machine) begin(now int64) {
	if !m.free() || !m.due(now) && !m.urgent() {
		return
	}
	r := &Round{ID: m.rounds + 1}
	for _, o := range m.owned {
		if o.state == Running {
			o.task.Refresh(now)
		}
		if o.task == nil || o.reopen || !o.task.Moved() {
			continue
		}
		o.missed = !o.task.Committable()
		if o.missed {
			continue
		}
		r.Epochs = append(r.Epochs, o.task.Seal())
	}
	if len(r.Epochs) == 0 {
		return
	}
	m.rounds++
	m.round, m.last = r, now
	m.emit(Commit{r})
}

// urgent reports whether a task waits for a round that is not yet due: it
// leaves, or it was in the middle of a batch when the last one began.
func (m *Machine) urgent() bool {
	for _, o := range m.owned {
		if o.task != nil && (o.state == Draining || o.missed) && o.task.Moved() && o.task.Committable() {
			return true
		}
	}
	return false
}

func (m *Machine) decided(ev Decided) {
	if m.round == nil || m.applying || ev.Round != m.round.ID {
		return
	}
	switch ev.Outcome {
	case Committed:
		m.apply(ev)
		return
	case Aborted:
		m.each(m.rewind)
	case Unknown:
		m.recovering = true
		m.each(m.forget)
		m.emit(Recover{})
	case Fenced:
		for len(m.owned) > 0 {
			o := m.owned[0]
			m.remove(o, o.state == Draining)
		}
		m.emit(Rejoin{Err: fmt.Errorf("a newer producer or member took over: %w", ev.Err)})
	}
	m.round = nil
	if !m.recovering {
		m.openForgotten()
	}
}

// each calls f for the tasks of the round that are still ours.
func (m *Machine) each(f func(*owned)) {
	for _, e := range m.round.Epochs {
		if o := m.inRound(e); o != nil {
			f(o)
		}
	}
}

func (m *Machine) inRound(e *task.Epoch) *owned {
	o := m.findIn(e.Task, e.Generation)
	if o == nil || o.task == nil || o.reopen || !o.task.InFlight() {
		return nil
	}
	return o
}

// apply hands the writes of a committed round to the store. A task that was
// taken from us meanwhile is left out: its space is not ours to write.
func (m *Machine) apply(ev Decided) {
	m.outcome = ev
	m.applying = true
	m.batch.Reset()
	m.each(func(o *owned) { o.task.Collect(&m.batch, ev.Next, m.last) })
	if m.batch.Empty() {
		m.applied(Applied{Round: ev.Round})
		return
	}
	m.emit(Apply{m.round.ID, &m.batch})
}

func (m *Machine) applied(ev Applied) {
	if m.round == nil || !m.applying || ev.Round != m.round.ID {
		return
	}
	if errors.Is(ev.Err, store.ErrFenced) || errors.Is(ev.Err, store.ErrClosed) {
		// A task left while its batch was on the way; the others go on.
		before := len(m.batch.Parts())
		m.batch = store.Batch{}
		m.each(func(o *owned) { o.task.Collect(&m.batch, m.outcome.Next, m.last) })
		switch {
		case m.batch.Empty():
			ev.Err = nil
		case len(m.batch.Parts()) < before:
			m.emit(Apply{m.round.ID, &m.batch})
			return
		}
	}
	if ev.Err != nil {
		m.each(func(o *owned) { m.refused(o, ev.Err) })
	} else {
		m.each(func(o *owned) { o.task.Applied() })
	}
	m.round, m.applying = nil, false
	m.settle()
	m.openForgotten()
}

// refused answers a store that did not take the committed writes of a task.
// The changelog has them: a task whose store is damaged, away or fenced is opened
// again once the round is over, and reads back what is missing.
func (m *Machine) refused(o *owned, err error) {
	switch {
	case o.state == Draining:
		m.remove(o, true)
	case Mends(err):
		m.forget(o)
	default:
		o.task.Abort()
		m.halt(o, fmt.Errorf("the store refused a committed batch; the changelog has it, so nothing is lost: repair the store and restart: %w", err))
	}
}

// Mends reports whether opening a space again can help after an error of its
// store. A fenced one cannot be opened, which tells it from those that were in
// one batch with it; see outdated.
func Mends(err error) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFenced)
}

// forget drops a task whose outcome is unknown until the producer is back.
func (m *Machine) forget(o *owned) {
	if o.state == Draining {
		m.remove(o, true)
		return
	}
	m.unfetch(o)
	o.task.Close()
	o.task, o.reopen, o.state = nil, true, Opening
}

// reopen starts a task again from what was committed. With an epoch of its own
// in flight it waits until the round is over: before, what is committed may be
// read and then change; and a batch that arrives in the middle of a rebuild
// would bring a position that claims more than the space holds.
func (m *Machine) reopen(o *owned) {
	flying := o.task.InFlight()
	m.forget(o)
	if !flying {
		m.open(o)
	}
}

// recovered reopens what was forgotten: what the broker decided is read back.
func (m *Machine) recovered() {
	m.recovering = false
	m.openForgotten()
}

func (m *Machine) openForgotten() {
	for _, o := range m.owned {
		if o.reopen {
			m.open(o)
		}
	}
}

// settle lets draining tasks go that have nothing left to commit.
func (m *Machine) settle() {
	for i := 0; i < len(m.owned); {
		o := m.owned[i]
		if o.state == Draining && !o.task.InFlight() && o.drained && (!o.task.Moved() || !o.task.Committable()) {
			m.remove(o, true)
			continue
		}
		i++
	}
}

var errFault = errors.New("the store failed")
