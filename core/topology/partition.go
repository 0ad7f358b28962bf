package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// origin returns the topic that decides how many partitions a topic has:
// itself, or for a repartition topic without a number of its own the one that
// it comes from.
func (t *Topology) origin(name string) *Topic {
	topic := t.Topics[name]
	for range len(t.Topics) { // ends on a graph that is a ring
		if topic == nil || topic.Kind != Repartition || topic.Partitions != 0 {
			return topic
		}
		topic = t.Topics[topic.From]
	}
	return nil
}

// checkPartitions finds sub-topologies whose sources are declared with
// different numbers of partitions.
func (b *builder) checkPartitions() {
	for _, s := range b.t.Subs {
		counts := make(map[string]int32)
		for _, name := range s.Sources {
			if o := b.t.origin(name); o != nil && o.Partitions != 0 {
				counts[name] = o.Partitions
			}
		}
		if p, ok := s.unequal(counts); ok {
			b.problem(p.Where, p.What, p.Fix)
		}
	}
}

// unequal reports sources with different partition counts.
func (s *Sub) unequal(counts map[string]int32) (Problem, bool) {
	var list []string
	distinct := make(map[int32]bool)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%q (%d)", name, counts[name]))
		distinct[counts[name]] = true
	}
	if len(distinct) < 2 {
		return Problem{}, false
	}
	where := "topics " + strings.Join(list, ", ")
	return Problem{where, fmt.Sprintf("must have the same number of partitions, because the agents that read them share %s", s.shared()),
		"give them the same number with Partitions, or re-key one of the streams with GroupBy"}, true
}

// shared names the tables and timers that agents of several sources have in
// common, the reason for the sub-topology to be one.
func (s *Sub) shared() string {
	sources := make(map[string][]string)
	for _, a := range s.Agents {
		for _, name := range append(slices.Clone(a.Uses), a.Sets...) {
			sources[name] = append(sources[name], a.Source)
		}
	}
	var tables, timers []string
	for _, t := range s.Tables {
		if len(sorted(sources[t.Name])) > 1 {
			tables = append(tables, t.Name)
		}
	}
	for _, t := range s.Timers {
		if len(sorted(sources[t.Name])) > 1 {
			timers = append(timers, t.Name)
		}
	}
	switch {
	case len(tables) > 0:
		return "table " + quoteAll(tables)
	case len(timers) > 0:
		return "timer " + quoteAll(timers)
	}
	return "tables through their timers and closing windows"
}

// An InternalTopic is a topic that weir makes for the application.
type InternalTopic struct {
	Name       string
	Kind       TopicKind
	Partitions int32
	// Config is what the topic must be created with.
	Config map[string]string
}

// InternalConfig returns the configuration of internal topics of a kind.
//
// Changelogs are compacted and nothing else, those of windowed tables too:
// weir deletes closed windows by tombstones of its own, by stream time, and
// deletion by the broker would go by its clock. Repartition topics keep
// everything, by time and by size; weir deletes what was consumed. Both keep
// the timestamps that weir gives, which are event times.
func InternalConfig(kind TopicKind) map[string]string {
	if kind == Changelog {
		return map[string]string{
			"cleanup.policy":         "compact",
			"message.timestamp.type": "CreateTime",
		}
	}
	return map[string]string{
		"cleanup.policy":         "delete",
		"retention.ms":           "-1",
		"retention.bytes":        "-1",
		"message.timestamp.type": "CreateTime",
	}
}

// Plan compares the topology with the partition counts of the topics that
// exist, internal ones included, and returns the internal topics that it
// wants, ordered by name, and what has to be put right before it can run.
// Internal topics whose number of partitions cannot be known because of such
// a problem are left out.
func (t *Topology) Plan(actual map[string]int32) (internal []InternalTopic, problems []Problem) {
	p := plan{t: t, actual: actual}
	for _, name := range t.External() {
		p.external(t.Topics[name])
	}
	for _, name := range slices.Sorted(maps.Keys(t.Topics)) {
		if topic := t.Topics[name]; topic.Kind == Repartition {
			p.want(name, Repartition, p.count(name))
		}
	}
	for _, s := range t.Subs {
		p.sub(s)
	}
	slices.SortFunc(p.internal, func(x, y InternalTopic) int { return strings.Compare(x.Name, y.Name) })
	return p.internal, p.problems
}

// A plan is the work of Plan.
type plan struct {
	t        *Topology
	actual   map[string]int32
	internal []InternalTopic
	problems []Problem
}

// count returns how many partitions a topic has or is to have; 0 when that is
// not known.
func (p *plan) count(name string) int32 {
	o := p.t.origin(name)
	switch {
	case o == nil:
		return 0
	case o.Kind == Repartition:
		return o.Partitions
	}
	return p.actual[o.Name]
}

func (p *plan) external(topic *Topic) {
	n := p.actual[topic.Name]
	switch {
	case n == 0:
		p.problems = append(p.problems, Problem{topicWhere(topic), "does not exist",
			"create it with `topics create`, or with Kafka's own tools"})
	case topic.Partitions != 0 && topic.Partitions != n:
		p.problems = append(p.problems, Problem{topicWhere(topic),
			fmt.Sprintf("has %d partitions but is declared with %d", n, topic.Partitions),
			"change the declaration, or create the topic anew"})
	}
}

// want adds an internal topic and compares it with what exists.
func (p *plan) want(name string, kind TopicKind, n int32) {
	if n == 0 {
		return
	}
	p.internal = append(p.internal, InternalTopic{name, kind, n, InternalConfig(kind)})
	if got := p.actual[name]; got != 0 && got != n {
		p.problems = append(p.problems, Problem{fmt.Sprintf("%s topic %q", kind, name),
			fmt.Sprintf("has %d partitions but the application needs %d", got, n),
			"its keys would be looked for in other partitions: set the old number of partitions again, or `reset` the application and start it from the beginning"})
	}
}

// sub checks that the sources agree and adds the changelogs.
func (p *plan) sub(s *Sub) {
	counts := make(map[string]int32)
	complete := true
	for _, name := range s.Sources {
		if n := p.count(name); n != 0 {
			counts[name] = n
		} else {
			complete = false
		}
	}
	if problem, bad := s.unequal(counts); bad {
		p.problems = append(p.problems, problem)
		return
	}
	if !complete {
		return
	}
	for _, store := range s.Stores() {
		p.want(ChangelogTopic(p.t.App, store), Changelog, counts[s.Sources[0]])
	}
}
