package weir

import (
	"fmt"
	"slices"
	"sync"

	"github.com/weirstream/weir/core/topology"
)

// An App is one application: what was declared under one name. Declare
// everything before the application is built or run, usually in package
// variables and init functions; declaring is not safe for concurrent use,
// everything afterwards is.
type App struct {
	name     string
	policy   topology.Policy
	topics   []*topicDecl
	tables   []*tableDecl
	timers   []*timerDecl
	agents   []*agentDecl
	problems []topology.Problem
	engines  sync.Pool
}

// An AppOption changes an application as a whole.
type AppOption interface{ applyApp(a *App) }

// NewApp returns an empty application. Its name is the consumer group and the
// prefix of every internal topic: changing it means starting from nothing.
//
// OnError as an option sets the policy of every agent, timer and table that
// has none of its own; without it that is DefaultPolicy.
func NewApp(name string, opts ...AppOption) *App {
	a := &App{name: name}
	a.setPolicy(DefaultPolicy(), a.where())
	for _, o := range opts {
		o.applyApp(a)
	}
	return a
}

// Name returns the application's name.
func (a *App) Name() string { return a.name }

// Build checks the application and returns its topology, or everything that
// is wrong with it as one *topology.Error.
func (a *App) Build() (*topology.Topology, error) { return topology.Build(a.Graph()) }

// Graph returns the application as it was declared, unchecked.
func (a *App) Graph() topology.Graph {
	g := topology.Graph{App: a.name, Problems: slices.Clone(a.problems)}
	for _, t := range a.topics {
		g.Topics = append(g.Topics, t.spec)
	}
	for _, t := range a.tables {
		g.Tables = append(g.Tables, t.spec)
	}
	for _, t := range a.timers {
		g.Timers = append(g.Timers, t.spec)
	}
	for _, d := range a.agents {
		g.Agents = append(g.Agents, d.spec)
	}
	a.addByName(&g)
	return g
}

// addByName adds the topics that are only named, by DeadLetter and Late, with
// the bytes of the original record in them.
func (a *App) addByName(g *topology.Graph) {
	add := func(name string) {
		known := func(t topology.Topic) bool { return t.Name == name }
		if name != "" && !slices.ContainsFunc(g.Topics, known) {
			g.Topics = append(g.Topics, topology.Topic{Name: name, KeyType: "bytes", ValueType: "bytes"})
		}
	}
	for _, t := range a.tables {
		add(t.spec.Late)
		add(t.spec.Policy.Topic)
	}
	for _, t := range a.timers {
		add(t.spec.Policy.Topic)
	}
	for _, d := range a.agents {
		add(d.spec.Policy.Topic)
	}
}

func (a *App) where() string { return fmt.Sprintf("application %q", a.name) }

func (a *App) problem(where, what, fix string) {
	p := topology.Problem{Where: where, What: what, Fix: fix}
	if !slices.Contains(a.problems, p) {
		a.problems = append(a.problems, p)
	}
}

func (a *App) setPolicy(p Policy, where string) { a.policy = a.checked(p, where) }

// checked returns the policy for the graph and reports what is wrong with how
// it was put together.
func (a *App) checked(p Policy, where string) topology.Policy {
	if p.mistake != "" {
		a.problem(where, p.mistake, "write it as Retry(n, backoff, max).Then(DeadLetter(topic))")
	}
	return p.spec
}

// orDetached returns the application, or when a declaration was given none, a
// detached one that takes the mistake: declarations never panic.
func orDetached(a *App, where string) *App {
	if a != nil {
		return a
	}
	a = NewApp("")
	a.problem(where, "was declared without an application", "pass the *weir.App as the first argument")
	return a
}
