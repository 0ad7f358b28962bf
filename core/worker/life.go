package worker

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/topology"
)

// assign takes tasks over. A task that is owned already starts anew in the
// new generation: the group only assigns what it took away before.
func (m *Machine) assign(ev Assign) {
	for _, id := range ev.Tasks {
		if old := m.find(id); old != nil {
			m.remove(old, false)
		}
		o := &owned{id: id, gen: ev.Generation, paused: make(map[record.TopicPartition]bool)}
		i, _ := slices.BinarySearchFunc(m.owned, id, func(o *owned, id task.ID) int { return o.id.Compare(id) })
		m.owned = slices.Insert(m.owned, i, o)
		for _, sub := range m.cfg.Topology.Subs {
			if sub.Name == id.Sub {
				o.sub = sub
			}
		}
		if o.sub == nil {
			o.sub = &topology.Sub{Name: id.Sub}
			m.halt(o, errNoSub)
			continue
		}
		m.open(o)
	}
}

func (m *Machine) open(o *owned) {
	o.state, o.task, o.opened, o.reopen, o.missed = Opening, nil, nil, false, false
	o.drained, o.err = false, nil
	clear(o.paused)
	var tps []record.TopicPartition
	for _, topic := range o.sub.Sources {
		tps = append(tps, record.TopicPartition{Topic: topic, Partition: o.id.Partition})
	}
	m.emit(Open{o.id, o.gen, tps, o.sub.Stores(), o.rebuild})
	o.rebuild = false
}

func (m *Machine) opened(ev *Opened) {
	o := m.findIn(ev.Task, ev.Generation)
	if o == nil || o.state != Opening {
		return
	}
	if errors.Is(ev.Err, store.ErrFenced) {
		m.outdated(o, ev.Err)
		return
	}
	if ev.Err != nil {
		m.halt(o, ev.Err)
		return
	}
	o.opened, o.state = ev, Restoring
	plans := make([]changelog.Plan, len(ev.Logs))
	for i, l := range ev.Logs {
		plans[i] = changelog.NewPlan(l)
	}
	m.emit(Restore{o.id, o.gen, plans})
}

// outdated answers a store that knows a newer generation of a task. Either this
// worker is a zombie, or the store is shared and the clock of an earlier owner
// was ahead of ours. Joining the group anew tells which: who is given the task
// then, has it in a generation of that moment.
func (m *Machine) outdated(o *owned, err error) {
	o.state, o.err = Stopped, err
	m.emit(Rejoin{o.id, o.gen, fmt.Errorf("the store knows a newer owner of task %s (if that is never so, compare the workers' clocks): %w", o.id, err)})
}

// restored starts the task: nothing was processed before.
func (m *Machine) restored(ev Restored) {
	o := m.findIn(ev.Task, ev.Generation)
	if o == nil || o.state != Restoring {
		return
	}
	if Mends(ev.Err) {
		m.open(o)
		return
	}
	if ev.Err != nil {
		m.halt(o, ev.Err)
		return
	}
	offsets := make(map[record.TopicPartition]int64)
	streamTime := record.NoTime
	for _, in := range o.opened.Inputs {
		offsets[in.TP] = m.startOf(o, in)
		at, err := task.ParseMetadata(in.Metadata)
		if err != nil {
			m.halt(o, fmt.Errorf("task %s: %s: %w", o.id, in.TP, err))
			return
		}
		streamTime = max(streamTime, at)
	}
	o.task = task.New(task.Config{
		Topology:   m.cfg.Topology,
		Sub:        o.sub,
		Partition:  o.id.Partition,
		Generation: o.gen,
		Context:    m.cfg.Context,
		Readers:    o.opened.Readers,
		Positions:  positionsOf(o.opened.Logs),
		Partitions: m.cfg.Partitions,
		Offsets:    offsets,
		StreamTime: streamTime,
		CacheBytes: m.cfg.CacheBytes,

		RefreshEvery: refreshEvery(o.opened.Logs),
	})
	o.opened = nil
	o.state = Running
	m.fetch(o, offsets)
}

// positionsOf are the positions of restored spaces.
func positionsOf(logs []changelog.Log) map[string]store.Position {
	ps := make(map[string]store.Position, len(logs))
	for _, l := range logs {
		p := changelog.NewPlan(l)
		pos := store.Position{Log: l.ID, Changelog: p.To, At: l.Now, Exists: p.From < p.To}
		if !pos.Exists && !p.Fresh {
			pos.At, pos.Exists = l.Position.At, true // nothing was written
		}
		ps[l.Space.Table] = pos
	}
	return ps
}

// refreshEvery is a quarter of the time that tombstones are kept: a worker that
// was away for less than the other three keeps its state.
func refreshEvery(logs []changelog.Log) int64 {
	kept := int64(0)
	for _, l := range logs {
		if l.TombstoneRetention > 0 && (kept == 0 || l.TombstoneRetention < kept) {
			kept = l.TombstoneRetention
		}
	}
	return (kept + 3) / 4
}

// startOf is where an input is read from: the committed offset, unless the
// log does not hold it any more.
func (m *Machine) startOf(o *owned, in Input) int64 {
	switch {
	case in.Committed < 0:
		return in.Start
	case in.Committed < in.Start || in.Committed > in.End:
		m.emit(Reset{o.id, in.TP, in.Committed, in.Start})
		return in.Start
	}
	return in.Committed
}

// fetch starts a new session of the task's inputs.
func (m *Machine) fetch(o *owned, at map[record.TopicPartition]int64) {
	m.session++
	o.session = m.session
	clear(o.paused)
	m.emit(Fetch{o.session, at}) // the driver's new fetch is not paused
}

func (m *Machine) fetched(ev Fetched) {
	o := m.reader(ev.TP, ev.Session)
	if o == nil || o.state != Running {
		return
	}
	if err := o.task.Add(ev.TP, ev.Records, ev.Next); err != nil {
		m.halt(o, err)
		return
	}
	if _, bytes := o.task.Buffered(ev.TP); bytes > m.cfg.MaxBufferedBytes && !o.paused[ev.TP] {
		o.paused[ev.TP] = true
		m.emit(Pause{[]record.TopicPartition{ev.TP}})
	}
}

// fetchFailed opens the task again: its offsets are not in the log any more,
// and startOf says what becomes of them.
func (m *Machine) fetchFailed(ev FetchFailed) {
	o := m.reader(ev.TP, ev.Session)
	if o == nil || o.state != Running {
		return
	}
	if ev.Err != nil {
		m.halt(o, fmt.Errorf("task %s cannot read %s at offset %d: %w", o.id, ev.TP, o.task.Next()[ev.TP], ev.Err))
		return
	}
	m.reopen(o)
}

// unfetch stops reading the task's inputs.
func (m *Machine) unfetch(o *owned) {
	if o.session != 0 {
		m.emit(Unfetch{o.task.Inputs()})
		o.session = 0
	}
}

// resume lets inputs on that have room again.
func (m *Machine) resume(o *owned) {
	for _, tp := range o.task.Inputs() {
		if !o.paused[tp] {
			continue
		}
		if _, bytes := o.task.Buffered(tp); bytes <= m.cfg.MaxBufferedBytes/2 {
			delete(o.paused, tp)
			m.emit(Resume{[]record.TopicPartition{tp}})
		}
	}
}

// revoke makes tasks leave as soon as what they did is committed.
func (m *Machine) revoke(ids []task.ID) {
	for _, id := range ids {
		o := m.find(id)
		if o == nil {
			m.emit(Released{id})
			continue
		}
		if o.task == nil || o.reopen {
			m.remove(o, true)
			continue
		}
		m.unfetch(o)
		o.state = Draining
	}
}

// drop gives tasks up as they are. Who waits for one that was leaving is told
// in any case.
func (m *Machine) drop(ids []task.ID, released bool) {
	for _, id := range ids {
		if o := m.find(id); o != nil {
			m.remove(o, released || o.state == Draining)
		}
	}
}

// remove ends the ownership of a task; its epoch in flight, if any, is not
// applied by us any more.
func (m *Machine) remove(o *owned, released bool) {
	m.owned = slices.DeleteFunc(m.owned, func(x *owned) bool { return x == o })
	if o.task != nil {
		m.unfetch(o)
		o.task.Close()
	}
	m.emit(Close{o.id, o.gen, o.sub.Stores()})
	if released {
		m.emit(Released{o.id})
	}
}

// rewind takes an owned task back to what was committed.
func (m *Machine) rewind(o *owned) {
	at := o.task.Abort()
	o.missed = false
	if o.state == Draining {
		m.remove(o, true)
		return
	}
	o.state, o.err = Running, nil
	m.fetch(o, maps.Clone(at))
}
