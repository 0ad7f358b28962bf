package assign

import "slices"

// replicate returns the members that keep a standby of each task, in order,
// given the member that runs it. It is a flow of its own, after the tasks are
// placed: a task sends a unit for each standby to members other than its owner.
//
// Owners are not always spread so that standbys can be balanced to within one
// (of two members, the one with less tasks has to hold more standbys). The
// reward for taking a standby therefore falls with each one that a member has
// already, which makes loads as equal as they can be.
func (in *input) replicate(to []int) [][]int {
	tasks, n := len(in.tasks), len(in.members)
	standbys := make([][]int, tasks)
	want := make([]int, tasks)
	total, most := 0, 0
	for s, sub := range in.subs {
		for t := sub.from; t < sub.to; t++ {
			want[t] = min(max(in.groups[s].Standbys, 0), n-1)
			total += want[t]
			most += min(want[t], 1)
		}
	}
	if total == 0 {
		return standbys
	}
	// Lexicographic, as in solve. When some members have to take one standby
	// more than others, it is rather those with one task less.
	const busy = 1
	held := int64(total)*busy + 1
	kept := int64(total)*(held+busy) + 1
	balance := int64(total)*(kept+held+busy) + 1

	taskNode := func(t int) int { return 1 + t }
	memberNode := func(m int) int { return 1 + tasks + m }
	source, sink := 0, memberNode(n)
	f := newFlow(sink + 1)
	for t := range in.tasks {
		if want[t] == 0 {
			continue
		}
		f.link(source, taskNode(t), want[t], 0)
		cost := make([]int64, n)
		for _, p := range in.prefer[t] {
			if p.standby {
				cost[p.member] -= kept
			}
			if p.held || p.owned {
				cost[p.member] -= held
			}
		}
		for m := range n {
			if m != to[t] {
				f.link(taskNode(t), memberNode(m), 1, cost[m])
			}
		}
	}
	share := total / n
	load := make([]int, n)
	for _, m := range to {
		load[m]++
	}
	least := slices.Min(load)
	for m := range n {
		f.link(memberNode(m), sink, share, -balance)
		for over := range most - share {
			f.link(memberNode(m), sink, 1, int64(over)*balance+busy*int64(min(load[m]-least, 1)))
		}
	}
	f.run(source, sink)
	for t := range in.tasks {
		for _, node := range f.targets(taskNode(t)) {
			standbys[t] = append(standbys[t], node-memberNode(0))
		}
	}
	return standbys
}
