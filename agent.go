package weir

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// An agentDecl is an agent without its types.
type agentDecl struct {
	app  *App
	spec topology.Agent
}

func (d *agentDecl) where() string { return fmt.Sprintf("agent %q", d.spec.Name) }

// An Event is one value of a stream with the key and the event time of its
// record.
type Event[K, V any] struct {
	Key   K
	Value V
	Time  time.Time
}

// Each ends a stream with an agent: fn is called for each value, in order
// within a partition. When it returns an error or panics, everything it did
// for that record is undone and the agent's policy decides. The record's key
// is weir.Key[K](ctx).
func Each[K, V any](s *Stream[K, V], name string, fn func(ctx Context, v V) error, opts ...AgentOption) {
	end(s, name, fn == nil, opts, func() sink[V] {
		return func(e *engine, v V) error { return fn(e, v) }
	})
}

// EachEvent is Each for functions that want the key as well.
func EachEvent[K, V any](s *Stream[K, V], name string, fn func(ctx Context, ev Event[K, V]) error, opts ...AgentOption) {
	s = orDetachedStream(s, fmt.Sprintf("agent %q of a nil stream", name))
	keys := s.keys
	end(s, name, fn == nil, opts, func() sink[V] {
		return func(e *engine, v V) error {
			ev, err := event(e, keys, v)
			if err != nil {
				return err
			}
			return fn(e, ev)
		}
	})
}

// event puts the record's key and time to a value.
func event[K, V any](e *engine, keys Codec[K], v V) (Event[K, V], error) {
	r := e.Record()
	k, err := decode(keys, r.Key)
	if err != nil {
		return Event[K, V]{}, decodeError(r, "key", err)
	}
	return Event[K, V]{k, v, unixMilli(r.Time)}, nil
}

// end declares the agent at the end of a stream; newSink is called for each
// processor.
func end[K, V any](s *Stream[K, V], name string, missing bool, opts []AgentOption, newSink func() sink[V]) *agentDecl {
	return declare(s, name, missing, opts, func(s *Stream[K, V]) topology.Processor {
		p := &processor{engine: engine{keys: s.keys}}
		next := newSink()
		p.run = s.bind(func(e *engine, v V) error {
			e.readOnly = ""
			err := next(e, v)
			e.readOnly = readOnlyOperator
			return err
		})
		return p
	})
}

// declare adds an agent that reads a stream to the application.
func declare[K, V any](s *Stream[K, V], name string, missing bool, opts []AgentOption, newProcessor func(*Stream[K, V]) topology.Processor) *agentDecl {
	s = orDetachedStream(s, fmt.Sprintf("agent %q of a nil stream", name))
	d := &agentDecl{app: s.app, spec: topology.Agent{
		Name:   name,
		Source: s.topic,
		Steps:  s.steps,
		Uses:   append([]string(nil), s.uses...),
		Policy: s.app.policy,
		New:    func() topology.Processor { return newProcessor(s) },
	}}
	if missing {
		s.app.problem(d.where(), "has a nil function", "pass a function")
	}
	for _, o := range opts {
		o.applyAgent(d)
	}
	s.app.agents = append(s.app.agents, d)
	return d
}

// A processor is an agent at work on one task, record by record.
type processor struct {
	engine engine
	run    pipe
}

// Process handles one record.
func (p *processor) Process(ctx topology.Context, r *record.Record) error {
	p.engine.c, p.engine.readOnly = ctx, readOnlyOperator
	err := p.run(&p.engine, r)
	p.engine.c = nil
	return err
}
