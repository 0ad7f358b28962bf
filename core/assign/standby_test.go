package assign_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weirstream/weir/core/assign"
	"pgregory.net/rapid"
)

// follows encodes user data of a member with caught-up standbys.
func follows(words string) []byte {
	d, _ := assign.DecodeData(held(words))
	d.Standbys = d.Tasks
	return d.Encode()
}

// behind encodes user data of a member whose standbys have not caught up.
func behind(words string) []byte {
	d, _ := assign.DecodeData(held(words))
	d.Standbys, d.Tasks = d.Tasks, nil
	return d.Encode()
}

func TestStandbys(t *testing.T) {
	t.Parallel()
	one := []assign.Group{{Sub: "a", Sources: []string{"a"}, Standbys: 1}}
	two := []assign.Group{{Sub: "a", Sources: []string{"a"}, Standbys: 2}}
	four := map[string]int32{"a": 4}
	for _, tt := range []struct {
		name       string
		groups     []assign.Group
		partitions map[string]int32
		members    []assign.Member
		want       string
	}{
		{"one member has nobody to replicate to", one, four, []assign.Member{{ID: "m1"}}, "a/0 m1 a/1 m1 a/2 m1 a/3 m1"},
		{
			"two members hold each other's", one, four, []assign.Member{{ID: "m1"}, {ID: "m2"}},
			"a/0 m1 +m2 a/1 m1 +m2 a/2 m2 +m1 a/3 m2 +m1",
		},
		{
			"as many as there are members", two, map[string]int32{"a": 2}, []assign.Member{{ID: "m1"}, {ID: "m2"}},
			"a/0 m1 +m2 a/1 m2 +m1",
		},
		{
			"members without tasks are good for standbys", one, map[string]int32{"a": 2},
			[]assign.Member{{ID: "m1"}, {ID: "m2"}, {ID: "m3"}, {ID: "m4"}},
			"a/0 m1 +m3 a/1 m2 +m4 - m3 - m4",
		},
		{
			"where state is on disk, and where a standby is first of all", one, map[string]int32{"a": 3},
			[]assign.Member{
				{ID: "m1", Owned: owns("a/0"), Data: held("a/1")},
				{ID: "m2", Owned: owns("a/1"), Data: behind("a/2")},
				{ID: "m3", Owned: owns("a/2"), Data: held("a/0")},
			},
			"a/0 m1 +m3 a/1 m2 +m1 a/2 m3 +m2",
		},
		{
			"its standby takes a task over whose owner has left", one, four,
			[]assign.Member{
				{ID: "m1", Owned: owns("a/0"), Data: held("a/0 a/2 a/3")},
				{ID: "m2", Owned: owns("a/1"), Data: follows("a/2")},
				{ID: "m3", Data: follows("a/3")},
			},
			// m1 or m2 has to take two; the one with the standby does.
			"a/0 m1 +m2 a/1 m2 +m3 a/2 m2 +m1 a/3 m3 +m1",
		},
		{
			"the owner that gave a task to its standby becomes the standby", one, map[string]int32{"a": 2},
			[]assign.Member{{ID: "m1", Owned: owns("a/0 a/1")}, {ID: "m2", Data: follows("a/1")}},
			"a/0 m1 +m2 a/1 m2 +m1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := lines(assign.Assign(tt.groups, tt.partitions, tt.members).String()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Standbys of a task are on different members and not on its owner; there are
// as many as asked for, as far as there are members.
func TestStandbysAreDisjointAndComplete(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 5, 12, 9)
		plan := p.assign()
		at := make(map[assign.Task][]string)
		for _, a := range plan.Members {
			if !slices.IsSortedFunc(a.Standbys, assign.Task.Compare) {
				t.Fatalf("standbys of %s are not in order: %v", a.ID, a.Standbys)
			}
			for _, task := range slices.Concat(a.Tasks, a.Standbys) {
				if slices.Contains(at[task], a.ID) {
					t.Fatalf("%s is on %s twice:\n%s", task, a.ID, plan)
				}
				at[task] = append(at[task], a.ID)
			}
		}
		for _, g := range p.groups {
			for task := range p.tasks() {
				if want := min(1+g.Standbys, len(p.members)); task.Sub == g.Sub && len(at[task]) != want {
					t.Fatalf("%s is on %v, want %d members:\n%s", task, at[task], want, plan)
				}
			}
		}
	})
}

// No standby can move to a member that has two less.
func TestStandbysAreBalanced(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 5, 12, 9)
		plan := p.assign()
		for _, from := range plan.Members {
			for _, to := range plan.Members {
				if len(from.Standbys)-len(to.Standbys) < 2 {
					continue
				}
				for _, task := range from.Standbys {
					if !slices.Contains(to.Tasks, task) && !slices.Contains(to.Standbys, task) {
						t.Fatalf("%s has %d standbys and %s has %d, which could take %s:\n%s", from.ID, len(from.Standbys), to.ID, len(to.Standbys), task, plan)
					}
				}
			}
		}
	})
}

// With one sub-topology nothing stands in the way: standbys are within one.
func TestStandbysOfOneSubTopologyAreWithinOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 1, 24, 9)
		plan := p.assign()
		var counts []int
		for _, a := range plan.Members {
			counts = append(counts, len(a.Standbys))
		}
		if len(p.members) > 2 && spread(counts) > 1 {
			t.Fatalf("members differ by %d standbys:\n%s", spread(counts), plan)
		}
	})
}

// When a member leaves, no standby is given up that its task still needs there
// and balance lets stay: what moves is bounded by what the member had.
func TestStandbysStayWhenAMemberLeaves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, 1, 24, 9)
		p.members = append(p.members, assign.Member{ID: "x1"}, assign.Member{ID: "x2"})
		before := p.assign()
		gone := before.Members[0]
		p = p.after(before)
		p.members = p.members[1:]
		after := p.assign()
		lost := 0
		for _, a := range before.Members[1:] {
			now := after.Of(a.ID)
			for _, task := range a.Standbys {
				if !slices.Contains(now.Standbys, task) && !slices.Contains(now.Tasks, task) {
					lost++
				}
			}
		}
		// Only promotions disturb the balance: at most one standby makes room
		// for each task and each standby of the member that left.
		if lost > len(gone.Tasks)+len(gone.Standbys) {
			t.Fatalf("%s left with %d tasks and %d standbys, and %d standbys of others moved:\n%s%s", gone.ID, len(gone.Tasks), len(gone.Standbys), lost, before, after)
		}
	})
}

// A task whose owner leaves goes to its standby whenever balance lets it: with
// one task for each member and a member to spare, always.
func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 9).Draw(t, "tasks")
		groups := []assign.Group{{Sub: "s", Sources: []string{"t"}, Standbys: 1}}
		p := problem{groups: groups, partitions: map[string]int32{"t": int32(n)}}
		for i := range n + 1 {
			p.members = append(p.members, assign.Member{ID: fmt.Sprintf("m%02d", i)})
		}
		before := p.assign()
		p = p.after(before)
		spare := p.members[n] // it has no task; let it follow the one that fails
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		task := before.Members[gone].Tasks[0]
		spare.Data = follows(task.String())
		p.members[n] = spare
		p.members = slices.Delete(p.members, gone, gone+1)
		after := p.assign()
		if !slices.Contains(after.Of(spare.ID).Tasks, task) {
			t.Fatalf("%s did not go to its standby %s:\n%s%s", task, spare.ID, before, after)
		}
	})
}

func TestStandbysOfData(t *testing.T) {
	t.Parallel()
	d := assign.Data{Tasks: []assign.Task{{"a", 1}}, Standbys: []assign.Task{{"b", 2}, {"a", 7}, {"a", 3}}}
	got, ok := assign.DecodeData(d.Encode())
	if want := []assign.Task{{"a", 3}, {"a", 7}, {"b", 2}}; !ok || !slices.Equal(got.Standbys, want) || len(got.Tasks) != 1 {
		t.Fatalf("got %+v, %v; want standbys %v", got, ok, want)
	}
	b := d.Encode()
	if got, ok := assign.DecodeData(b[:len(b)-1]); !ok || len(got.Standbys) != 0 || len(got.Tasks) != 1 {
		t.Fatalf("damaged standbys gave %+v, %v; want the tasks alone", got, ok)
	}
}
