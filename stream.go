package weir

import (
	"fmt"
	"iter"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// A Stream is a topic's records, perhaps with stateless operators applied. A
// stream runs only where something ends it: Each, EachEvent, Loop, GroupBy or
// Forward. It may be ended several times; each end is an agent of its own
// that reads the topic on its own.
//
// Operators change values; keys stay as they are until GroupBy. Whatever goes
// wrong in an operator is handled by the policy of the agent at the end.
type Stream[K, V any] struct {
	app    *App
	topic  string // Kafka name of the source
	where  string
	keys   Codec[K]
	values Codec[V] // of the source, or nil once an operator made new values
	steps  []string
	uses   []string
	bind   func(sink[V]) pipe
}

// A sink takes the values of a stream, a pipe the records of its topic. Both
// are made once for each processor.
type (
	sink[V any] func(e *engine, v V) error
	pipe        func(e *engine, r *record.Record) error
)

func newStream[K, V any](t *Topic[K, V]) *Stream[K, V] {
	values := t.values
	return &Stream[K, V]{
		app:    t.decl.app,
		topic:  t.decl.spec.Name,
		where:  t.decl.where(),
		keys:   t.keys,
		values: values,
		bind: func(next sink[V]) pipe {
			return func(e *engine, r *record.Record) error {
				v, err := decode(values, r.Value)
				if err != nil {
					return decodeError(r, "value", err)
				}
				return next(e, v)
			}
		},
	}
}

// detachedStream stands for a stream that is not there.
func detachedStream[K, V any](where string) *Stream[K, V] {
	return &Stream[K, V]{
		app: orDetached(nil, where), where: where,
		keys: noCodec[K]{}, values: noCodec[V]{},
		bind: func(sink[V]) pipe {
			return func(*engine, *record.Record) error { return topology.ErrInactive }
		},
	}
}

// orDetachedStream returns the stream, or when there is none a detached one
// that takes the mistake.
func orDetachedStream[K, V any](s *Stream[K, V], where string) *Stream[K, V] {
	if s == nil {
		return detachedStream[K, V](where)
	}
	return s
}

// derive makes the stream that an operator returns.
func derive[K, V, R any](s *Stream[K, V], op, name string, missing bool, through func(next sink[R]) sink[V]) *Stream[K, R] {
	if s == nil {
		return detachedStream[K, R](fmt.Sprintf("%s %q of a nil stream", op, name))
	}
	if missing {
		s.app.problem(fmt.Sprintf("%s %q", op, name), "has a nil function", "pass a function")
	}
	bind := s.bind
	return &Stream[K, R]{
		app: s.app, topic: s.topic, where: s.where, keys: s.keys,
		steps: append(slices.Clone(s.steps), op+" "+name),
		uses:  slices.Clone(s.uses),
		bind:  func(next sink[R]) pipe { return bind(through(next)) },
	}
}

// Filter keeps the values for which keep is true.
func Filter[K, V any](s *Stream[K, V], name string, keep func(V) bool) *Stream[K, V] {
	out := derive(s, "filter", name, keep == nil, func(next sink[V]) sink[V] {
		return func(e *engine, v V) error {
			if !keep(v) {
				return nil
			}
			return next(e, v)
		}
	})
	if s != nil {
		out.values = s.values
	}
	return out
}

// Map turns each value into another.
func Map[K, V, R any](s *Stream[K, V], name string, fn func(V) R) *Stream[K, R] {
	return derive(s, "map", name, fn == nil, func(next sink[R]) sink[V] {
		return func(e *engine, v V) error { return next(e, fn(v)) }
	})
}

// FlatMap turns each value into any number of others, in order:
//
//	words := weir.FlatMap(lines, "split", func(l string) iter.Seq[string] { return strings.FieldsSeq(l) })
func FlatMap[K, V, R any](s *Stream[K, V], name string, fn func(V) iter.Seq[R]) *Stream[K, R] {
	return derive(s, "flat-map", name, fn == nil, func(next sink[R]) sink[V] {
		return func(e *engine, v V) error {
			for r := range fn(v) {
				if err := next(e, r); err != nil {
					return err
				}
			}
			return nil
		}
	})
}

// Transform is the general operator: fn sees the context, with the key, the
// headers and the tables it may read, may fail, and emits any number of
// values. It returns the error that emit returns. Tables that it reads go
// into Uses of the agent at the end; writing is for agents only.
func Transform[K, V, R any](s *Stream[K, V], name string, fn func(ctx Context, v V, emit func(R) error) error) *Stream[K, R] {
	return derive(s, "transform", name, fn == nil, func(next sink[R]) sink[V] {
		var at *engine // one processor, one engine
		emit := func(r R) error { return next(at, r) }
		return func(e *engine, v V) error {
			at = e
			return fn(e, v, emit)
		}
	})
}
