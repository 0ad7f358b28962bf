package topology

import (
	"fmt"
	"strings"
	"time"
)

// Formats that Render knows.
const (
	Text    = "text"
	JSON    = "json"
	Dot     = "dot"     // Graphviz
	Mermaid = "mermaid" // flowchart
)

// Formats lists the formats of Render.
func Formats() []string { return []string{Text, JSON, Dot, Mermaid} }

// Render draws the topology. The same topology gives the same bytes.
func (t *Topology) Render(format string) (string, error) {
	switch format {
	case Text:
		return t.text(), nil
	case JSON:
		return t.json()
	case Dot:
		return t.dot(), nil
	case Mermaid:
		return t.mermaid(), nil
	}
	return "", fmt.Errorf("topology cannot be rendered as %q: choose one of %s", format, strings.Join(Formats(), ", "))
}

func (t *Topology) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "application %s\n", t.App)
	for _, s := range t.Subs {
		fmt.Fprintf(&b, "\nsub-topology %s\n", s.Name)
		for _, name := range s.Sources {
			fmt.Fprintf(&b, "  source %s\n", t.topicText(name))
		}
		for _, a := range s.Agents {
			a.text(&b)
		}
		for _, table := range s.Tables {
			fmt.Fprintf(&b, "  table %s\n", t.tableText(table))
		}
		for _, tm := range s.Timers {
			fmt.Fprintf(&b, "  timer %s, changelog %s\n", tm.Name, ChangelogTopic(t.App, tm.Name))
			list(&b, "uses", tm.Uses)
			list(&b, "sends", tm.Sends)
			fmt.Fprintf(&b, "    on error %s\n", tm.Policy)
		}
		for _, name := range s.Sends {
			fmt.Fprintf(&b, "  sink %s\n", t.topicText(name))
		}
	}
	for i, g := range t.Globals {
		if i == 0 {
			b.WriteString("\nglobal tables\n")
		}
		fmt.Fprintf(&b, "  %s of topic %s (%s, %s)\n", g.Name, g.Source, g.KeyType, g.ValueType)
	}
	return b.String()
}

func (a *Agent) text(b *strings.Builder) {
	fmt.Fprintf(b, "  agent %s reads %s\n", a.Name, a.Source)
	list(b, "steps", a.Steps)
	list(b, "uses", a.Uses)
	list(b, "sets", a.Sets)
	list(b, "sends", a.Sends)
	fmt.Fprintf(b, "    on error %s\n", a.Policy)
}

func list(b *strings.Builder, what string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(b, "    %s %s\n", what, strings.Join(names, ", "))
	}
}

// topicText is a topic with what is known of it.
func (t *Topology) topicText(name string) string {
	topic := t.Topics[name]
	notes := []string{topic.Kind.String()}
	if topic.KeyType != "" {
		notes = append(notes, topic.KeyType+" to "+topic.ValueType)
	}
	switch {
	case topic.Partitions != 0:
		notes = append(notes, fmt.Sprintf("%d partitions", topic.Partitions))
	case topic.From != "":
		notes = append(notes, "partitions of "+topic.From)
	}
	return fmt.Sprintf("%s (%s)", name, strings.Join(notes, ", "))
}

func (t *Topology) tableText(table *Table) string {
	s := fmt.Sprintf("%s (%s to %s), changelog %s", table.Name, table.KeyType, table.ValueType, ChangelogTopic(t.App, table.Name))
	if table.Store != "" {
		s += ", store " + table.Store
	}
	w := table.Window
	if w == nil {
		return s
	}
	s += fmt.Sprintf("\n    windows of %s, grace %s, retain %s", span(w.Size), span(w.Grace), span(w.Retain))
	if table.Late != "" {
		s += "\n    late records to " + table.Late
	}
	if table.OnClose != nil {
		s += "\n    on close a function"
		for _, l := range []struct {
			what  string
			names []string
		}{{"uses", table.CloseUses}, {"sends", table.CloseSends}} {
			if len(l.names) > 0 {
				s += ", " + l.what + " " + strings.Join(l.names, ", ")
			}
		}
	}
	return s
}

// span is a number of milliseconds for people.
func span(ms int64) string {
	if ms == Forever {
		return "forever"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// String describes a policy for people: "4 retries from 50ms to 1s, then stop".
func (p Policy) String() string {
	final := p.Final.String()
	if p.Final == DeadLetter {
		final += " to " + p.Topic
	}
	if p.Retries == 0 {
		return final
	}
	return fmt.Sprintf("%d retries from %s to %s, then %s", p.Retries, p.Backoff, max(p.Backoff, p.MaxBackoff), final)
}
