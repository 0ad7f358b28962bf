package memory

import (
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A duty is what a member has to do next.
type duty uint8

const (
	wait   duty = iota
	stop        // the membership is over for good
	lose        // tell the listener that all is lost, then join anew
	revoke      // give partitions back
	hear        // tell the listener what the leader had to say
	assign      // take partitions over
	join        // hand user data in
	lead        // decide who gets what
)

// next says what a member has to do, with the partitions that it is about.
// When there is nothing, changed is closed as soon as there may be something;
// joined says that it waits for others to join.
func (b *Broker) next(m *member) (d duty, parts []record.TopicPartition, changed <-chan struct{}, joined bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := m.g
	switch {
	case m.fate == left:
		return stop, nil, nil, false
	case m.isolated:
		return wait, nil, b.wait(), false
	case m.fate != alive:
		return lose, m.known(), nil, false
	case len(m.revoke) > 0:
		return revoke, m.revoke, nil, false
	case m.unsaid:
		return hear, nil, nil, false
	case len(m.grant) > 0:
		return assign, m.grant, nil, false
	case g.phase == joining && !m.joined:
		return join, nil, nil, false
	case g.phase == leading && g.inOrder()[0] == m:
		return lead, nil, nil, false
	}
	return wait, nil, b.wait(), g.phase == joining
}

// gaveBack says that the member's listener has returned what was revoked.
func (b *Broker) gaveBack(m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, tp := range m.revoke {
		delete(m.owned, tp)
	}
	m.revoke = nil
	if m.fate == alive {
		m.g.rebalance()
	}
	b.notify()
}

// heard takes what the leader had to say.
func (b *Broker) heard(m *member) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.unsaid = false
	b.notify()
	return m.brief
}

// took says that the member's listener knows what was assigned.
func (b *Broker) took(m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.grant = nil
	b.notify()
}

// enter joins the round that is under way.
func (b *Broker) enter(m *member, userData []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.fate != alive || m.g.phase != joining {
		return
	}
	m.joined, m.userData = true, slices.Clone(userData)
	m.g.proceed()
	b.notify()
}

// expelLate expels all who have not joined in time.
func (b *Broker) expelLate(g *group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.phase != joining {
		return
	}
	for _, m := range g.inOrder() {
		if !m.joined {
			b.remove(m, expelled)
		}
	}
}

// An election is what the leader needs to decide.
type election struct {
	round      int64
	members    map[string]runtime.Member
	partitions map[string]int32
}

// elect gathers what the leader needs; ok is false when the round is over.
func (b *Broker) elect(g *group) (e election, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.phase != leading {
		return e, false
	}
	e = election{g.round, make(map[string]runtime.Member), make(map[string]int32)}
	for id, m := range g.members {
		e.members[id] = runtime.Member{UserData: slices.Clone(m.userData), Owned: m.parts()}
		for _, name := range m.cfg.Topics {
			if t := b.topics[name]; t != nil {
				e.partitions[name] = t.info.Partitions
			}
		}
	}
	return e, true
}

// check refuses plans that no coordinator could carry out.
func (e election) check(plan map[string][]record.TopicPartition) error {
	seen := make(map[record.TopicPartition]string)
	for id, parts := range plan {
		if _, ok := e.members[id]; !ok && len(parts) > 0 {
			return fmt.Errorf("assignor gave partitions to %q, which is not in the group", id)
		}
		for _, tp := range parts {
			if other, ok := seen[tp]; ok {
				return fmt.Errorf("assignor gave %v to both %s and %s", tp, id, other)
			}
			if tp.Partition < 0 || tp.Partition >= e.partitions[tp.Topic] {
				return fmt.Errorf("assignor gave %v to %s; there is no such partition", tp, id)
			}
			seen[tp] = id
		}
	}
	return nil
}

// decide begins the generation of a plan. What moves is revoked now and
// granted in the generation after it was given back. When the membership has
// changed meanwhile the plan is dropped, and a nil plan changes nothing.
func (b *Broker) decide(g *group, round int64, plan map[string][]record.TopicPartition, briefs map[string][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.phase != leading || g.round != round {
		return
	}
	if plan != nil && !g.again {
		g.generation++
		held := make(map[record.TopicPartition]bool)
		for _, m := range g.members {
			for tp := range m.owned {
				held[tp] = true
			}
		}
		for _, m := range g.members {
			m.plan(g.generation, plan[m.id], held)
			m.brief, m.unsaid = slices.Clone(briefs[m.id]), true
		}
	}
	g.settle()
	b.notify()
}

// known lists what the member owns and its listener has been told of.
func (m *member) known() []record.TopicPartition {
	return slices.DeleteFunc(m.parts(), func(tp record.TopicPartition) bool { return slices.Contains(m.grant, tp) })
}

// plan takes the member's part of a plan. held is what anybody owns.
func (m *member) plan(generation int32, parts []record.TopicPartition, held map[record.TopicPartition]bool) {
	m.generation = generation
	wanted := make(map[record.TopicPartition]bool, len(parts))
	for _, tp := range parts {
		wanted[tp] = true
		if !m.owned[tp] && !held[tp] {
			m.grant = append(m.grant, tp)
		}
	}
	for _, tp := range m.parts() {
		if !wanted[tp] {
			m.revoke = append(m.revoke, tp)
		}
	}
	for _, tp := range m.grant {
		m.owned[tp] = true
	}
	slices.SortFunc(m.grant, record.TopicPartition.Compare)
}
