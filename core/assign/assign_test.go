package assign_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/assign"
	"github.com/weirstream/weir/core/record"
)

// owns parses "topic/partition" words.
func owns(words string) []record.TopicPartition {
	var out []record.TopicPartition
	for w := range strings.FieldsSeq(words) {
		var tp record.TopicPartition
		name, number, _ := strings.Cut(w, "/")
		tp.Topic = name
		if _, err := fmt.Sscan(number, &tp.Partition); err != nil {
			panic(err)
		}
		out = append(out, tp)
	}
	return out
}

// held encodes user data that names the tasks "sub/partition".
func held(words string) []byte {
	var d assign.Data
	for _, tp := range owns(words) {
		d.Tasks = append(d.Tasks, assign.Task{Sub: tp.Topic, Partition: tp.Partition})
	}
	return d.Encode()
}

func lines(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestAssign(t *testing.T) {
	t.Parallel()
	one := []assign.Group{{Sub: "a", Sources: []string{"a"}}}
	two := []assign.Group{{Sub: "a", Sources: []string{"a"}}, {Sub: "b", Sources: []string{"b"}}}
	tests := []struct {
		name       string
		groups     []assign.Group
		partitions map[string]int32
		members    []assign.Member
		want       string
	}{
		{"no members", one, map[string]int32{"a": 2}, nil, ""},
		{"no partitions", one, nil, []assign.Member{{ID: "m"}}, "- m"},
		{
			"fresh group", one, map[string]int32{"a": 4},
			[]assign.Member{{ID: "m2"}, {ID: "m1"}},
			"a/0 m1 a/1 m1 a/2 m2 a/3 m2",
		},
		{
			"more members than tasks", one, map[string]int32{"a": 1},
			[]assign.Member{{ID: "m1"}, {ID: "m2"}},
			"a/0 m1 - m2",
		},
		{
			"each sub-topology is spread", two, map[string]int32{"a": 2, "b": 2},
			[]assign.Member{{ID: "m1"}, {ID: "m2"}},
			"a/0 m1 a/1 m2 b/0 m1 b/1 m2",
		},
		{
			"the total is balanced across single-task sub-topologies", two, map[string]int32{"a": 1, "b": 1},
			[]assign.Member{{ID: "m1"}, {ID: "m2"}},
			"a/0 m1 b/0 m2",
		},
		{
			"owners keep their tasks", one, map[string]int32{"a": 4},
			[]assign.Member{{ID: "m1", Owned: owns("a/1 a/3")}, {ID: "m2", Owned: owns("a/0 a/2")}},
			"a/0 m2 a/1 m1 a/2 m2 a/3 m1",
		},
		{
			"a new member takes its share and no more", one, map[string]int32{"a": 4},
			[]assign.Member{{ID: "m1", Owned: owns("a/0 a/1")}, {ID: "m2", Owned: owns("a/2 a/3")}, {ID: "m3"}},
			"a/0 m1 a/1 m1 a/2 m3 a/3 m2",
		},
		{
			"of the tasks that must move, those with state on the new member do", one, map[string]int32{"a": 4},
			[]assign.Member{
				{ID: "m1", Owned: owns("a/0 a/1")},
				{ID: "m2", Owned: owns("a/2 a/3")},
				{ID: "m3", Data: held("a/3")},
			},
			"a/0 m1 a/1 m1 a/2 m2 a/3 m3",
		},
		{
			"state on disk decides when nobody owns", one, map[string]int32{"a": 2},
			[]assign.Member{{ID: "m1", Data: held("a/1")}, {ID: "m2", Data: held("a/0")}},
			"a/0 m2 a/1 m1",
		},
		{
			"ownership outweighs state on disk", one, map[string]int32{"a": 2},
			[]assign.Member{
				{ID: "m1", Owned: owns("a/0"), Data: held("a/1")},
				{ID: "m2", Owned: owns("a/1"), Data: held("a/0")},
			},
			"a/0 m1 a/1 m2",
		},
		{
			"foreign user data counts as none", one, map[string]int32{"a": 2},
			[]assign.Member{{ID: "m1", Data: []byte(`{"v":9}`)}, {ID: "m2", Data: held("a/0")}},
			"a/0 m2 a/1 m1",
		},
		{
			"unknown topics and tasks are ignored", one, map[string]int32{"a": 1, "other": 3},
			[]assign.Member{{ID: "m1", Owned: owns("other/0 gone/1 a/7"), Data: held("gone/0 a/9")}},
			"a/0 m1",
		},
		{
			"two owners of one partition: one keeps it", one, map[string]int32{"a": 2},
			[]assign.Member{{ID: "m1", Owned: owns("a/0")}, {ID: "m2", Owned: owns("a/0")}},
			"a/0 m2 a/1 m1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := lines(assign.Assign(tt.groups, tt.partitions, tt.members).String())
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAssignExpandsTasksToTheirPartitions(t *testing.T) {
	t.Parallel()
	groups := []assign.Group{
		{Sub: "join", Sources: []string{"right", "left"}},
		{Sub: "late", Sources: []string{"left", "third"}}, // left belongs to join already
	}
	p := assign.Assign(groups, map[string]int32{"left": 2, "right": 1, "third": 1}, []assign.Member{{ID: "m"}})
	a := p.Of("m")
	if got, want := fmt.Sprint(a.Tasks), "[join/0 join/1 late/0]"; got != want {
		t.Errorf("tasks %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(a.Partitions), "[left/0 left/1 right/0 third/0]"; got != want {
		t.Errorf("partitions %s, want %s", got, want)
	}
	if got := p.Of("stranger"); len(got.Tasks) != 0 || got.ID != "stranger" {
		t.Errorf("Of a stranger = %v, want empty", got)
	}
}

func TestPlanCountsWhatMoves(t *testing.T) {
	t.Parallel()
	p := assign.Assign([]assign.Group{{Sub: "a", Sources: []string{"a"}}}, map[string]int32{"a": 3},
		[]assign.Member{{ID: "m1", Owned: owns("a/0")}, {ID: "m2", Data: held("a/1")}, {ID: "m3"}})
	if p.Kept != 1 || p.Warm != 1 || p.Cold != 1 {
		t.Errorf("kept %d, warm %d, cold %d; want one of each\n%s", p.Kept, p.Warm, p.Cold, p)
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, n := range []int{10, 100, 400} {
		b.Run(fmt.Sprint(n, "members"), func(b *testing.B) { benchmarkAssign(b, n, 0) })
		b.Run(fmt.Sprint(n, "members/standbys"), func(b *testing.B) { benchmarkAssign(b, n, 1) })
	}
}

func benchmarkAssign(b *testing.B, n, standbys int) {
	var groups []assign.Group
	partitions := map[string]int32{}
	for i := range 8 {
		name := fmt.Sprint("topic", i)
		groups = append(groups, assign.Group{Sub: name, Sources: []string{name}, Standbys: standbys})
		partitions[name] = 256
	}
	members := make([]assign.Member, n)
	for i := range members {
		members[i].ID = fmt.Sprintf("m%03d", i)
	}
	plan := assign.Assign(groups, partitions, members)
	for i := range members {
		members[i].Owned = plan.Members[i].Partitions
		members[i].Data = assign.Data{Standbys: plan.Members[i].Standbys}.Encode()
	}
	members = members[:n-n/10] // a tenth of them leave
	for b.Loop() {
		assign.Assign(groups, partitions, members)
	}
}
