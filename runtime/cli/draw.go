package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/core/topology"
)

// A node of a drawing.
type node struct {
	id, label string
	shape     shape
	sub       string // sub-topology that it stands in, or empty
}

type shape uint8

const (
	topicShape shape = iota
	agentShape
	tableShape
	timerShape
)

// An edge of a drawing.
type edge struct{ from, to, label string }

// A graph is a topology as drawn.
type graph struct {
	name  string
	subs  []string
	nodes []node
	edges []edge
}

// drawing turns a topology into nodes and edges. Changelogs are left out:
// each table has one.
func drawing(t *topology.Topology) graph {
	g := graph{name: t.App}
	ids := make(map[string]string)
	add := func(kind, name, sub string, s shape) {
		id := fmt.Sprintf("n%d", len(g.nodes))
		ids[kind+name] = id
		g.nodes = append(g.nodes, node{id, name, s, sub})
	}
	for _, name := range sortedKeys(t.Topics) {
		if t.Topics[name].Kind != topology.Changelog {
			add("topic ", name, "", topicShape)
		}
	}
	for _, tb := range t.Globals {
		add("table ", tb.Name, "", tableShape)
		g.edges = append(g.edges, edge{ids["topic "+tb.Source], ids["table "+tb.Name], "is"})
	}
	for _, s := range t.Subs {
		g.subs = append(g.subs, s.Name)
		for _, tb := range s.Tables {
			add("table ", tb.Name, s.Name, tableShape)
			for _, to := range append(slices.Clone(tb.CloseSends), tb.Late) {
				if to != "" {
					g.edges = append(g.edges, edge{ids["table "+tb.Name], ids["topic "+to], ""})
				}
			}
		}
		for _, tm := range s.Timers {
			add("timer ", tm.Name, s.Name, timerShape)
			for _, to := range tm.Sends {
				g.edges = append(g.edges, edge{ids["timer "+tm.Name], ids["topic "+to], ""})
			}
		}
		for _, a := range s.Agents {
			add("agent ", a.Name, s.Name, agentShape)
			me := ids["agent "+a.Name]
			g.edges = append(g.edges, edge{ids["topic "+a.Source], me, strings.Join(a.Steps, ", ")})
			for _, use := range a.Uses {
				g.edges = append(g.edges, edge{me, ids["table "+use], "uses"})
			}
			for _, to := range a.Sends {
				g.edges = append(g.edges, edge{me, ids["topic "+to], ""})
			}
			for _, tm := range a.Sets {
				g.edges = append(g.edges, edge{me, ids["timer "+tm], "sets"})
			}
		}
	}
	return g
}

func drawDot(w io.Writer, g graph) error {
	shapes := map[shape]string{topicShape: "cds", agentShape: "box", tableShape: "cylinder", timerShape: "octagon"}
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR\n  node [fontname=\"sans-serif\"]\n", g.name)
	for _, n := range g.nodes {
		if n.sub == "" {
			fmt.Fprintf(&b, "  %s [label=%q shape=%s]\n", n.id, n.label, shapes[n.shape])
		}
	}
	for i, sub := range g.subs {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%q\n", i, sub)
		for _, n := range g.nodes {
			if n.sub == sub {
				fmt.Fprintf(&b, "    %s [label=%q shape=%s]\n", n.id, n.label, shapes[n.shape])
			}
		}
		b.WriteString("  }\n")
	}
	for _, e := range g.edges {
		fmt.Fprintf(&b, "  %s -> %s", e.from, e.to)
		if e.label != "" {
			fmt.Fprintf(&b, " [label=%q]", e.label)
		}
		b.WriteByte('\n')
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func drawMermaid(w io.Writer, g graph) error {
	brackets := map[shape][2]string{topicShape: {">", "]"}, agentShape: {"[", "]"}, tableShape: {"[(", ")]"}, timerShape: {"{{", "}}"}}
	draw := func(n node) string {
		br := brackets[n.shape]
		return fmt.Sprintf("%s%s\"%s\"%s", n.id, br[0], n.label, br[1])
	}
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range g.nodes {
		if n.sub == "" {
			fmt.Fprintf(&b, "  %s\n", draw(n))
		}
	}
	for i, sub := range g.subs {
		fmt.Fprintf(&b, "  subgraph s%d[\"%s\"]\n", i, sub)
		for _, n := range g.nodes {
			if n.sub == sub {
				fmt.Fprintf(&b, "    %s\n", draw(n))
			}
		}
		b.WriteString("  end\n")
	}
	for _, e := range g.edges {
		if e.label != "" {
			fmt.Fprintf(&b, "  %s -->|\"%s\"| %s\n", e.from, strings.ReplaceAll(e.label, `"`, "#quot;"), e.to)
			continue
		}
		fmt.Fprintf(&b, "  %s --> %s\n", e.from, e.to)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
