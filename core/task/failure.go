package task

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// protect turns a panic into an error.
func protect(run func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &topology.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return run()
}

// A RecordError says on which record the function of an agent, table or
// timer failed.
type RecordError struct {
	Task     ID
	Agent    string
	Record   record.TopicPartition
	Offset   int64
	Attempts int
	Err      error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("task %s stopped: %q failed on %s offset %d after %d attempts: %v; fix the cause and restart, or give %q an error policy (retry, dead letter, skip)",
		e.Task, e.Agent, e.Record, e.Offset, e.Attempts, e.Err, e.Agent)
}

func (e *RecordError) Unwrap() error { return e.Err }

// Headers of a dead letter; key, value and headers of the original come
// through unchanged beside them.
const (
	HeaderError     = "weir-error"
	HeaderStack     = "weir-stack"
	HeaderAgent     = "weir-agent"
	HeaderTopic     = "weir-topic"
	HeaderPartition = "weir-partition"
	HeaderOffset    = "weir-offset"
	HeaderTime      = "weir-timestamp"
	HeaderAttempts  = "weir-attempts"
)

// again reports whether the policy allows another attempt after attempts
// were made, and when.
func again(p topology.Policy, attempts int, now int64) (int64, bool) {
	if attempts > p.Retries {
		return 0, false
	}
	wait := p.Backoff
	for i := 1; i < attempts && wait < p.MaxBackoff; i++ {
		wait *= 2
	}
	if p.MaxBackoff > 0 {
		wait = min(wait, p.MaxBackoff)
	}
	return now + max(wait.Milliseconds(), 0), true
}

// failed answers the failure of an agent on one record.
func (t *Task) failed(now int64, a *agent, r *record.Record, err error) Status {
	if st := t.settle(now, &a.scope, &t.step.attempts, []*record.Record{r}, err); st != Progress {
		return st
	}
	t.step.at++
	return Progress
}

// failedBatch answers the failure of a batch: all its records share its fate.
func (t *Task) failedBatch(now int64, a *agent, batch []*record.Record, err error) Status {
	batch = append([]*record.Record(nil), batch...)
	a.close()
	a.start()
	st := t.settle(now, &a.scope, &a.attempts, batch, err)
	if st == Blocked {
		a.redo = append(batch, a.redo...)
	}
	return st
}

// settle applies a policy: Blocked to try again, Progress when the records
// were skipped or dead-lettered, Stopped when the task stops.
func (t *Task) settle(now int64, sc *scope, attempts *int, rs []*record.Record, err error) Status {
	if t.step.fault != nil {
		return Faulted
	}
	*attempts++
	if at, ok := again(sc.policy, *attempts, now); ok && !errors.Is(err, topology.ErrUndeclared) {
		t.stats.Retried++
		t.step.until = at
		return Blocked
	}
	tries := *attempts
	*attempts = 0
	switch sc.policy.Final {
	case topology.Skip:
		t.stats.Skipped += int64(len(rs))
		return Progress
	case topology.DeadLetter:
		for _, r := range rs {
			if derr := t.deadLetter(sc, r, tries, err); derr != nil {
				return t.stop(sc, rs[0], tries, errors.Join(err, derr))
			}
		}
		t.stats.DeadLettered += int64(len(rs))
		return Progress
	default:
		return t.stop(sc, rs[0], tries, err)
	}
}

// stop undoes the step as a whole and keeps the task from going on. What was
// done before the record stays committable, unless a batch had a part in it.
func (t *Task) stop(sc *scope, r *record.Record, tries int, err error) Status {
	t.abandon()
	t.stopped = &RecordError{Task: t.id, Agent: sc.name, Record: r.TP(), Offset: r.Offset, Attempts: tries, Err: err}
	return Stopped
}

// abandon undoes the step as a whole. The task is then where it was before the
// step, unless a batch already held records of steps before: what it holds
// was taken from the input and is not done.
func (t *Task) abandon() {
	t.undo(savepoint{out: t.step.out})
	t.streamTime = t.step.from
	retried := t.stats.Retried
	t.stats = t.step.stats
	t.stats.Retried = retried
	if t.step.held {
		t.poisoned = true
	} else {
		for _, a := range t.agents {
			if a.holds() {
				a.reset() // of the record that the step was about
			}
		}
	}
	t.step = step{}
}

func (t *Task) deadLetter(sc *scope, r *record.Record, tries int, err error) error {
	hs := append([]record.Header(nil), r.Headers...)
	add := func(k, v string) { hs = append(hs, record.Header{Key: k, Value: []byte(v)}) }
	add(HeaderError, err.Error())
	add(HeaderAgent, sc.name)
	add(HeaderTopic, r.Topic)
	add(HeaderPartition, strconv.Itoa(int(r.Partition)))
	add(HeaderOffset, strconv.FormatInt(r.Offset, 10))
	add(HeaderTime, strconv.FormatInt(r.Time, 10))
	add(HeaderAttempts, strconv.Itoa(tries))
	var p *topology.PanicError
	if errors.As(err, &p) {
		add(HeaderStack, stableStack(p.Stack))
	}
	return t.send(sc.policy.Topic, topology.Output{Partition: -1, Key: r.Key, Value: r.Value, Headers: hs, Time: r.Time}, r)
}

// stableStack is a stack without what differs between two runs of the same
// record: addresses and the goroutine's number. What a task sends depends on
// its input alone.
func stableStack(stack []byte) string {
	out := make([]byte, 0, len(stack))
	for i := 0; i < len(stack); {
		skip, put := 0, ""
		switch rest := stack[i:]; {
		case bytes.HasPrefix(rest, []byte("0x")):
			skip, put = 2+digits(rest[2:], "0123456789abcdef"), "0x…"
		case bytes.HasPrefix(rest, []byte("goroutine ")):
			skip, put = len("goroutine ")+digits(rest[len("goroutine "):], "0123456789"), "goroutine …"
		}
		if skip == 0 {
			out = append(out, stack[i])
			i++
			continue
		}
		out = append(out, put...)
		i += skip
	}
	return string(out)
}

// digits returns how many bytes at the begin of b are among those of set.
func digits(b []byte, set string) int {
	n := 0
	for n < len(b) && strings.IndexByte(set, b[n]) >= 0 {
		n++
	}
	return n
}
