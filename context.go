package weir

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// A Context is what user code gets while the engine runs it: a
// context.Context that only the engine can make, with the record at hand and
// the task around it. Tables, topics and timers need one, so they can be
// touched only there. It is valid during the call only; do not keep it and do
// not hand it to a goroutine. What is derived from it, with
// context.WithTimeout for example, is an ordinary context.
type Context interface {
	context.Context

	// Record is the record at hand, as bytes. For timers and closing
	// windows it has the key and the time only. It must not be changed.
	Record() *record.Record
	// Null reports whether the record's value is null, a tombstone. The
	// function then gets the zero value.
	Null() bool
	// Header returns the value of the last header of that name, or nil.
	Header(name string) []byte
	// Time is the event time of the record at hand, in UTC.
	Time() time.Time
	// Now is processing time, frozen while one record is handled, in UTC.
	Now() time.Time
	// StreamTime is the largest event time that the task has seen, in UTC;
	// the zero time before the first.
	StreamTime() time.Time
	// Rand gives random numbers that depend only on the record at hand: a
	// retry or a replay draws the same ones.
	Rand() *rand.Rand
	// Logger is the worker's logger, with the agent and the task.
	Logger() *slog.Logger
	// Agent names the agent, table or timer whose function runs.
	Agent() string
	// Task names the task, "sub-topology/partition".
	Task() string
	// Partition is the number of the partition at hand.
	Partition() int32
	// Core is the core's view of the same call, in bytes.
	Core() topology.Context

	engine() *engine
}

// Key returns the key of the record at hand. K must be the key type of the
// stream. It panics with a *DecodeError when the bytes are no K, and with an
// explanation when K is another type; both go through the agent's policy like
// an error. A null key is the zero key.
func Key[K any](ctx Context) K {
	e := ctx.engine()
	c, ok := e.keys.(Codec[K])
	if !ok {
		panic(fmt.Errorf("weir: agent %q asked for a key of type %s, but its stream has other keys; use the stream's key type in weir.Key", ctx.Agent(), typeName[K]()))
	}
	r := ctx.Record()
	k, err := decode(c, r.Key)
	if err != nil {
		panic(decodeError(r, "key", err))
	}
	return k
}

// An engine is the Context of one processor. It is used again for each
// record, and its buffers with it.
type engine struct {
	c        topology.Context // nil while no call is active
	keys     any              // Codec[K] of the stream
	readOnly string           // why writes are refused, or empty
	key, val []byte           // scratch
	headers  []record.Header
	rand     *rand.Rand
}

func (e *engine) engine() *engine { return e }

// core returns the core's context or one on which everything fails.
func (e *engine) core() topology.Context {
	if e.c == nil {
		return inactive{}
	}
	return e.c
}

// writer is core for calls that change something.
func (e *engine) writer() (topology.Context, error) {
	if e.readOnly != "" && e.c != nil {
		return nil, fmt.Errorf("weir: %s: %s", e.core().Agent(), e.readOnly)
	}
	return e.core(), nil
}

const (
	readOnlyOperator = "operators of a stream may read tables but not write, send or set timers; do that in the agent's function"
	readOnlyStart    = "a loop may not write, send or set timers before it asked for its first record"
)

func (e *engine) Deadline() (time.Time, bool) { return e.core().Deadline() }
func (e *engine) Done() <-chan struct{}       { return e.core().Done() }
func (e *engine) Err() error                  { return e.core().Err() }
func (e *engine) Value(key any) any           { return e.core().Value(key) }
func (e *engine) Agent() string               { return e.core().Agent() }
func (e *engine) Task() string                { return e.core().Task() }
func (e *engine) Partition() int32            { return e.core().Partition() }
func (e *engine) Core() topology.Context      { return e.core() }
func (e *engine) Now() time.Time              { return unixMilli(e.core().Now()) }
func (e *engine) StreamTime() time.Time       { return unixMilli(e.core().StreamTime()) }
func (e *engine) Time() time.Time             { return unixMilli(e.millis()) }
func (e *engine) Null() bool                  { return e.Record().Value == nil }

func (e *engine) Record() *record.Record {
	if r := e.core().Record(); r != nil {
		return r
	}
	return &record.Record{Time: e.core().StreamTime()}
}

// millis is the event time at hand; while a batch is flushed without a record
// it is stream time.
func (e *engine) millis() int64 {
	if r := e.core().Record(); r != nil {
		return r.Time
	}
	return e.core().StreamTime()
}

func (e *engine) Header(name string) []byte {
	hs := e.Record().Headers
	for i := len(hs) - 1; i >= 0; i-- {
		if hs[i].Key == name {
			return hs[i].Value
		}
	}
	return nil
}

func (e *engine) Rand() *rand.Rand {
	if e.rand == nil {
		e.rand = rand.New(source{e})
	}
	return e.rand
}

// A source draws from the record at hand.
type source struct{ e *engine }

func (s source) Uint64() uint64 { return s.e.core().Rand() }

func (e *engine) Logger() *slog.Logger {
	l, ok := e.Value(topology.LoggerKey).(*slog.Logger)
	if !ok || l == nil {
		l = slog.Default()
	}
	return l.With("agent", e.Agent(), "task", e.Task())
}

func (e *engine) send(topic string, key, value []byte, opts []SendOption) error {
	c, err := e.writer()
	if err != nil {
		return err
	}
	out := topology.Output{Partition: -1, Key: key, Value: value, Time: e.millis()}
	headers := e.headers[:0]
	for _, o := range opts {
		switch o.kind {
		case sendAt:
			out.Time = o.number
		case sendTo:
			out.Partition = int32(o.number)
		case sendHeader:
			headers = append(headers, o.header)
		}
	}
	e.headers, out.Headers = headers, headers
	return c.Send(topic, out)
}

// unixMilli converts times of the core, where record.NoTime is no time.
func unixMilli(ms int64) time.Time {
	if ms == record.NoTime {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// enter lends an engine of the application for one call of a timer's or a
// closing window's function, leave takes it back.
func (a *App) enter(c topology.Context, keys any) *engine {
	e, ok := a.engines.Get().(*engine)
	if !ok {
		e = new(engine)
	}
	e.c, e.keys, e.readOnly = c, keys, ""
	return e
}

func (a *App) leave(e *engine) {
	e.c, e.keys = nil, nil
	a.engines.Put(e)
}
