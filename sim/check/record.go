package check

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

// RoundHeader is the header with the number of the round that a record came
// with.
const RoundHeader = "weir-check-round"

// RoundOf returns the number in the value of a RoundHeader, or 0.
func RoundOf(v []byte) int64 {
	n, k := binary.Varint(v)
	if k <= 0 {
		return 0
	}
	return n
}

// Transport records what a worker does on a transport.
func Transport(t runtime.Transport, worker string, h *History) runtime.Transport {
	return &transport{t, worker, h}
}

type transport struct {
	runtime.Transport
	worker string
	h      *History
}

func (t *transport) Join(ctx context.Context, cfg runtime.GroupConfig, l runtime.Listener) (runtime.Group, error) {
	return t.Transport.Join(ctx, cfg, &listener{l, t})
}

func (t *transport) Producer(ctx context.Context, id string) (runtime.Producer, error) {
	p, err := t.Transport.Producer(ctx, id)
	if err != nil {
		return nil, err
	}
	return &producer{p, t}, nil
}

type listener struct {
	runtime.Listener
	t *transport
}

func (l *listener) note(k Kind, parts []TP) {
	l.t.h.Add(Event{Kind: k, Worker: l.t.worker, Parts: slices.Clone(parts)})
}

func (l *listener) Assigned(session int64, parts []TP) {
	l.t.h.Add(Event{Kind: Assigned, Worker: l.t.worker, Parts: slices.Clone(parts), Session: session})
	l.Listener.Assigned(session, parts)
}

func (l *listener) Revoked(ctx context.Context, parts []TP) {
	l.Listener.Revoked(ctx, parts)
	l.note(Revoked, parts)
}

func (l *listener) Lost(parts []TP) {
	l.note(Lost, parts)
	l.Listener.Lost(parts)
}

// Briefed and Expelled are passed on to listeners that hear them.
func (l *listener) Briefed(brief []byte) {
	if b, ok := l.Listener.(runtime.BriefedListener); ok {
		b.Briefed(brief)
	}
}

func (l *listener) Expelled(err error) {
	if e, ok := l.Listener.(runtime.ExpelledListener); ok {
		e.Expelled(err)
	}
}

type producer struct {
	runtime.Producer
	t *transport
}

func (p *producer) Commit(ctx context.Context, c runtime.Commit) runtime.Result {
	h := p.t.h
	e := Event{Kind: Sent, Worker: p.t.worker}
	header := record.Header{Key: RoundHeader}
	var mark []*record.Header
	marked := make([][]record.Record, len(c.Records))
	for i, rs := range c.Records {
		marked[i] = slices.Clone(rs)
		for j := range marked[i] {
			r := &marked[i][j]
			e.Records = append(e.Records, Record{TP: r.TP(), Time: r.Time, Key: slices.Clone(r.Key), Value: slices.Clone(r.Value)})
			r.Headers = append(slices.Clip(slices.DeleteFunc(slices.Clone(r.Headers), func(h record.Header) bool { return h.Key == RoundHeader })), header)
			mark = append(mark, &r.Headers[len(r.Headers)-1])
		}
	}
	for tp, o := range c.Offsets {
		e.Offsets = append(e.Offsets, Offset{TP: tp, At: o.At, Metadata: o.Metadata})
	}
	slices.SortFunc(e.Offsets, func(a, b Offset) int { return a.TP.Compare(b.TP) })
	id := h.Add(e)
	for _, m := range mark {
		m.Value = binary.AppendVarint(nil, id)
	}
	c.Records = marked
	res := p.Producer.Commit(ctx, c)
	h.Add(Event{Kind: Decided, Worker: p.t.worker, Round: id, Outcome: res.Outcome.String()})
	return res
}

// Store records what a worker finds in a store.
func Store(s store.Store, worker string, h *History) store.Store {
	return &recordingStore{s, worker, h}
}

type recordingStore struct {
	store.Store
	worker string
	h      *History
}

func (s *recordingStore) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	r, pos, err := s.Store.Open(sp, gen)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return r, pos, err
	}
	e := Event{Kind: Opened, Worker: s.worker, Table: sp.Table, Partition: sp.Partition, Corrupt: err != nil}
	if err == nil {
		fill(&e, r, pos)
	}
	s.h.Add(e)
	return r, pos, err
}

// Spaces implements store.Lister, as far as the store does.
func (s *recordingStore) Spaces() []store.Space {
	if l, ok := s.Store.(store.Lister); ok {
		return l.Spaces()
	}
	return nil
}

// fill adds what a space holds to an event.
func fill(e *Event, r store.Reader, pos store.Position) {
	if !pos.Exists {
		return
	}
	e.Position = &Position{Changelog: pos.Changelog, StreamTime: pos.StreamTime}
	e.Entries = entries(r.Scan(nil, nil))
}

func entries(seq iter.Seq2[store.Entry, error]) []Entry {
	var es []Entry
	for entry, err := range seq {
		if err != nil {
			return es
		}
		es = append(es, Entry{slices.Clone(entry.Key), slices.Clone(entry.Value)})
	}
	return es
}

// HeldBy adds what a space of a store holds at the end of a run.
func (h *History) HeldBy(worker string, sp store.Space, r store.Reader, pos store.Position) {
	e := Event{Kind: Held, Worker: worker, Table: sp.Table, Partition: sp.Partition}
	fill(&e, r, pos)
	h.Add(e)
}

// HeldGlobal adds what a global table holds at the end of a run, and up to where
// it has read its topic.
func (h *History) HeldGlobal(worker, table, topic string, r store.Reader, pos store.Position) {
	e := Event{Kind: HeldGlobal, Worker: worker, Table: table, Topic: topic, Entries: entries(r.Scan(nil, nil))}
	for _, in := range pos.Inputs {
		e.Offsets = append(e.Offsets, Offset{TP: TP{Topic: in.Topic, Partition: in.Partition}, At: in.Offset})
	}
	h.Add(e)
}

// Restores returns what to set as runtime.Config.OnRestore.
func Restores(worker string, h *History) func(runtime.RestoreProgress) {
	return func(p runtime.RestoreProgress) {
		h.Add(Event{Kind: Restoring, Worker: worker, Table: p.Space.Table, Partition: p.Space.Partition, From: p.From, Reached: p.At, To: p.To, Done: p.Done, Note: p.Reason})
	}
}
