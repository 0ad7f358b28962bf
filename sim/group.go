package sim

import (
	"slices"

	"github.com/weirstream/weir/core/assign"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// A group is the consumer group: who is a member and who owns which task. Its
// generation grows whenever a task is given to somebody.
type group struct {
	generation int32
	members    []*process
	owner      map[task.ID]*process
	leaving    map[task.ID]int64 // revoked, with the end of the budget
	pinned     map[task.ID]*Worker
	tasks      []task.ID
	lax        bool // accepts every commit; for tests of the tests
}

// A membership is what a member shows when it commits.
type membership struct {
	of         *process
	generation int32
}

// check refuses commits of those who are no members and of older generations.
func (g *group) check(m membership) error {
	switch {
	case g.lax:
		return nil
	case !slices.Contains(g.members, m.of):
		return errNoMember
	case m.generation != g.generation:
		return errGeneration
	}
	return nil
}

// join makes a process a member.
func (s *App) join(p *process) {
	g := &s.broker.group
	g.members = append(g.members, p)
	s.rebalance()
}

// leave ends a membership; what it owned is free.
func (s *App) leave(p *process) {
	s.forget(p)
	s.rebalance()
}

func (s *App) forget(p *process) {
	g := &s.broker.group
	g.members = slices.DeleteFunc(g.members, func(x *process) bool { return x == p })
	for _, id := range g.tasks {
		if g.owner[id] == p {
			delete(g.owner, id)
			delete(g.leaving, id)
		}
	}
}

// rebalance compares who owns what with the plan: tasks that have another
// owner are revoked first (KIP-429), those that are free are given.
func (s *App) rebalance() {
	g := &s.broker.group
	s.stats.Rebalances++
	target, standbys := s.plan()
	moved := false
	given := make(map[*process][]task.ID)
	for _, id := range g.tasks {
		to, from := target[id], g.owner[id]
		switch {
		case from == nil && to == nil, from == to:
		case to == nil && !from.w.leaving:
		case from == nil:
			g.owner[id] = to
			given[to] = append(given[to], id)
			moved = true
		case from.responsive() && g.leaving[id] == 0:
			g.leaving[id] = s.millis() + s.cfg.revokeBudget.Milliseconds()
			from.post(worker.Revoke{Tasks: []task.ID{id}})
		}
	}
	for _, m := range g.members {
		if m.responsive() && !m.w.leaving && m.standbys != nil {
			m.standbys.want(standbys[m])
		}
	}
	if !moved {
		return
	}
	g.generation++
	gen := s.nextGeneration()
	for _, m := range g.members {
		if m.responsive() {
			m.generation = g.generation
		}
		if ids := given[m]; len(ids) > 0 {
			m.assigned(gen, ids)
		}
	}
}

// nextGeneration is that of what is assigned next.
func (s *App) nextGeneration() store.Generation {
	s.taskGeneration++
	return s.taskGeneration
}

// plan says who should own what, and who should keep standbys of what. Tasks
// of members that do not answer stay where they are until their session ends.
func (s *App) plan() (target map[task.ID]*process, standbys map[*process][]task.ID) {
	g := &s.broker.group
	byName := make(map[string]*process)
	var members []assign.Member
	for _, m := range g.members {
		if !m.responsive() || m.w.leaving {
			continue
		}
		byName[m.w.name] = m
		am := assign.Member{ID: m.w.name, Data: m.w.held(s).Encode()}
		for _, id := range g.tasks {
			if g.owner[id] == m {
				am.Owned = append(am.Owned, s.inputs(id)...)
			}
		}
		members = append(members, am)
	}
	target, standbys = make(map[task.ID]*process), make(map[*process][]task.ID)
	plan := assign.Assign(s.groups, s.counts, members)
	planned := make(map[task.ID]*process)
	for _, a := range plan.Members {
		for _, t := range a.Tasks {
			planned[task.ID(t)] = byName[a.ID]
			target[task.ID(t)] = byName[a.ID]
		}
	}
	for _, id := range g.tasks {
		if w := g.pinned[id]; w != nil && w.p != nil && byName[w.name] == w.p {
			target[id] = w.p
		}
		if from := g.owner[id]; from != nil && !from.responsive() {
			delete(target, id)
		}
	}
	for _, a := range plan.Members {
		for _, t := range a.Standbys {
			// Where a pinned task has its standby, the two change places.
			id, m := task.ID(t), byName[a.ID]
			if target[id] == m {
				m = planned[id]
			}
			standbys[m] = append(standbys[m], id)
		}
	}
	for _, ids := range standbys {
		slices.SortFunc(ids, task.ID.Compare)
	}
	return target, standbys
}

// released takes a task back from a member that gave it up.
func (s *App) released(p *process, id task.ID) {
	g := &s.broker.group
	if g.owner[id] != p {
		return
	}
	delete(p.claims, id)
	delete(g.owner, id)
	delete(g.leaving, id)
	p.left([]task.ID{id})
	s.rebalance()
}

// expireBudgets ends revocations that took too long.
func (s *App) expireBudgets() {
	g := &s.broker.group
	for _, id := range g.tasks {
		p := g.owner[id]
		if at := g.leaving[id]; at == 0 || at > s.millis() || !p.responsive() {
			continue
		}
		g.leaving[id] = s.millis() + s.cfg.revokeBudget.Milliseconds()
		delete(p.claims, id)
		p.post(worker.Expire{Tasks: []task.ID{id}})
	}
}

// expireSessions puts members out that were not heard of for too long.
func (s *App) expireSessions() {
	for _, m := range slices.Clone(s.broker.group.members) {
		if !m.responsive() && m.silent != 0 && m.silent+s.cfg.session.Milliseconds() <= s.millis() {
			s.leave(m)
		}
	}
}

// inputs are the partitions that a task reads.
func (s *App) inputs(id task.ID) []record.TopicPartition {
	var tps []record.TopicPartition
	for _, topic := range s.topology.Sub(id.Sub).Sources {
		tps = append(tps, record.TopicPartition{Topic: topic, Partition: id.Partition})
	}
	return tps
}

// held are the tasks whose state is on the worker's disk, and its standbys.
func (w *Worker) held(s *App) assign.Data {
	var d assign.Data
	var b *standbys
	if w.p != nil {
		b = w.p.standbys
	}
	if b != nil {
		for _, id := range b.told {
			d.Standbys = append(d.Standbys, assign.Task(id))
		}
	}
	for _, id := range s.broker.group.tasks {
		if b != nil && b.behind(id) {
			continue
		}
		for _, name := range s.topology.Sub(id.Sub).Stores() {
			if sp := w.disk.spaces[store.Space{Table: name, Partition: id.Partition}]; sp != nil && sp.pos.Exists {
				d.Tasks = append(d.Tasks, assign.Task(id))
				break
			}
		}
	}
	return d
}
