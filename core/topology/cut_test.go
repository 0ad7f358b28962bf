package topology_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirstream/weir/core/topology"
)

// Two agents are in one sub-topology exactly when a chain of agents that read
// the same topic or use the same table links them, whatever the order of
// declaration.
func TestCutMatchesReachability(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := randomGraph(t)
		top, err := topology.Build(g)
		if err != nil {
			t.Fatal(err)
		}
		sub := make(map[string]string)
		for _, s := range top.Subs {
			for _, a := range s.Agents {
				sub[a.Name] = s.Name
			}
			if !slices.IsSorted(s.Sources) || s.Name != s.Sources[0] {
				t.Fatalf("sub-topology %q of sources %v", s.Name, s.Sources)
			}
		}
		linked := reach(g.Agents)
		for i, a := range g.Agents {
			for j, b := range g.Agents {
				if same := sub[a.Name] == sub[b.Name]; same != linked[i][j] {
					t.Fatalf("%s and %s: one sub-topology is %v, linked is %v", a.Name, b.Name, same, linked[i][j])
				}
			}
			for _, table := range a.Uses {
				if o := top.Owner(table); o == nil || o.Name != sub[a.Name] {
					t.Fatalf("table %s of agent %s is owned by %v", table, a.Name, o)
				}
			}
		}
	})
}

func randomGraph(t *rapid.T) topology.Graph {
	g := topology.Graph{App: "a"}
	for i := range 6 {
		g.Topics = append(g.Topics, topology.Topic{Name: fmt.Sprint("topic-", i)})
	}
	used := make(map[string]bool)
	table := rapid.Map(rapid.IntRange(0, 5), func(i int) string { return fmt.Sprint("table-", i) })
	for i := range rapid.IntRange(1, 7).Draw(t, "agents") {
		a := topology.Agent{
			Name:   fmt.Sprint("agent-", i),
			Source: fmt.Sprint("topic-", rapid.IntRange(0, 5).Draw(t, "source")),
			Uses:   rapid.SliceOfN(table, 0, 2).Draw(t, "uses"),
			New:    newProcessor,
		}
		for _, u := range a.Uses {
			if !used[u] {
				used[u] = true
				g.Tables = append(g.Tables, topology.Table{Name: u})
			}
		}
		g.Agents = append(g.Agents, a)
	}
	return g
}

// reach is the transitive closure of "shares a source or a table".
func reach(agents []topology.Agent) [][]bool {
	r := make([][]bool, len(agents))
	for i, a := range agents {
		r[i] = make([]bool, len(agents))
		for j, b := range agents {
			shares := slices.ContainsFunc(a.Uses, func(n string) bool { return slices.Contains(b.Uses, n) })
			r[i][j] = a.Source == b.Source || shares
		}
	}
	for k := range agents {
		for i := range agents {
			for j := range agents {
				r[i][j] = r[i][j] || r[i][k] && r[k][j]
			}
		}
	}
	return r
}

// A topology shares nothing with the graph it was built from.
func TestBuildCopies(t *testing.T) {
	t.Parallel()
	g := topology.Graph{
		App:    "a",
		Topics: []topology.Topic{{Name: "in"}},
		Tables: []topology.Table{{Name: "t", Window: &topology.Window{Size: 5}}},
		Agents: []topology.Agent{{Name: "one", Source: "in", Uses: []string{"t"}, New: newProcessor}},
	}
	top, err := topology.Build(g)
	if err != nil {
		t.Fatal(err)
	}
	g.Topics[0].Name, g.Tables[0].Window.Size, g.Agents[0].Uses[0] = "x", 7, "x"
	s := top.Sub("in")
	if top.Topics["in"].Name != "in" || s.Table("t").Window.Size != 5 || s.Agents[0].Uses[0] != "t" {
		t.Error("the topology changed with the graph")
	}
	if s.Table("x") != nil || s.Timer("t") != nil || top.Sub("x") != nil || top.SubOf("in") != s || top.Owner("x") != nil {
		t.Error("a lookup found what is not there, or the other way round")
	}
	if got := top.External(); !slices.Equal(got, []string{"in"}) {
		t.Errorf("External() = %v", got)
	}
}
