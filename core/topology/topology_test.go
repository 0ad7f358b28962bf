package topology_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
)

// TestTopology runs the scripts in testdata. Commands:
//
//	build         the graph in the input, one declaration on a line:
//	              KIND NAME [option=value,value]...
//	              prints the sub-topologies or all problems
//	render        format=F of the last topology that was built
//	plan          topic=N ... against these partition counts
func TestTopology(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var built *topology.Topology
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "build":
				top, err := topology.Build(parse(t, d))
				built = top
				return outcome(t, top, err)
			case "render":
				var format string
				d.ScanArgs(t, "format", &format)
				out, err := built.Render(format)
				if err != nil {
					return err.Error() + "\n"
				}
				again, _ := built.Render(format)
				if again != out {
					d.Fatalf(t, "rendering twice gives different bytes")
				}
				return out
			case "plan":
				return plan(t, d, built)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func outcome(t *testing.T, top *topology.Topology, err error) string {
	if err != nil {
		var e *topology.Error
		if !errors.As(err, &e) || top != nil {
			t.Fatalf("Build gave %v, %T", top, err)
		}
		return e.Error() + "\n"
	}
	var b strings.Builder
	for _, s := range top.Subs {
		var agents []string
		for _, a := range s.Agents {
			agents = append(agents, a.Name)
		}
		fmt.Fprintf(&b, "%s: sources=%v agents=%v stores=%v sends=%v\n", s.Name, s.Sources, agents, s.Stores(), s.Sends)
	}
	for _, g := range top.Globals {
		fmt.Fprintf(&b, "global %s of %s\n", g.Name, g.Source)
	}
	return b.String()
}

func plan(t *testing.T, d *datadriven.TestData, top *topology.Topology) string {
	actual := make(map[string]int32)
	for _, arg := range d.CmdArgs {
		n, err := strconv.Atoi(arg.Vals[0])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		actual[arg.Key] = int32(n)
	}
	internal, problems := top.Plan(actual)
	var b strings.Builder
	for _, i := range internal {
		fmt.Fprintf(&b, "%s %s partitions=%d cleanup.policy=%s\n", i.Kind, i.Name, i.Partitions, i.Config["cleanup.policy"])
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "problem: %s\n", p)
	}
	return b.String()
}

type processor struct{}

func (processor) Process(topology.Context, *record.Record) error { return nil }

// options are those of one declaration.
type options struct {
	t    *testing.T
	d    *datadriven.TestData
	vals map[string][]string
}

func (o options) list(name string) []string { return o.vals[name] }

func (o options) one(name string) string {
	if v := o.vals[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (o options) has(name string) bool { _, ok := o.vals[name]; return ok }

func (o options) int(name string) int64 {
	s := o.one(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		o.d.Fatalf(o.t, "%s: %v", name, err)
	}
	return n
}

func (o options) policy() topology.Policy {
	p := topology.Policy{Retries: int(o.int("retries")), Topic: o.one("dead")}
	p.Backoff = time.Duration(o.int("backoff")) * time.Millisecond
	p.MaxBackoff = time.Duration(o.int("max")) * time.Millisecond
	if o.has("dead") {
		p.Final = topology.DeadLetter
	}
	if o.has("skip") {
		p.Final = topology.Skip
	}
	return p
}

// parse reads a graph. A name given as ~ is empty, and ~N is N letters long.
func parse(t *testing.T, d *datadriven.TestData) topology.Graph {
	var g topology.Graph
	for line := range strings.Lines(d.Input) {
		fields := strings.Fields(line)
		o := options{t, d, make(map[string][]string)}
		for _, f := range fields[2:] {
			k, v, _ := strings.Cut(f, "=")
			o.vals[k] = slices.DeleteFunc(strings.Split(v, ","), func(s string) bool { return s == "" })
		}
		if !declare(&g, fields[0], name(fields[1]), o) {
			d.Fatalf(t, "unknown declaration %q", fields[0])
		}
	}
	return g
}

func name(s string) string {
	if n, ok := strings.CutPrefix(s, "~"); ok {
		count, _ := strconv.Atoi(n)
		return strings.Repeat("n", count)
	}
	return s
}

func declare(g *topology.Graph, kind, name string, o options) bool {
	switch kind {
	case "app":
		g.App = name
	case "topic":
		g.Topics = append(g.Topics, topology.Topic{Name: name, Partitions: int32(o.int("partitions")), KeyType: o.one("key"), ValueType: o.one("value")})
	case "group-by":
		g.Topics = append(g.Topics, topology.Topic{Name: topology.RepartitionTopic(g.App, name), Kind: topology.Repartition, From: o.one("from"), Partitions: int32(o.int("partitions"))})
		g.Agents = append(g.Agents, topology.Agent{Name: name, Source: o.one("from"), Sends: []string{topology.RepartitionTopic(g.App, name)}, Uses: o.list("uses"), New: newProcessor})
	case "table":
		g.Tables = append(g.Tables, table(name, o))
	case "timer":
		m := topology.Timer{Name: name, Uses: o.list("uses"), Sends: o.list("sends"), Policy: o.policy()}
		if !o.has("nil") {
			m.Fire = func(topology.Context, []byte) error { return nil }
		}
		g.Timers = append(g.Timers, m)
	case "agent":
		a := topology.Agent{Name: name, Source: o.one("source"), Steps: o.list("steps"), Uses: o.list("uses"), Sends: o.list("sends"), Sets: o.list("sets"), Policy: o.policy()}
		if !o.has("nil") {
			a.New = newProcessor
		}
		g.Agents = append(g.Agents, a)
	case "problem":
		g.Problems = append(g.Problems, topology.Problem{Where: name, What: o.one("what"), Fix: o.one("fix")})
	default:
		return false
	}
	return true
}

func newProcessor() topology.Processor { return processor{} }

func table(name string, o options) topology.Table {
	t := topology.Table{Name: name, Source: o.one("source"), Late: o.one("late"), Store: o.one("store"), CloseUses: o.list("close-uses"), CloseSends: o.list("close-sends"), KeyType: "string", ValueType: "json", Policy: o.policy()}
	if o.has("window") {
		t.Window = &topology.Window{Size: o.int("window"), Grace: o.int("grace"), Retain: o.int("retain")}
	}
	if o.has("on-close") {
		t.OnClose = func(topology.Context, int64, []byte, []byte) error { return nil }
	}
	return t
}
