package assign

import (
	"cmp"
	"slices"

	"github.com/weirstream/weir/core/record"
)

// A Member is what the leader knows of one member of the group.
type Member struct {
	// ID is the member's ID in the group.
	ID string
	// Owned are the partitions it holds now. Partitions that are not a
	// source of any group are ignored.
	Owned []record.TopicPartition
	// Data is the member's user data, see Data. What cannot be decoded
	// counts as empty.
	Data []byte
}

// Assign returns the plan for the members, as the package documentation says.
// Its arguments are only read. With no members the plan is empty. Members that
// share an ID count as one. Topics that are missing from partitions have no
// partitions.
func Assign(groups []Group, partitions map[string]int32, members []Member) Plan {
	in := newInput(groups, partitions, members)
	if len(in.members) == 0 {
		return Plan{}
	}
	to := in.solve()
	return in.plan(to, in.replicate(to))
}

// input is a problem in canonical form: everything is ordered and numbered.
type input struct {
	groups     []Group
	partitions map[string]int32
	tasks      []Task
	subs       []span // of tasks, one for each group
	members    []string
	prefer     [][]preference // by task, ordered by member
}

// A span is a range of indexes, from <= i < to.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// A preference says that a task is tied to a member.
type preference struct {
	member               int
	owned, held, standby bool
}

func newInput(groups []Group, partitions map[string]int32, members []Member) *input {
	in := &input{groups: normalize(groups), partitions: partitions}
	subOf := make(map[string]string)
	index := make(map[Task]int)
	for _, g := range in.groups {
		from := len(in.tasks)
		for p := range g.count(partitions) {
			t := Task{Sub: g.Sub, Partition: p}
			index[t] = len(in.tasks)
			in.tasks = append(in.tasks, t)
		}
		in.subs = append(in.subs, span{from, len(in.tasks)})
		for _, topic := range g.Sources {
			subOf[topic] = g.Sub
		}
	}
	in.prefer = make([][]preference, len(in.tasks))
	in.addMembers(members, func(tp record.TopicPartition) (Task, bool) {
		sub, ok := subOf[tp.Topic]
		return Task{Sub: sub, Partition: tp.Partition}, ok
	}, index)
	return in
}

// addMembers numbers the members by ID and notes what ties them to tasks.
func (in *input) addMembers(members []Member, taskOf func(record.TopicPartition) (Task, bool), index map[Task]int) {
	sorted := slices.Clone(members)
	slices.SortStableFunc(sorted, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	for _, m := range sorted {
		if n := len(in.members); n == 0 || in.members[n-1] != m.ID {
			in.members = append(in.members, m.ID)
		}
		id := len(in.members) - 1
		for _, tp := range m.Owned {
			if t, ok := taskOf(tp); ok {
				if i, ok := index[t]; ok {
					in.tie(i, id).owned = true
				}
			}
		}
		data, _ := DecodeData(m.Data)
		for _, t := range data.Tasks {
			if i, ok := index[t]; ok {
				in.tie(i, id).held = true
			}
		}
		for _, t := range data.Standbys {
			if i, ok := index[t]; ok {
				in.tie(i, id).standby = true
			}
		}
	}
}

// tie returns the preference of a task for the member that was added last.
func (in *input) tie(task, member int) *preference {
	p := in.prefer[task]
	if n := len(p); n == 0 || p[n-1].member != member {
		p = append(p, preference{member: member})
		in.prefer[task] = p
	}
	return &p[len(p)-1]
}

// solve returns the member of each task.
func (in *input) solve() []int {
	tasks, subs, n := len(in.tasks), len(in.subs), len(in.members)
	// Costs are lexicographic: any number of held tasks weighs less than one
	// that has a caught-up standby, any number of those less than one that is
	// owned, and all of them less than one unit of balance.
	const held = 1
	caughtUp := int64(tasks) + 1
	owned := int64(tasks)*(caughtUp+held) + 1
	balance := int64(tasks)*(owned+caughtUp+held) + 1

	taskNode := func(t int) int { return 1 + t }
	subNode := func(s int) int { return 1 + tasks + s }
	shareNode := func(s, m int) int { return 1 + tasks + subs + s*n + m }
	memberNode := func(m int) int { return 1 + tasks + subs + subs*n + m }
	source, sink := 0, memberNode(n)

	f := newFlow(sink + 1)
	// spread links from and to so that the flow is total/n, rounded either
	// way: the part that is rounded down is worth a unit of balance each.
	spread := func(from, to, total int) {
		f.link(from, to, total/n, -balance)
		if total%n != 0 {
			f.link(from, to, 1, 0)
		}
	}
	for s, sub := range in.subs {
		for t := sub.from; t < sub.to; t++ {
			f.link(source, taskNode(t), 1, 0)
			for _, p := range in.prefer[t] {
				var cost int64
				if p.owned {
					cost -= owned
				}
				if p.held {
					cost -= held
				}
				if p.held && p.standby {
					cost -= caughtUp
				}
				f.link(taskNode(t), shareNode(s, p.member), 1, cost)
			}
			f.link(taskNode(t), subNode(s), 1, 0)
		}
		for m := range n {
			f.link(subNode(s), shareNode(s, m), sub.len(), 0)
			spread(shareNode(s, m), memberNode(m), sub.len())
		}
	}
	for m := range n {
		spread(memberNode(m), sink, tasks)
	}
	f.run(source, sink)
	return in.read(f, taskNode, subNode, shareNode)
}

// read takes each task's member from the flow. Tasks that go the common way of
// their sub-topology are alike, so they get its members in order.
func (in *input) read(f *flow, taskNode, subNode func(int) int, shareNode func(s, m int) int) []int {
	to := make([]int, len(in.tasks))
	for s, sub := range in.subs {
		var common []int
		first := shareNode(s, 0)
		for m := range in.members {
			for range f.used(subNode(s), shareNode(s, m)) {
				common = append(common, m)
			}
		}
		for t := sub.from; t < sub.to; t++ {
			if node := f.next(taskNode(t)); node != subNode(s) {
				to[t] = node - first
				continue
			}
			to[t] = common[0]
			common = common[1:]
		}
	}
	return to
}
