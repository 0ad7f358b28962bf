package standby

import (
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/changelog"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
)

// A replica is one standby.
type replica struct {
	id       task.ID
	gen      store.Generation
	stores   []string
	state    State
	spaces   []*space // from Dropping on
	session  int64
	caughtUp bool
	err      error
}

// A space follows one changelog: a restore whose end does not stop it.
type space struct {
	plan changelog.Plan
	*changelog.Restore
}

func (r *replica) parts() []record.TopicPartition {
	parts := make([]record.TopicPartition, len(r.spaces))
	for i, sp := range r.spaces {
		parts[i] = sp.plan.TP
	}
	return parts
}

func (r *replica) next() map[record.TopicPartition]int64 {
	at := make(map[record.TopicPartition]int64, len(r.spaces))
	for _, sp := range r.spaces {
		at[sp.plan.TP] = sp.Next()
	}
	return at
}

// want makes the standbys those that are listed.
func (m *Machine) want(ev Wanted) {
	clear(m.wanted)
	for _, id := range ev.Tasks {
		m.wanted[id] = true
	}
	for _, r := range slices.Clone(m.replicas) {
		if !m.wanted[r.id] || r.state == Stopped {
			m.remove(r)
		}
	}
	m.add(ev.Generation, ev.Tasks)
}

// again opens the standbys that have failed.
func (m *Machine) again(gen store.Generation) {
	var ids []task.ID
	for _, r := range slices.Clone(m.replicas) {
		if r.state == Stopped {
			ids = append(ids, r.id)
			m.remove(r)
		}
	}
	m.add(gen, ids)
}

// add opens the tasks that are wanted here and not there yet.
func (m *Machine) add(gen store.Generation, ids []task.ID) {
	for _, id := range ids {
		i, there := slices.BinarySearchFunc(m.replicas, id, func(r *replica, id task.ID) int { return r.id.Compare(id) })
		sub := m.cfg.Topology.Sub(id.Sub)
		if there || !m.wanted[id] || m.active[id] || sub == nil || len(sub.Stores()) == 0 {
			continue
		}
		r := &replica{id: id, gen: gen, stores: sub.Stores()}
		m.replicas = slices.Insert(m.replicas, i, r)
		m.open(r)
	}
}

// take gives tasks up that become active here, in order: what was read of
// them is written, then their spaces are closed, then they are free.
func (m *Machine) take(ids []task.ID) {
	for _, id := range ids {
		m.active[id] = true
		if r := m.find(id); r != nil {
			m.remove(r)
		}
	}
	m.emit(Taken{ids})
}

func (m *Machine) left(ev Left) {
	for _, id := range ev.Tasks {
		delete(m.active, id)
	}
	m.add(ev.Generation, ev.Tasks)
}

func (m *Machine) stop() {
	clear(m.wanted)
	for _, r := range slices.Clone(m.replicas) {
		m.remove(r)
	}
}

// remove ends a standby; what the store has of it stays there.
func (m *Machine) remove(r *replica) {
	m.replicas = slices.DeleteFunc(m.replicas, func(x *replica) bool { return x == r })
	if r.state == Stopped {
		return
	}
	m.unfetch(r)
	m.emit(Close{r.id, r.gen, r.stores})
}

// unfetch stops reading, with what was read written.
func (m *Machine) unfetch(r *replica) {
	if r.session == 0 {
		return
	}
	m.write()
	r.session = 0
	m.emit(Unfetch{r.parts()})
}

// fail stops a standby until it is tried again.
func (m *Machine) fail(r *replica, err error) {
	m.unfetch(r)
	m.emit(Close{r.id, r.gen, r.stores})
	r.state, r.err, r.spaces, r.caughtUp = Stopped, err, nil, false
	m.emit(Failed{r.id, err})
}

func (m *Machine) open(r *replica) {
	m.unfetch(r)
	r.state, r.spaces = Opening, nil
	m.emit(Open{r.id, r.gen, r.stores})
}

func (m *Machine) opened(ev Opened) {
	r := m.findIn(ev.Task, ev.Generation, Opening)
	if r == nil {
		m.late(ev)
		return
	}
	if ev.Err != nil {
		m.fail(r, ev.Err)
		return
	}
	var drop []changelog.Plan
	for _, l := range ev.Logs {
		p := changelog.NewPlan(l)
		if p.Drop {
			drop = append(drop, p)
		}
		r.spaces = append(r.spaces, &space{p, changelog.NewRestore(p)})
	}
	if len(drop) > 0 {
		r.state, r.caughtUp = Dropping, false
		m.emit(Drop{r.id, r.gen, drop})
		return
	}
	m.follow(r)
}

// late closes what was opened for a standby that is gone. In a generation that
// goes on, or after a newer one opened the spaces, that does nothing.
func (m *Machine) late(ev Opened) {
	if r := m.find(ev.Task); ev.Err == nil && (r == nil || r.gen != ev.Generation) {
		if sub := m.cfg.Topology.Sub(ev.Task.Sub); sub != nil {
			m.emit(Close{ev.Task, ev.Generation, sub.Stores()})
		}
	}
}

func (m *Machine) dropped(ev Dropped) {
	r := m.findIn(ev.Task, ev.Generation, Dropping)
	switch {
	case r == nil:
	case ev.Err != nil:
		m.fail(r, fmt.Errorf("emptying the spaces of standby %s: %w", r.id, ev.Err))
	default:
		m.follow(r)
	}
}

// follow starts a new session of the changelogs.
func (m *Machine) follow(r *replica) {
	m.session++
	r.state, r.session = Following, m.session
	m.emit(Fetch{r.session, r.next()})
	if m.restoring {
		m.emit(Pause{r.parts()})
	}
	m.caught(r)
}

// caught says once that a standby has caught up.
func (m *Machine) caught(r *replica) {
	if r.caughtUp || slices.ContainsFunc(r.spaces, func(sp *space) bool { return !sp.Done() }) {
		return
	}
	r.caughtUp = true
	m.emit(CaughtUp{r.id})
}

// reader returns the space that follows tp in that session.
func (m *Machine) reader(tp record.TopicPartition, session int64) (*replica, *space) {
	for _, r := range m.replicas {
		if r.session != session || r.state != Following {
			continue
		}
		for _, sp := range r.spaces {
			if sp.plan.TP == tp {
				return r, sp
			}
		}
	}
	return nil, nil
}

func (m *Machine) fetched(ev Fetched) {
	r, sp := m.reader(ev.TP, ev.Session)
	if r == nil {
		return
	}
	if sp.TooLate(ev.Read) {
		m.open(r) // the plan says that it is rebuilt, and why
		return
	}
	sp.Add(m.batch.Part(sp.plan.Space, r.gen), ev.Read)
	for i := range ev.Records {
		m.bytes += len(ev.Records[i].Key) + len(ev.Records[i].Value)
	}
	if m.bytes >= m.cfg.MaxBatchBytes {
		m.write()
	}
}

// fetchFailed opens the standby again when the log does not hold its offset:
// the plan then says what becomes of it.
func (m *Machine) fetchFailed(ev FetchFailed) {
	r, _ := m.reader(ev.TP, ev.Session)
	switch {
	case r == nil:
	case ev.Err != nil:
		m.fail(r, fmt.Errorf("standby %s cannot read %s: %w", r.id, ev.TP, ev.Err))
	default:
		m.open(r)
	}
}

// write applies what was read.
func (m *Machine) write() {
	if m.applying || m.batch.Empty() {
		return
	}
	m.applying = true
	m.emit(Apply{&m.batch})
}

// applied goes on after a batch. One that failed did nothing: its standbys
// are opened again, which shows what is wrong with whom, and go on from what
// the store holds.
func (m *Machine) applied(ev Applied) {
	m.applying, m.bytes = false, 0
	for _, r := range m.replicas {
		if r.state != Following || !m.has(r) {
			continue
		}
		if ev.Err == nil {
			m.caught(r)
			continue
		}
		r.session = 0
		m.emit(Unfetch{r.parts()})
		r.state, r.spaces = Opening, nil
		m.emit(Open{r.id, r.gen, r.stores})
	}
	m.batch.Reset()
}

// has reports whether the batch has something of a standby.
func (m *Machine) has(r *replica) bool {
	for _, p := range m.batch.Parts() {
		if p.Generation == r.gen && slices.ContainsFunc(r.spaces, func(sp *space) bool { return sp.plan.Space == p.Space }) {
			return true
		}
	}
	return false
}

// yield lets restores of active tasks go first.
func (m *Machine) yield(restoring bool) {
	if m.restoring == restoring {
		return
	}
	m.restoring = restoring
	for _, r := range m.replicas {
		switch {
		case r.state != Following:
		case restoring:
			m.emit(Pause{r.parts()})
		default:
			m.emit(Resume{r.parts()})
		}
	}
}
