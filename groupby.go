package weir

import (
	"github.com/weirstream/weir/core/topology"
)

// A groupDecl is a group-by while its options are applied.
type groupDecl struct {
	agent        *agentDecl
	topic        *topicDecl
	keys, values any
}

// GroupBy re-keys a stream: its records go through the topic
// <app>-<name>-repartition, so that all records of one new key meet in one
// partition. It is an agent of that name. Event times and headers stay.
func GroupBy[K, V, K2 any](s *Stream[K, V], name string, key func(V) K2, opts ...GroupOption) *Stream[K2, V] {
	if s == nil {
		return detachedStream[K2, V]("group-by \"" + name + "\" of a nil stream")
	}
	out := new(Topic[K2, V])
	agent := end(s, name, key == nil, nil, func() sink[V] {
		raw := s.values != nil && sameCodec(s.values, out.values)
		keys := out.key()
		return func(e *engine, v V) error {
			k, err := keys.bytes(e, key(v))
			if err != nil {
				return err
			}
			return forward(e, out, raw, k, v)
		}
	})
	agent.spec.Steps = append(append([]string(nil), s.steps...), "group-by "+name)
	g := &groupDecl{agent: agent, topic: &topicDecl{app: s.app, spec: topology.Topic{
		Name: topology.RepartitionTopic(s.app.name, name),
		Kind: topology.Repartition,
		From: s.topic,
	}}}
	if s.values != nil {
		g.values = s.values
	}
	for _, o := range opts {
		o.applyGroup(g)
	}
	g.topic.keys, g.topic.values = g.keys, g.values
	*out = *newTopic[K2, V](g.topic)
	agent.spec.Sends = []string{g.topic.spec.Name}
	return newStream(out)
}

// Forward ends a stream by sending it to a topic, under the same keys, event
// times and headers. It is an agent of that name.
func Forward[K, V any](s *Stream[K, V], name string, to *Topic[K, V], opts ...AgentOption) {
	s = orDetachedStream(s, "forward \""+name+"\" of a nil stream")
	if to == nil {
		s.app.problem("forward \""+name+"\"", "was given a nil topic", "declare the topic before what uses it")
		return
	}
	direct := sameCodec(s.keys, to.keys)
	raw := s.values != nil && sameCodec(s.values, to.values)
	keys := to.key()
	opts = append([]AgentOption{Sends(to)}, opts...)
	end(s, name, false, opts, func() sink[V] {
		return func(e *engine, v V) error {
			k := e.Record().Key
			if !direct && k != nil {
				kv, err := s.keys.Decode(k)
				if err != nil {
					return decodeError(e.Record(), "key", err)
				}
				if k, err = keys.bytes(e, kv); err != nil {
					return err
				}
			}
			return forward(e, to, raw, k, v)
		}
	})
}

// forward sends the record at hand under key k: with its own bytes as value
// when raw, which keeps tombstones, and with those of v otherwise.
func forward[K, V any](e *engine, to *Topic[K, V], raw bool, k []byte, v V) error {
	r := e.Record()
	out := topology.Output{Partition: -1, Key: k, Value: r.Value, Headers: r.Headers, Time: r.Time}
	if !raw {
		b, err := to.values.Append(e.val[:0], v)
		if err != nil {
			return encodeError(to.decl.where(), "value", err)
		}
		e.val = b
		out.Value = present(b)
	}
	c, err := e.writer()
	if err != nil {
		return err
	}
	return c.Send(to.decl.spec.Name, out)
}
