package memory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A group is a consumer group: its offsets, and the coordinator's view of its
// members. Rebalancing is cooperative (KIP-429): a generation takes away what
// moves, and once it was given back the next generation hands it out.
type group struct {
	id         string
	generation int32
	members    map[string]*member
	offsets    map[record.TopicPartition]commitment
	// pending holds the offsets of open transactions.
	pending map[*transaction]map[record.TopicPartition]commitment
	phase   phase
	round   int64 // counts elections, so that a late decision is dropped
	// again asks for another round after the one that is being decided.
	again bool
}

// A phase is where a group is between two generations.
type phase uint8

const (
	stable  phase = iota
	joining       // members finish what they are doing and join the round
	leading       // the leader decides
)

// A member is one membership under one member ID.
type member struct {
	id    string
	order int64 // of joining
	g     *group
	cfg   runtime.GroupConfig
	// generation is the last that it got an assignment of, or -1.
	generation int32
	joined     bool // in the round that is under way
	userData   []byte
	// owned is what was assigned and not yet given back. revoke and grant
	// are changes that the member has not taken note of; granted partitions
	// are owned already.
	owned         map[record.TopicPartition]bool
	revoke, grant []record.TopicPartition
	// brief is what the leader had to say, until the member has heard it.
	brief    []byte
	unsaid   bool
	fate     fate
	isolated bool
}

// A fate says whether a member is still in its group.
type fate uint8

const (
	alive    fate = iota
	expelled      // put out, may join anew
	replaced      // another member has its instance ID
	left
)

func (b *Broker) group(id string) *group {
	g := b.groups[id]
	if g == nil {
		g = &group{
			id:      id,
			members: make(map[string]*member),
			offsets: make(map[record.TopicPartition]commitment),
			pending: make(map[*transaction]map[record.TopicPartition]commitment),
		}
		b.groups[id] = g
	}
	return g
}

// check refuses whoever is not in the group under its current generation.
func (g *group) check(m Membership) error {
	if g.members[m.Member] == nil {
		return fmt.Errorf("%w: %q in group %s; join again", ErrUnknownMember, m.Member, g.id)
	}
	if m.Generation != g.generation {
		return fmt.Errorf("%w: %s is in generation %d, the commit is of %d; join again", ErrIllegalGeneration, g.id, g.generation, m.Generation)
	}
	return nil
}

func (g *group) reads(topic string) bool {
	for _, m := range g.members {
		if slices.Contains(m.cfg.Topics, topic) {
			return true
		}
	}
	return false
}

// inOrder lists the members, oldest first. The first leads.
func (g *group) inOrder() []*member {
	return slices.SortedFunc(maps.Values(g.members), func(x, y *member) int { return cmp.Compare(x.order, y.order) })
}

// rebalance asks for a new generation.
func (g *group) rebalance() {
	if len(g.members) == 0 {
		g.phase, g.again = stable, false
		g.generation++
		return
	}
	switch g.phase {
	case stable:
		g.phase = joining
		for _, m := range g.members {
			m.joined = false
		}
	case joining:
		g.proceed()
	case leading:
		g.again = true
	}
}

// proceed goes on to the leader once all members have joined.
func (g *group) proceed() {
	for _, m := range g.members {
		if !m.joined {
			return
		}
	}
	g.phase = leading
	g.round++
}

// settle ends the round that is under way.
func (g *group) settle() {
	g.phase = stable
	if g.again {
		g.again = false
		g.rebalance()
	}
}

// join adds a member to its group. One with the same instance ID is replaced
// (KIP-345).
func (b *Broker) join(cfg runtime.GroupConfig) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.group(cfg.Group)
	for _, m := range g.inOrder() {
		if cfg.InstanceID != "" && m.cfg.InstanceID == cfg.InstanceID {
			b.remove(m, replaced)
		}
	}
	b.joins++
	m := &member{
		id: fmt.Sprintf("%s-%d", cfg.Group, b.joins), order: b.joins, g: g, cfg: cfg,
		generation: -1, owned: make(map[record.TopicPartition]bool),
	}
	g.members[m.id], b.members[m.id] = m, m
	g.rebalance()
	b.notify()
	return m
}

// remove ends a membership and shares what it owned among the others.
func (b *Broker) remove(m *member, how fate) {
	if m.fate != alive {
		if how == left {
			m.fate = left
			b.notify()
		}
		return
	}
	m.fate = how
	delete(m.g.members, m.id)
	delete(b.members, m.id)
	m.g.rebalance()
	b.notify()
}

// Expel puts a member out of its group, as the coordinator does with one that
// it has not heard of for the session timeout. Its partitions go to others at
// once; its commits are refused. Its listener then hears that they are lost,
// and it joins anew under another ID.
func (b *Broker) Expel(memberID string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.members[memberID]
	if m == nil {
		return fmt.Errorf("%w: %q; see Group for who is in it", ErrUnknownMember, memberID)
	}
	b.remove(m, expelled)
	return nil
}

// Isolate cuts a member off from the coordinator: it hears nothing, takes
// part in no rebalance, and goes on in the belief that all is well. A group
// that rebalances waits for it until it is expelled. The function returned
// ends the isolation. Isolate then Expel makes a zombie.
func (b *Broker) Isolate(memberID string) (end func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.members[memberID]
	if m == nil {
		return nil, fmt.Errorf("%w: %q; see Group for who is in it", ErrUnknownMember, memberID)
	}
	m.isolated = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		m.isolated = false
		b.notify()
	}, nil
}

// A GroupState describes a group at one moment.
type GroupState struct {
	Generation int32
	// Stable says that no rebalance is under way and all members have taken
	// note of the last one.
	Stable bool
	// Members lists who is in the group, oldest first.
	Members []string
	// Owned says which partitions each member has, those that it was asked
	// to give back and has not yet included.
	Owned map[string][]record.TopicPartition
}

// Group describes a group; one that nobody has used is empty.
func (b *Broker) Group(id string) GroupState {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := GroupState{Stable: true, Owned: make(map[string][]record.TopicPartition)}
	g := b.groups[id]
	if g == nil {
		return s
	}
	s.Generation, s.Stable = g.generation, g.phase == stable
	for _, m := range g.inOrder() {
		s.Members = append(s.Members, m.id)
		s.Owned[m.id] = m.parts()
		s.Stable = s.Stable && len(m.revoke) == 0 && len(m.grant) == 0 && !m.unsaid
	}
	return s
}

// parts lists what a member owns, in order.
func (m *member) parts() []record.TopicPartition {
	return slices.SortedFunc(maps.Keys(m.owned), record.TopicPartition.Compare)
}
