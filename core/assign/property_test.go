package assign_test

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/weirstream/weir/core/assign"
	"github.com/weirstream/weir/core/record"
	"pgregory.net/rapid"
)

// A problem is an input of Assign.
type problem struct {
	groups     []assign.Group
	partitions map[string]int32
	members    []assign.Member
}

func (p problem) assign() assign.Plan { return assign.Assign(p.groups, p.partitions, p.members) }

// tasks lists all tasks with their source partitions.
func (p problem) tasks() map[assign.Task][]record.TopicPartition {
	out := map[assign.Task][]record.TopicPartition{}
	for _, g := range p.groups {
		for _, topic := range g.Sources {
			for n := range p.partitions[topic] {
				t := assign.Task{Sub: g.Sub, Partition: n}
				out[t] = append(out[t], record.TopicPartition{Topic: topic, Partition: n})
			}
		}
	}
	return out
}

// after is the problem in which the members own and follow what the plan gave
// them.
func (p problem) after(plan assign.Plan) problem {
	p.members = slices.Clone(p.members)
	for i := range p.members {
		a := plan.Of(p.members[i].ID)
		p.members[i].Owned = a.Partitions
		d, _ := assign.DecodeData(p.members[i].Data)
		d.Standbys = a.Standbys
		p.members[i].Data = d.Encode()
	}
	return p
}

func drawProblem(t *rapid.T, maxSubs int, maxPartitions int32, maxMembers int) problem {
	p := problem{partitions: map[string]int32{}}
	for s := range rapid.IntRange(1, maxSubs).Draw(t, "subs") {
		g := assign.Group{Sub: fmt.Sprint("s", s), Standbys: rapid.IntRange(0, 3).Draw(t, "standbys")}
		for i := range rapid.IntRange(1, 2).Draw(t, "sources") {
			topic := fmt.Sprintf("t%d.%d", s, i)
			g.Sources = append(g.Sources, topic)
			p.partitions[topic] = rapid.Int32Range(0, maxPartitions).Draw(t, "partitions")
		}
		p.groups = append(p.groups, g)
	}
	p.members = make([]assign.Member, rapid.IntRange(1, maxMembers).Draw(t, "members"))
	for i := range p.members {
		p.members[i].ID = fmt.Sprintf("m%02d", i)
	}
	drawTies(t, p)
	return p
}

// drawTies gives tasks random owners, random holders of their state and random
// members with a standby.
func drawTies(t *rapid.T, p problem) {
	all := p.tasks()
	for _, task := range sortedTasks(all) {
		if i := rapid.IntRange(-1, len(p.members)-1).Draw(t, "owner of "+task.String()); i >= 0 {
			p.members[i].Owned = append(p.members[i].Owned, all[task]...)
		}
	}
	for i := range p.members {
		d := assign.Data{}
		for _, task := range sortedTasks(all) {
			if rapid.IntRange(0, 3).Draw(t, "holds "+task.String()) == 0 {
				d.Tasks = append(d.Tasks, task)
			}
			if rapid.IntRange(0, 3).Draw(t, "follows "+task.String()) == 0 {
				d.Standbys = append(d.Standbys, task)
			}
		}
		p.members[i].Data = d.Encode()
	}
}

func sortedTasks(all map[assign.Task][]record.TopicPartition) []assign.Task {
	var out []assign.Task
	for task := range all {
		out = append(out, task)
	}
	slices.SortFunc(out, assign.Task.Compare)
	return out
}

func spread(counts []int) int { return slices.Max(counts) - slices.Min(counts) }

// checkSound fails unless the plan is complete, disjoint, co-partitioned and
// balanced.
func checkSound(t *rapid.T, p problem, plan assign.Plan) {
	all := p.tasks()
	taskOwner := map[assign.Task]string{}
	partOwner := map[record.TopicPartition]string{}
	total := make([]int, len(plan.Members))
	perSub := map[string][]int{}
	for i, a := range plan.Members {
		total[i] = len(a.Tasks)
		for _, task := range a.Tasks {
			if other, twice := taskOwner[task]; twice {
				t.Fatalf("%s goes to %s and %s", task, other, a.ID)
			}
			taskOwner[task] = a.ID
			if perSub[task.Sub] == nil {
				perSub[task.Sub] = make([]int, len(plan.Members))
			}
			perSub[task.Sub][i]++
		}
		for _, tp := range a.Partitions {
			if other, twice := partOwner[tp]; twice {
				t.Fatalf("%s goes to %s and %s", tp, other, a.ID)
			}
			partOwner[tp] = a.ID
		}
	}
	parts := 0
	for task, tps := range all {
		parts += len(tps)
		for _, tp := range tps {
			if partOwner[tp] == "" || partOwner[tp] != taskOwner[task] {
				t.Fatalf("%s goes to %q, its task %s to %q", tp, partOwner[tp], task, taskOwner[task])
			}
		}
	}
	if len(taskOwner) != len(all) || len(partOwner) != parts {
		t.Fatalf("%d tasks and %d partitions assigned, want %d and %d", len(taskOwner), len(partOwner), len(all), parts)
	}
	if spread(total) > 1 {
		t.Fatalf("members differ by %d tasks: %v", spread(total), total)
	}
	for sub, counts := range perSub {
		if spread(counts) > 1 {
			t.Fatalf("members differ by %d tasks of %s: %v", spread(counts), sub, counts)
		}
	}
}

func TestPlansAreSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 5, 12, 9)
		checkSound(t, p, p.assign())
	})
}

func TestUnchangedMembershipKeepsThePlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 5, 12, 9)
		plan := p.assign()
		if again := p.after(plan).assign(); again.String() != plan.String() {
			t.Fatalf("plan\n%sbecame\n%s", plan, again)
		}
	})
}

func TestOrderOfInputsDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 4, 8, 6)
		want := p.assign().String()
		rng := rand.New(rand.NewSource(rapid.Int64().Draw(t, "shuffle")))
		q := problem{slices.Clone(p.groups), p.partitions, slices.Clone(p.members)}
		rng.Shuffle(len(q.groups), func(i, j int) { q.groups[i], q.groups[j] = q.groups[j], q.groups[i] })
		rng.Shuffle(len(q.members), func(i, j int) { q.members[i], q.members[j] = q.members[j], q.members[i] })
		for i := range q.groups {
			src := slices.Clone(q.groups[i].Sources)
			rng.Shuffle(len(src), func(a, b int) { src[a], src[b] = src[b], src[a] })
			q.groups[i].Sources = src
		}
		for i := range q.members {
			own := slices.Clone(q.members[i].Owned)
			rng.Shuffle(len(own), func(a, b int) { own[a], own[b] = own[b], own[a] })
			q.members[i].Owned = own
		}
		if got := q.assign().String(); got != want {
			t.Fatalf("in one order\n%sin another\n%s", want, got)
		}
	})
}

// moved counts the tasks that change hands between two plans, and of those
// the ones whose old owner is still a member.
func moved(from, to assign.Plan) (all, amongSurvivors int) {
	now := map[assign.Task]string{}
	member := map[string]bool{}
	for _, a := range to.Members {
		member[a.ID] = true
		for _, task := range a.Tasks {
			now[task] = a.ID
		}
	}
	for _, a := range from.Members {
		for _, task := range a.Tasks {
			if now[task] != a.ID {
				all++
				if member[a.ID] {
					amongSurvivors++
				}
			}
		}
	}
	return all, amongSurvivors
}

// With one sub-topology, balance never asks for more than the obvious moves.
func TestOneSubTopologyMovesOnlyTheObvious(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 1, 24, 9)
		p.members = append(p.members, assign.Member{ID: "last"})
		before := p.assign()
		p = p.after(before)

		fewer := p
		fewer.members = p.members[1:]
		if _, among := moved(before, fewer.assign()); among != 0 {
			t.Fatalf("when a member left, %d tasks moved between those that stayed", among)
		}
		more := p
		more.members = append(slices.Clone(p.members), assign.Member{ID: "new"})
		after := more.assign()
		tasks, n := len(p.tasks()), len(more.members)
		share := (tasks + n - 1) / n
		if all, _ := moved(before, after); all != len(after.Of("new").Tasks) || all > share {
			t.Fatalf("when a member joined, %d tasks moved; it got %d and its share is %d", all, len(after.Of("new").Tasks), share)
		}
	})
}

// With several sub-topologies the two balances together may ask for more than
// one member's share, but a new member still never gets more than it.
func TestNewMemberGetsItsShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 5, 12, 6)
		before := p.assign()
		p = p.after(before)
		p.members = append(slices.Clone(p.members), assign.Member{ID: "new"})
		after := p.assign()
		checkSound(t, p, after)
		share := (len(p.tasks()) + len(p.members) - 1) / len(p.members)
		all, _ := moved(before, after)
		if got := len(after.Of("new").Tasks); got > share || all > 2*share {
			t.Fatalf("%d tasks moved, %d of them to the new member, whose share is %d", all, got, share)
		}
	})
}

// score is what Assign maximizes among balanced assignments: owned tasks kept,
// then tasks placed on a member with a caught-up standby, then on one that
// holds their state.
func score(p problem, tasks []assign.Task, ties []map[assign.Task]int, to []int) (int, bool) {
	n := len(p.members)
	total := make([]int, n)
	perSub := map[string][]int{}
	sum := 0
	for i, task := range tasks {
		if perSub[task.Sub] == nil {
			perSub[task.Sub] = make([]int, n)
		}
		total[to[i]]++
		perSub[task.Sub][to[i]]++
		sum += ties[to[i]][task]
	}
	for _, counts := range perSub {
		if spread(counts) > 1 {
			return 0, false
		}
	}
	return sum, spread(total) <= 1
}

// Small problems are compared with the best of all assignments there are.
func TestPlansAreTheBest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 3, 2, 3)
		all := p.tasks()
		tasks := sortedTasks(all)
		index := map[assign.Task]int{}
		ties := make([]map[assign.Task]int, len(p.members))
		for m := range p.members {
			ties[m] = map[assign.Task]int{}
			for i, task := range tasks {
				index[task] = i
				for _, tp := range all[task] {
					if slices.Contains(p.members[m].Owned, tp) {
						ties[m][task] = 100
					}
				}
			}
			d, _ := assign.DecodeData(p.members[m].Data)
			for _, task := range d.Tasks {
				ties[m][task]++
				if slices.Contains(d.Standbys, task) {
					ties[m][task] += 10
				}
			}
		}
		plan := p.assign()
		to := make([]int, len(tasks))
		for m, a := range plan.Members {
			for _, task := range a.Tasks {
				to[index[task]] = m
			}
		}
		got, ok := score(p, tasks, ties, to)
		if !ok {
			t.Fatalf("not balanced:\n%s", plan)
		}
		for try := make([]int, len(tasks)); ; {
			if best, ok := score(p, tasks, ties, try); ok && best > got {
				t.Fatalf("%v scores %d, the plan %d:\n%s", try, best, got, plan)
			}
			i := 0
			for i < len(try) && try[i] == len(p.members)-1 {
				try[i] = 0
				i++
			}
			if i == len(try) {
				break
			}
			try[i]++
		}
	})
}
