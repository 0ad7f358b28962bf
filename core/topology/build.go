package topology

import (
	"cmp"
	"fmt"
	"slices"
)

// Build checks a graph and cuts it into sub-topologies. When anything is
// wrong it returns an *Error with all of it. The graph is not kept or changed.
//
// Tables, timers and topics are known by name everywhere: the core finds a
// table by its Name, whatever pointer it was given.
func Build(g Graph) (*Topology, error) {
	b := &builder{
		t: &Topology{
			App:    g.App,
			Topics: make(map[string]*Topic),
			Tables: make(map[string]*Table),
		},
		timers:   make(map[string]*Timer),
		problems: slices.Clone(g.Problems),
	}
	b.copy(g)
	b.checkApp()
	b.checkTopics()
	b.checkTables()
	b.checkTimers()
	b.checkAgents()
	b.checkUse()
	b.cut()
	b.checkPartitions()
	b.addChangelogs()
	if len(b.problems) > 0 {
		return nil, &Error{App: g.App, Problems: b.problems}
	}
	return b.t, nil
}

// A builder is a topology while it is built. What is declared twice is
// reported and then known by its first declaration.
type builder struct {
	t        *Topology
	topics   []*Topic
	tables   []*Table
	timerSet []*Timer
	timers   map[string]*Timer
	agents   []*Agent
	problems []Problem
}

func (b *builder) problem(where, what, fix string) {
	p := Problem{where, what, fix}
	if !slices.Contains(b.problems, p) {
		b.problems = append(b.problems, p)
	}
}

// copy takes the graph over, so that the topology shares nothing with it.
func (b *builder) copy(g Graph) {
	for _, t := range g.Topics {
		b.topics = append(b.topics, &t)
	}
	for _, t := range g.Tables {
		if t.Window != nil {
			w := *t.Window
			t.Window = &w
		}
		t.CloseUses, t.CloseSends = slices.Clone(t.CloseUses), slices.Clone(t.CloseSends)
		b.tables = append(b.tables, &t)
	}
	for _, t := range g.Timers {
		t.Uses, t.Sends = slices.Clone(t.Uses), slices.Clone(t.Sends)
		b.timerSet = append(b.timerSet, &t)
	}
	for _, a := range g.Agents {
		a.Steps, a.Uses = slices.Clone(a.Steps), slices.Clone(a.Uses)
		a.Sends, a.Sets = slices.Clone(a.Sends), slices.Clone(a.Sets)
		b.agents = append(b.agents, &a)
	}
}

// cut makes the sub-topologies: what reads one topic, shares a table or sets a
// timer is one.
func (b *builder) cut() {
	u := make(union)
	for _, a := range b.agents {
		src := node{'s', a.Source}
		for _, name := range a.Uses {
			b.joinTable(u, src, name)
		}
		for _, name := range a.Sets {
			u.join(src, node{'m', name})
		}
	}
	for _, t := range b.timerSet {
		for _, name := range t.Uses {
			b.joinTable(u, node{'m', t.Name}, name)
		}
	}
	for _, t := range b.tables {
		for _, name := range t.CloseUses {
			b.joinTable(u, node{'t', t.Name}, name)
		}
	}
	subs := make(map[node]*Sub)
	for _, a := range b.agents {
		root := u.find(node{'s', a.Source})
		s := subs[root]
		if s == nil {
			s = &Sub{}
			subs[root] = s
			b.t.Subs = append(b.t.Subs, s)
		}
		s.Agents = append(s.Agents, a)
		s.Sources = append(s.Sources, a.Source)
	}
	b.fill(u, subs)
}

// fill gives the sub-topologies what they own, in order.
func (b *builder) fill(u union, subs map[node]*Sub) {
	for _, t := range b.tables {
		if s := subs[u.find(node{'t', t.Name})]; s != nil && !t.Global() {
			s.Tables = append(s.Tables, t)
		}
		if t.Global() {
			b.t.Globals = append(b.t.Globals, t)
		}
	}
	for _, t := range b.timerSet {
		if s := subs[u.find(node{'m', t.Name})]; s != nil {
			s.Timers = append(s.Timers, t)
		}
	}
	byName := func(x, y *Table) int { return cmp.Compare(x.Name, y.Name) }
	slices.SortFunc(b.t.Globals, byName)
	for _, s := range b.t.Subs {
		s.Sources = sorted(s.Sources)
		s.Name = s.Sources[0]
		slices.SortFunc(s.Tables, byName)
		slices.SortFunc(s.Timers, func(x, y *Timer) int { return cmp.Compare(x.Name, y.Name) })
		s.Sends = s.sends()
	}
	slices.SortFunc(b.t.Subs, func(x, y *Sub) int { return cmp.Compare(x.Name, y.Name) })
}

// sends returns every topic that the sub-topology may send to.
func (s *Sub) sends() []string {
	var names []string
	dead := func(p Policy) {
		if p.Final == DeadLetter {
			names = append(names, p.Topic)
		}
	}
	for _, a := range s.Agents {
		names = append(names, a.Sends...)
		dead(a.Policy)
	}
	for _, t := range s.Tables {
		names = append(names, t.CloseSends...)
		if t.Late != "" {
			names = append(names, t.Late)
		}
		if t.OnClose != nil {
			dead(t.Policy)
		}
	}
	for _, t := range s.Timers {
		names = append(names, t.Sends...)
		dead(t.Policy)
	}
	return sorted(names)
}

// addChangelogs adds the topics of tables and timers.
func (b *builder) addChangelogs() {
	for _, s := range b.t.Subs {
		for _, t := range s.Tables {
			name := ChangelogTopic(b.t.App, t.Name)
			b.t.Topics[name] = &Topic{Name: name, Kind: Changelog, KeyType: t.KeyType, ValueType: t.ValueType}
		}
		for _, t := range s.Timers {
			name := ChangelogTopic(b.t.App, t.Name)
			b.t.Topics[name] = &Topic{Name: name, Kind: Changelog, KeyType: "timer", ValueType: "time"}
		}
	}
}

// joinTable joins a node with a table, unless that is global: those are
// everywhere.
func (b *builder) joinTable(u union, n node, table string) {
	if t := b.t.Tables[table]; t != nil && !t.Global() {
		u.join(n, node{'t', table})
	}
}

// A node is a source topic ('s'), a table ('t') or a timer ('m').
type node struct {
	kind byte
	name string
}

// A union is a forest of nodes that belong together.
type union map[node]node

func (u union) find(n node) node {
	for {
		up, ok := u[n]
		if !ok {
			return n
		}
		n = up
	}
}

func (u union) join(x, y node) {
	if x, y = u.find(x), u.find(y); x != y {
		u[y] = x
	}
}

// sorted returns the names in order, each once.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// quoteAll lists names for people.
func quoteAll(names []string) string {
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%q", n)
	}
	return s
}
