package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir/core/topology"
)

func topologyCommand() *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Show what the application is made of",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := From(cmd.Context())
			t, err := e.Topology()
			if err != nil {
				return err
			}
			return writeTopology(e.Out, t, format)
		},
	}
	cmd.Flags().Var(choice(&format, "text", "json", "dot", "mermaid"), "format", "text, json, dot (Graphviz) or mermaid")
	return cmd
}

func writeTopology(w io.Writer, t *topology.Topology, format string) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(describe(t))
	case "dot":
		return drawDot(w, drawing(t))
	case "mermaid":
		return drawMermaid(w, drawing(t))
	}
	return writeText(w, describe(t))
}

// The description of a topology, as JSON has it.
type (
	appJSON struct {
		App  string    `json:"app"`
		Subs []subJSON `json:"subtopologies"`
		// Globals are the global tables.
		Globals []tableJSON `json:"globals,omitempty"`
		Topics  []topicJSON `json:"topics"`
	}
	subJSON struct {
		Name    string      `json:"name"`
		Sources []string    `json:"sources"`
		Agents  []agentJSON `json:"agents"`
		Tables  []tableJSON `json:"tables,omitempty"`
		Timers  []string    `json:"timers,omitempty"`
		Sends   []string    `json:"sends,omitempty"`
	}
	agentJSON struct {
		Name    string   `json:"name"`
		Source  string   `json:"source"`
		Steps   []string `json:"steps,omitempty"`
		Uses    []string `json:"uses,omitempty"`
		Sends   []string `json:"sends,omitempty"`
		Sets    []string `json:"sets,omitempty"`
		OnError string   `json:"on_error"`
	}
	tableJSON struct {
		Name   string      `json:"name"`
		Topic  string      `json:"topic"`
		Key    string      `json:"key"`
		Value  string      `json:"value"`
		Window *windowJSON `json:"window,omitempty"`
		Late   string      `json:"late,omitempty"`
		Store  string      `json:"store,omitempty"`
	}
	windowJSON struct {
		SizeMS  int64 `json:"size_ms"`
		GraceMS int64 `json:"grace_ms"`
		// RetainMS is -1 for windows that are kept for good.
		RetainMS int64 `json:"retain_ms"`
	}
	topicJSON struct {
		Name       string `json:"name"`
		Kind       string `json:"kind"`
		Key        string `json:"key"`
		Value      string `json:"value"`
		Partitions int32  `json:"partitions,omitempty"`
	}
)

func describe(t *topology.Topology) appJSON {
	a := appJSON{App: t.App}
	for _, s := range t.Subs {
		d := subJSON{Name: s.Name, Sources: s.Sources, Sends: s.Sends}
		for _, ag := range s.Agents {
			d.Agents = append(d.Agents, agentJSON{ag.Name, ag.Source, ag.Steps, ag.Uses, ag.Sends, ag.Sets, policyText(ag.Policy)})
		}
		for _, tb := range s.Tables {
			d.Tables = append(d.Tables, describeTable(t.App, tb))
		}
		for _, tm := range s.Timers {
			d.Timers = append(d.Timers, tm.Name)
		}
		a.Subs = append(a.Subs, d)
	}
	for _, g := range t.Globals {
		a.Globals = append(a.Globals, describeTable(t.App, g))
	}
	for _, name := range sortedKeys(t.Topics) {
		tp := t.Topics[name]
		a.Topics = append(a.Topics, topicJSON{name, tp.Kind.String(), tp.KeyType, tp.ValueType, tp.Partitions})
	}
	return a
}

func describeTable(app string, t *topology.Table) tableJSON {
	d := tableJSON{Name: t.Name, Topic: topology.ChangelogTopic(app, t.Name), Key: t.KeyType, Value: t.ValueType, Late: t.Late, Store: t.Store}
	if t.Global() {
		d.Topic = t.Source
	}
	if w := t.Window; w != nil {
		d.Window = &windowJSON{w.Size, w.Grace, w.Retain}
	}
	return d
}

func policyText(p topology.Policy) string {
	final := p.Final.String()
	if p.Topic != "" {
		final += " to " + p.Topic
	}
	if p.Retries == 0 {
		return final
	}
	return fmt.Sprintf("retry %d times, then %s", p.Retries, final)
}

func writeText(w io.Writer, a appJSON) error {
	var b strings.Builder
	fmt.Fprintf(&b, "application %s\n", a.App)
	for _, s := range a.Subs {
		fmt.Fprintf(&b, "\nsub-topology %s: one task for each partition of %s\n", s.Name, strings.Join(s.Sources, ", "))
		for _, ag := range s.Agents {
			fmt.Fprintf(&b, "  agent %s\n    reads %s\n", ag.Name, strings.Join(append([]string{ag.Source}, ag.Steps...), " → "))
			list(&b, "    uses ", ag.Uses)
			list(&b, "    sends to ", ag.Sends)
			list(&b, "    sets ", ag.Sets)
			fmt.Fprintf(&b, "    on error %s\n", ag.OnError)
		}
		for _, t := range s.Tables {
			fmt.Fprintf(&b, "  table %s\n", tableText(t))
		}
		for _, t := range s.Timers {
			fmt.Fprintf(&b, "  timer %s\n", t)
		}
	}
	if len(a.Globals) > 0 {
		b.WriteString("\nglobal tables, whole on every worker\n")
		for _, t := range a.Globals {
			fmt.Fprintf(&b, "  table %s\n", tableText(t))
		}
	}
	b.WriteString("\ntopics\n")
	for _, t := range a.Topics {
		fmt.Fprintf(&b, "  %s: %s, key %s, value %s", t.Name, t.Kind, t.Key, t.Value)
		if t.Partitions > 0 {
			fmt.Fprintf(&b, ", %d partitions", t.Partitions)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func list(b *strings.Builder, what string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(b, "%s%s\n", what, strings.Join(names, ", "))
	}
}

func tableText(t tableJSON) string {
	s := fmt.Sprintf("%s: key %s, value %s", t.Name, t.Key, t.Value)
	if w := t.Window; w != nil {
		s += fmt.Sprintf(", windows of %v", millis(w.SizeMS))
		if w.GraceMS > 0 {
			s += fmt.Sprintf(", grace %v", millis(w.GraceMS))
		}
		if w.RetainMS < 0 {
			s += ", kept for good"
		} else {
			s += fmt.Sprintf(", kept for %v", millis(w.RetainMS))
		}
	}
	if t.Late != "" {
		s += ", late records to " + t.Late
	}
	return s + ", in topic " + t.Topic
}
