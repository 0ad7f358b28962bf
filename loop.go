package weir

import (
	"errors"
	"iter"
	"runtime/debug"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// Loop ends a stream with an agent that is a loop over its inbox, with state
// of its own between events:
//
//	weir.Loop(stream, "batches", func(ctx weir.Context, in *weir.Inbox[string, Flight]) error {
//		for batch := range in.Take(100, time.Second) {
//			…
//		}
//		return nil
//	})
//
// Each task runs a loop of its own. An event is handled when the loop asks
// for the next one. When the function fails or panics, everything since it
// was given the event or batch at hand is undone, the agent's policy decides
// on its records, and the function is started afresh, as after a crash or a
// move: variables of the loop are for what may be lost, tables for the rest.
// When it returns nil, what it had at hand is handled, and the next record
// starts it again. When the task moves away, the iterators end.
//
// ctx always speaks of the record that arrived last. The function must stay on
// its goroutine.
func Loop[K, V any](s *Stream[K, V], name string, fn func(ctx Context, in *Inbox[K, V]) error, opts ...AgentOption) {
	declare(s, name, fn == nil, opts, func(s *Stream[K, V]) topology.Processor {
		l := &loop[K, V]{fn: fn, engine: engine{keys: s.keys}}
		l.inbox.loop = l
		l.run = s.bind(func(e *engine, v V) error {
			ev, err := event(e, s.keys, v)
			if err == nil {
				l.events = append(l.events, ev)
			}
			return err
		})
		return l
	})
}

// An Inbox is where a loop's events come from.
type Inbox[K, V any] struct{ loop *loop[K, V] }

// All yields the events one by one.
func (in *Inbox[K, V]) All() iter.Seq[Event[K, V]] {
	return func(yield func(Event[K, V]) bool) {
		for in.loop.ask(request{}) {
			if !yield(in.loop.batch[0]) {
				return
			}
		}
	}
}

// Take yields batches of n events, or fewer when their first one has waited
// for within (processing time), or when the task has to commit, to stop or to
// move. Nothing is committed past a record that waits. Events of one record,
// after a FlatMap, are never split, so a batch may then be a little longer.
// The slice is valid until the next batch.
func (in *Inbox[K, V]) Take(n int, within time.Duration) iter.Seq[[]Event[K, V]] {
	return func(yield func([]Event[K, V]) bool) {
		for in.loop.ask(request{max(n, 1), within.Milliseconds()}) {
			if !yield(in.loop.batch) {
				return
			}
		}
	}
}

// A request is what the function waits for: n events, or one if n is 0.
type request struct {
	n      int
	within int64
}

// A loop is an agent at work on one task, as a coroutine: resume runs the
// function until it makes its next request.
type loop[K, V any] struct {
	engine engine
	inbox  Inbox[K, V]
	fn     func(Context, *Inbox[K, V]) error
	run    pipe

	events []Event[K, V] // those that wait
	held   int           // records they are from, filtered ones between included
	due    int64
	bad    error         // of the last held record, which cannot be decoded
	batch  []Event[K, V] // what the function has at hand

	resume func() (request, bool) // nil when the function is not running
	stop   func()
	yield  func(request) bool
	want   request
	ended  bool // the iterators have ended
	err    error
}

// ErrNothingTaken is the error of a loop that returned before it asked its
// inbox for anything.
var ErrNothingTaken = errors.New("weir: loop returned without taking anything from its inbox: range over in.All() or in.Take()")

// errEnded unwinds a function that goes on asking after the end.
var errEnded = errors.New("weir: inbox has ended")

// Process handles or holds one record.
func (l *loop[K, V]) Process(ctx topology.Context, r *record.Record) error {
	l.engine.c = ctx
	defer l.deactivate()
	if l.bad != nil {
		return l.fail(l.bad)
	}
	if err := l.start(); err != nil {
		return l.fail(err)
	}
	before := len(l.events)
	l.engine.readOnly = readOnlyOperator
	if err := l.run(&l.engine, r); err != nil {
		return l.reject(ctx.Now(), before, err)
	}
	if len(l.events) == 0 {
		return nil
	}
	if before == 0 {
		l.due = ctx.Now() + l.want.within
	}
	l.held++
	if len(l.events) < l.want.n {
		return nil
	}
	return l.handle()
}

// reject answers a record that its operators failed on. Those that wait must
// not share its fate: it waits behind them, and fails alone in the next flush.
func (l *loop[K, V]) reject(now int64, before int, err error) error {
	if before == 0 {
		return l.fail(err)
	}
	clear(l.events[before:])
	l.events, l.bad, l.due = l.events[:before], err, now
	l.held++
	return nil
}

func (l *loop[K, V]) fail(err error) error {
	l.drop()
	return err
}

// Held returns how many records wait for their batch to fill.
func (l *loop[K, V]) Held() int { return l.held }

// Due returns when the records that wait must be flushed.
func (l *loop[K, V]) Due() int64 { return l.due }

// Flush handles what waits.
func (l *loop[K, V]) Flush(ctx topology.Context) error {
	l.engine.c = ctx
	defer l.deactivate()
	bad := l.bad
	if len(l.events) == 0 && bad != nil {
		return l.fail(bad)
	}
	err := l.handle()
	if err == nil && bad != nil {
		l.bad, l.held = bad, 1
	}
	return err
}

// Close ends the function. What waits is forgotten.
func (l *loop[K, V]) Close() {
	l.drop()
	if l.stop != nil {
		l.stop()
	}
	l.resume, l.stop = nil, nil
}

func (l *loop[K, V]) deactivate() { l.engine.c = nil }

func (l *loop[K, V]) drop() {
	clear(l.events) // lets go of what the values point to
	l.events, l.batch, l.held, l.bad = l.events[:0], nil, 0, nil
}

// handle gives the function what waits, as it asks for it. All of it is handled
// when handle returns, so a record never is in part.
func (l *loop[K, V]) handle() error {
	defer l.drop()
	for at := 0; at < len(l.events); {
		if err := l.start(); err != nil {
			return err
		}
		end := len(l.events)
		if l.want.n == 0 {
			end = at + 1
		}
		l.batch = l.events[at:end:end]
		at = end
		l.engine.readOnly = ""
		if err := l.step(); err != nil {
			return err
		}
	}
	return nil
}

// start starts the function if it is not running, up to its first request.
func (l *loop[K, V]) start() error {
	if l.resume != nil {
		return nil
	}
	l.ended = false
	l.resume, l.stop = iter.Pull(l.body)
	l.engine.readOnly = readOnlyStart
	if err := l.step(); err != nil {
		return err
	}
	if l.resume == nil {
		return ErrNothingTaken
	}
	return nil
}

// step runs the function to its next request or its end.
func (l *loop[K, V]) step() error {
	want, running := l.resume()
	if running {
		l.want = want
		return nil
	}
	l.resume, l.stop = nil, nil
	return l.err
}

// body runs the function as the producer of its requests. A panic becomes an
// error here, where its stack is known.
func (l *loop[K, V]) body(yield func(request) bool) {
	defer func() {
		v := recover()
		if err, _ := v.(error); v != nil && !errors.Is(err, errEnded) {
			l.err = &topology.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	l.err, l.yield = nil, yield
	l.err = l.fn(&l.engine, &l.inbox)
}

// ask hands a request to the engine and waits for the batch; false when the
// task moves away.
func (l *loop[K, V]) ask(r request) bool {
	if l.ended {
		panic(errEnded)
	}
	if !l.yield(r) {
		l.ended = true
	}
	return !l.ended
}
