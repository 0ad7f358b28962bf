package task

import (
	"github.com/weirstream/weir/core/record"
)

// A Status is what a Step came to.
type Status uint8

const (
	// Idle: nothing is buffered and nothing is due.
	Idle Status = iota
	// Progress: one record, or one batch that was due, is done.
	Progress
	// Blocked: a failed record waits for its next attempt; see Wake.
	Blocked
	// Stopped: a record failed and its policy is to stop; see Stopped.
	Stopped
	// Faulted: the store failed; see Fault. The task must be given up.
	Faulted
)

// A phase is where in a step the task is. A step runs through them in this
// order; only a record that is retried rests in the middle.
type phase uint8

const (
	idle     phase = iota
	closing        // windows that the record's time closes, then expired ones
	firing         // timers that the record's time makes due
	handling       // the agents that read the record
	flushing       // a batch that is due, without a record
)

// A step is the work on one record with all that follows from it. It either
// ends as a whole or, when the task stops, is undone as a whole.
type step struct {
	phase     phase
	in        *input
	rec       *record.Record
	agents    []int // to run, in order; at is the current one
	at        int
	from      int64 // stream time before the step
	out       outMark
	stats     Stats // before the step
	held      bool  // a batch held records when the step began
	collected bool  // the due timers of timer name at are known
	fed       bool  // the record was handed to a batch
	until     int64 // processing time of the next attempt
	attempts  int
	fault     error
	one       [1]int
}

// Step does the next piece of work: one record with the windows it closes
// and the timers it fires, or one batch that is due. now is processing time
// in Unix milliseconds.
func (t *Task) Step(now int64) Status {
	switch {
	case t.step.fault != nil:
		return Faulted
	case t.stopped != nil:
		return Stopped
	case now < t.step.until:
		return Blocked
	case t.step.phase == idle && !t.begin(now, false):
		return Idle
	}
	return t.run(now)
}

// Flush hands held records to their agents although their batches are not
// full, so that the epoch can end. It is done when it returns Idle.
func (t *Task) Flush(now int64) Status {
	switch {
	case t.step.fault != nil:
		return Faulted
	case t.stopped != nil:
		return Stopped
	case now < t.step.until:
		return Blocked
	case t.step.phase == idle && !t.beginFlush(now, true):
		return Idle
	}
	return t.run(now)
}

// Fault returns the error of the store that made the task Faulted.
func (t *Task) Fault() error { return t.step.fault }

// Ready reports whether Step has something to do now.
func (t *Task) Ready(now int64) bool {
	if t.stopped != nil || t.step.fault != nil || now < t.step.until {
		return false
	}
	if t.step.phase != idle {
		return true
	}
	for _, in := range t.inputs {
		if in.count > 0 {
			return true
		}
	}
	for _, a := range t.agents {
		if len(a.redo) > 0 || len(a.held) > 0 && a.batch.Due() <= now {
			return true
		}
	}
	return false
}

// Wake returns the processing time at which Step has something to do without
// new records, or false.
func (t *Task) Wake() (int64, bool) {
	if t.step.phase != idle {
		return t.step.until, true
	}
	var at int64
	var ok bool
	for _, a := range t.agents {
		if len(a.held) > 0 {
			if due := a.batch.Due(); !ok || due < at {
				at, ok = due, true
			}
		}
	}
	return at, ok
}

func (t *Task) run(now int64) Status {
	for t.step.phase != idle {
		if st := t.advance(now); st != Progress {
			return st
		}
	}
	return Progress
}

// advance does one unit of work: one call of user code.
func (t *Task) advance(now int64) Status {
	switch t.step.phase {
	case closing:
		return t.closeNext(now)
	case firing:
		return t.fireNext(now)
	default:
		return t.handleNext(now)
	}
}

// begin starts the next step, if there is one.
func (t *Task) begin(now int64, force bool) bool {
	if t.beginFlush(now, force) {
		return true
	}
	in := earliest(t.inputs)
	if in == nil {
		return false
	}
	t.open(in.agents)
	t.step.in, t.step.rec, t.step.phase = in, in.peek(), handling
	t.readAhead(in)
	if t.timerDue() {
		t.step.phase = firing
	}
	if at := t.step.rec.Time; at > t.streamTime {
		t.streamTime = at
		t.step.phase = closing
		for _, w := range t.windows {
			w.schedule(t.step.from, at)
		}
	}
	return true
}

// timerDue reports whether a timer may be due at the current stream time: one
// that was set for a time already past.
func (t *Task) timerDue() bool {
	for _, tm := range t.timers {
		if tm.next <= t.streamTime && t.streamTime != record.NoTime {
			return true
		}
	}
	return false
}

// beginFlush starts a step for a batch that is due.
func (t *Task) beginFlush(now int64, force bool) bool {
	for i, a := range t.agents {
		if len(a.redo) > 0 || len(a.held) > 0 && (force || a.batch.Due() <= now) {
			t.open(nil)
			t.step.one[0] = i
			t.step.agents = t.step.one[:]
			t.step.phase = flushing
			return true
		}
	}
	return false
}

// open takes the savepoint of a step.
func (t *Task) open(agents []int) {
	t.journal.reset()
	t.late = t.late[:0]
	t.step = step{agents: agents, from: t.streamTime, out: t.outs.mark(), stats: t.stats}
	for _, a := range t.agents {
		if a.holds() {
			t.step.held = true
		}
	}
}

// finish ends the step.
func (t *Task) finish() Status {
	if t.step.in != nil {
		t.step.in.pop()
		t.stats.Processed++
	}
	t.moved = true
	t.step.phase = idle
	t.step.rec, t.step.in = nil, nil
	return Progress
}

// handleNext lets the next agent handle the record, or its due batch.
func (t *Task) handleNext(now int64) Status {
	if t.step.at == len(t.step.agents) {
		return t.finish()
	}
	a := t.agents[t.step.agents[t.step.at]]
	if a.batch != nil {
		return t.handleBatch(now, a)
	}
	err := t.attempt(now, &a.scope, t.step.rec, func() error { return a.proc.Process(&t.ctx, t.step.rec) })
	if err != nil {
		return t.failed(now, a, t.step.rec, err)
	}
	t.step.at++
	t.step.attempts = 0
	return Progress
}

// handleBatch feeds an agent that may hold records back. Records of a batch
// that failed before go first.
func (t *Task) handleBatch(now int64, a *agent) Status {
	if t.step.rec != nil && !t.step.fed {
		a.redo = append(a.redo, t.step.rec)
		t.step.fed = true
	}
	for len(a.redo) > 0 {
		r := a.redo[0]
		before := len(a.held)
		t.ctx.batch = a.held
		err := t.attempt(now, &a.scope, r, func() error { return a.proc.Process(&t.ctx, r) })
		a.redo = a.redo[1:]
		if err != nil {
			return t.failedBatch(now, a, append(a.held, r), err)
		}
		a.note(r)
		if len(a.held) <= before {
			a.attempts = 0 // a batch went through
		}
	}
	if t.step.phase == flushing && len(a.held) > 0 {
		last := a.held[len(a.held)-1]
		t.ctx.batch = a.held
		if err := t.attempt(now, &a.scope, last, func() error { return a.batch.Flush(&t.ctx) }); err != nil {
			return t.failedBatch(now, a, a.held, err)
		}
		a.note(nil)
		a.attempts = 0
	}
	t.step.at++
	t.step.fed = false
	return Progress
}

// attempt runs user code; on an error nothing of what it did remains.
func (t *Task) attempt(now int64, sc *scope, r *record.Record, run func() error) error {
	mark := savepoint{t.journal.mark(), len(t.late), t.outs.mark()}
	late := t.stats.Late
	t.ctx.enter(sc, r, now)
	err := protect(run)
	t.ctx.leave()
	if t.ctx.fault != nil {
		t.step.fault, t.ctx.fault = t.ctx.fault, nil
		err = t.step.fault
	}
	if err != nil {
		t.undo(mark)
		t.stats.Late = late
	}
	return err
}

// A savepoint is a place within a step to go back to.
type savepoint struct {
	writes, late int
	out          outMark
}

func (t *Task) undo(to savepoint) {
	t.journal.rollback(to.writes)
	t.late = t.late[:to.late]
	t.outs.truncate(to.out)
	for _, tm := range t.timers {
		tm.next = unknownTime
	}
}
