package topology

import (
	"fmt"
	"slices"
	"strings"
)

// A drawing is the topology as boxes and arrows, for Graphviz and Mermaid.
type drawing struct {
	topics  []box // outside the frames
	frames  []frame
	globals []box
	arrows  []arrow
	ids     map[string]string
}

type (
	shape uint8
	// A box is one thing; its id is the same in every drawing of the
	// topology.
	box struct {
		id, label string
		shape     shape
	}
	// A frame is a sub-topology.
	frame struct {
		id, label string
		boxes     []box
	}
	arrow struct {
		from, to string
		style    style
	}
	style uint8
)

const (
	topicShape shape = iota
	agentShape
	tableShape
	timerShape
)

const (
	flow  style = iota // records
	state              // tables and timers
	fault              // dead letters and late records
)

// draw lays the topology out, everything in a fixed order.
func (t *Topology) draw() *drawing {
	d := &drawing{ids: make(map[string]string)}
	var topics []string
	for _, s := range t.Subs {
		topics = append(append(topics, s.Sources...), s.Sends...)
	}
	for _, g := range t.Globals {
		topics = append(topics, g.Source)
	}
	for _, name := range sorted(topics) {
		d.topics = append(d.topics, box{d.id("topic", name), name, topicShape})
	}
	for _, g := range t.Globals {
		d.globals = append(d.globals, box{d.id("table", g.Name), g.Name + " (global)", tableShape})
		d.arrow("topic", g.Source, "table", g.Name, flow)
	}
	for _, s := range t.Subs {
		d.frame(s)
	}
	for _, s := range t.Subs {
		d.arrowsOf(s)
	}
	return d
}

func (d *drawing) frame(s *Sub) {
	f := frame{id: fmt.Sprintf("sub%d", len(d.frames)+1), label: "sub-topology " + s.Name}
	for _, a := range s.Agents {
		label := strings.Join(append(slices.Clone(a.Steps), a.Name), "\n")
		f.boxes = append(f.boxes, box{d.id("agent", a.Name), label, agentShape})
	}
	for _, t := range s.Tables {
		label := t.Name
		if t.Window != nil {
			label += "\nwindows of " + span(t.Window.Size)
		}
		f.boxes = append(f.boxes, box{d.id("table", t.Name), label, tableShape})
	}
	for _, m := range s.Timers {
		f.boxes = append(f.boxes, box{d.id("timer", m.Name), m.Name, timerShape})
	}
	d.frames = append(d.frames, f)
}

func (d *drawing) arrowsOf(s *Sub) {
	for _, a := range s.Agents {
		d.arrow("topic", a.Source, "agent", a.Name, flow)
		d.all("agent", a.Name, "table", a.Uses, state)
		d.all("agent", a.Name, "timer", a.Sets, state)
		d.all("agent", a.Name, "topic", a.Sends, flow)
		d.dead("agent", a.Name, a.Policy)
	}
	for _, t := range s.Tables {
		d.all("table", t.Name, "table", t.CloseUses, state)
		d.all("table", t.Name, "topic", t.CloseSends, flow)
		if t.Late != "" {
			d.arrow("table", t.Name, "topic", t.Late, fault)
		}
		if t.OnClose != nil {
			d.dead("table", t.Name, t.Policy)
		}
	}
	for _, m := range s.Timers {
		d.all("timer", m.Name, "table", m.Uses, state)
		d.all("timer", m.Name, "topic", m.Sends, flow)
		d.dead("timer", m.Name, m.Policy)
	}
}

// id returns the short name of a thing in the drawing.
func (d *drawing) id(kind, name string) string {
	key := kind + " " + name
	if d.ids[key] == "" {
		d.ids[key] = fmt.Sprintf("n%d", len(d.ids)+1)
	}
	return d.ids[key]
}

func (d *drawing) arrow(fromKind, from, toKind, to string, st style) {
	a := arrow{d.id(fromKind, from), d.id(toKind, to), st}
	if !slices.Contains(d.arrows, a) {
		d.arrows = append(d.arrows, a)
	}
}

func (d *drawing) all(fromKind, from, toKind string, to []string, st style) {
	for _, name := range to {
		d.arrow(fromKind, from, toKind, name, st)
	}
}

func (d *drawing) dead(kind, name string, p Policy) {
	if p.Final == DeadLetter {
		d.arrow(kind, name, "topic", p.Topic, fault)
	}
}

// dot renders for Graphviz.
func (t *Topology) dot() string {
	d := t.draw()
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n", dotQuote(t.App))
	node := func(indent string, x box) {
		kind := [...]string{"box, style=rounded", "box", "cylinder", "hexagon"}[x.shape]
		fmt.Fprintf(&b, "%s%s [shape=%s, label=%s];\n", indent, x.id, kind, dotQuote(x.label))
	}
	for _, x := range append(slices.Clone(d.topics), d.globals...) {
		node("  ", x)
	}
	for _, f := range d.frames {
		fmt.Fprintf(&b, "  subgraph cluster_%s {\n    label=%s;\n", f.id, dotQuote(f.label))
		for _, x := range f.boxes {
			node("    ", x)
		}
		b.WriteString("  }\n")
	}
	for _, a := range d.arrows {
		look := [...]string{"", " [style=dashed, dir=both]", " [color=red]"}[a.style]
		fmt.Fprintf(&b, "  %s -> %s%s;\n", a.from, a.to, look)
	}
	b.WriteString("}\n")
	return b.String()
}

func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// mermaid renders a Mermaid flowchart.
func (t *Topology) mermaid() string {
	d := t.draw()
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	node := func(indent string, x box) {
		ends := [...][2]string{{"([", "])"}, {"[", "]"}, {"[(", ")]"}, {"{{", "}}"}}[x.shape]
		fmt.Fprintf(&b, "%s%s%s%s%s\n", indent, x.id, ends[0], mermaidQuote(x.label), ends[1])
	}
	for _, x := range append(slices.Clone(d.topics), d.globals...) {
		node("  ", x)
	}
	for _, f := range d.frames {
		fmt.Fprintf(&b, "  subgraph %s[%s]\n", f.id, mermaidQuote(f.label))
		for _, x := range f.boxes {
			node("    ", x)
		}
		b.WriteString("  end\n")
	}
	for _, a := range d.arrows {
		look := [...]string{"-->", "<-.->", "-. error .->"}[a.style]
		fmt.Fprintf(&b, "  %s %s %s\n", a.from, look, a.to)
	}
	return b.String()
}

func mermaidQuote(s string) string {
	return `"` + strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", "<br/>").Replace(s) + `"`
}
