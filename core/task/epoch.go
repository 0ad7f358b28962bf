package task

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
)

// An Epoch is what one task wants to commit: everything it did since the
// epoch before. It is immutable; its records stay valid until the task is
// told what became of it.
type Epoch struct {
	Task       ID
	Generation store.Generation
	// Outputs were sent by agents, in order. Changes are the changelog
	// records: one for each key written, whatever the number of writes.
	Outputs, Changes []record.Record
	// Offsets are the input offsets to commit.
	Offsets []store.InputOffset
	// StreamTime goes into the metadata of the committed offsets.
	StreamTime int64
	outs       *outbox
}

// Seal ends the current epoch and returns it, or nil when there is nothing
// to commit. It must be Committable, and no epoch may be in flight.
func (t *Task) Seal() *Epoch {
	if t.flying != nil || !t.Committable() {
		panic("task: sealed with an epoch in flight or in the middle of a record")
	}
	if !t.moved {
		return nil
	}
	e := &Epoch{Task: t.id, Generation: t.cfg.Generation, Outputs: t.outs.records, StreamTime: t.streamTime, outs: t.outs}
	for _, in := range t.inputs {
		e.Offsets = append(e.Offsets, store.InputOffset{Topic: in.tp.Topic, Partition: in.tp.Partition, Offset: in.next})
	}
	for _, s := range t.spaces {
		s.seal()
		for _, w := range s.fly.order {
			t.outs.changes = append(t.outs.changes, t.change(s, w))
		}
	}
	e.Changes = t.outs.changes
	t.outs, t.spareOuts = t.spareOuts, nil
	if t.outs == nil {
		t.outs = &outbox{}
	}
	t.flying, t.moved = e, false
	return e
}

// change is the changelog record of one write.
func (t *Task) change(s *space, w *entry) record.Record {
	r := record.Record{
		Topic:     s.changelog.Topic,
		Partition: s.changelog.Partition,
		Time:      max(t.streamTime, 0),
		Key:       t.outs.arena.copyString(w.key),
	}
	if !w.deleted {
		r.Value = w.value
		if r.Value == nil {
			r.Value = []byte{}
		}
	}
	return r
}

// Collect adds the writes of the epoch in flight, which is known to be
// committed, to a store batch, each space with its position. next tells the
// offset after the last changelog record of a partition, began when the round
// began: the task was ours then, or it would not have been committed, so its
// spaces held all of their logs. Of the time since nobody knows.
func (t *Task) Collect(b *store.Batch, next map[record.TopicPartition]int64, began int64) {
	for _, s := range t.spaces {
		if s.fly == nil || len(s.fly.order) == 0 && !t.aged(s, began) {
			continue
		}
		p := b.Part(s.id, t.cfg.Generation)
		for _, w := range s.fly.order {
			s.scratch = append(s.scratch[:0], w.key...)
			if w.deleted {
				p.Delete(s.scratch)
			} else {
				p.Put(s.scratch, w.value)
			}
		}
		p.Position = store.Position{
			Log:        s.pos.Log,
			Changelog:  next[s.changelog],
			StreamTime: t.flying.StreamTime,
			At:         began,
			Inputs:     t.flying.Offsets,
			Exists:     true,
		}
		if len(s.fly.order) == 0 {
			p.Position.Changelog = s.pos.Changelog
		}
		s.writing = p.Position
	}
}

// aged reports whether the position of a space is due to be written again.
func (t *Task) aged(s *space, now int64) bool {
	return t.cfg.RefreshEvery > 0 && s.pos.Exists && now-s.pos.At >= t.cfg.RefreshEvery
}

// Refresh makes an epoch of a task that has nothing to commit, so that the
// position of a space which is not written does not age: an owned space holds
// all of its log at any time, and a committed round proves that the task was
// owned when the round began. A space whose position is older than tombstones
// are kept would be rebuilt when it is opened next.
func (t *Task) Refresh(now int64) {
	if at, ok := t.RefreshAt(); ok && at <= now {
		t.moved = true
	}
}

// RefreshAt returns when Refresh has something to do, or false.
func (t *Task) RefreshAt() (at int64, ok bool) {
	for _, s := range t.spaces {
		if due := s.pos.At + t.cfg.RefreshEvery; t.cfg.RefreshEvery > 0 && s.pos.Exists && (!ok || due < at) {
			at, ok = due, true
		}
	}
	return at, ok
}

// Applied says that the store holds the epoch in flight.
func (t *Task) Applied() {
	for _, s := range t.spaces {
		s.applied()
	}
	for i, in := range t.inputs {
		in.committed = t.flying.Offsets[i].Offset
	}
	t.committed = t.flying.StreamTime
	t.flying.outs.reset()
	t.spareOuts, t.flying = t.flying.outs, nil
}

// Abort drops the current epoch and the one in flight and goes back to what
// was committed last. The inputs are empty afterwards; they must be fetched
// again from the offsets returned.
func (t *Task) Abort() map[record.TopicPartition]int64 {
	at := make(map[record.TopicPartition]int64, len(t.inputs))
	for _, in := range t.inputs {
		in.start(in.committed)
		at[in.tp] = in.committed
	}
	for _, s := range t.spaces {
		s.abort()
	}
	for _, a := range t.agents {
		a.reset()
	}
	for _, tm := range t.timers {
		tm.next = unknownTime
	}
	t.journal.reset()
	t.late = t.late[:0]
	t.step = step{}
	t.streamTime = t.committed
	t.outs, t.spareOuts, t.flying = &outbox{}, nil, nil
	t.moved, t.poisoned, t.stopped = false, false, nil
	return at
}

// metadataPrefix marks the metadata of a committed offset as weir's.
const metadataPrefix = "weir1:"

// Metadata is stored beside each committed offset, so that stream time is
// durable, atomic with the state and survives a move even of tasks that have
// no table.
func Metadata(streamTime int64) string {
	return metadataPrefix + strconv.FormatInt(streamTime, 10)
}

// ParseMetadata returns the stream time in the metadata of a committed
// offset; metadata of others gives record.NoTime.
func ParseMetadata(s string) (int64, error) {
	rest, ok := strings.CutPrefix(s, metadataPrefix)
	if !ok {
		return record.NoTime, nil
	}
	at, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return record.NoTime, fmt.Errorf("offset metadata %q is damaged: %w", s, err)
	}
	return at, nil
}

// Cancel undoes the record that the task is in the middle of, if any, so that
// what was done before can still be committed. It reports whether the epoch
// is Committable afterwards; it is not when a batch held records before.
func (t *Task) Cancel() bool {
	if t.step.phase != idle {
		t.abandon()
	}
	return t.Committable()
}
