package weir

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/core/topology"
)

// Options of declarations. An option that makes sense in several places
// implements the interface of each: KeyCodec is an option of topics, tables,
// timers and group-bys.
type (
	// A TopicOption changes a topic: KeyCodec, ValueCodec, Partitions.
	TopicOption interface{ applyTopic(t *topicDecl) }
	// A TableOption changes a table: KeyCodec, ValueCodec, Default,
	// DefaultFunc, Store, and for windowed tables Grace, Retain,
	// RetainForever, Late, OnClose, Uses, Sends, OnError.
	TableOption interface{ applyTable(t *tableDecl) }
	// A TimerOption changes a timer: KeyCodec, Uses, Sends, OnError.
	TimerOption interface{ applyTimer(t *timerDecl) }
	// An AgentOption changes an agent: Uses, Sends, Sets, OnError.
	AgentOption interface{ applyAgent(d *agentDecl) }
	// A GroupOption changes a group-by: KeyCodec, ValueCodec, Partitions,
	// OnError.
	GroupOption interface{ applyGroup(g *groupDecl) }
)

// A TableRef is a table of any type: *Table, *WindowedTable, *GlobalTable.
type TableRef interface{ tableRef() *tableDecl }

// A TopicRef is a *Topic of any type.
type TopicRef interface{ topicRef() *topicDecl }

// A TimerRef is a *Timer of any type.
type TimerRef interface{ timerRef() *timerDecl }

// KeyCodec sets the codec of keys; without it DefaultCodec finds one.
func KeyCodec[K any](c Codec[K]) KeyCodecOption { return KeyCodecOption{given(c)} }

// ValueCodec sets the codec of values; without it DefaultCodec finds one.
func ValueCodec[V any](c Codec[V]) ValueCodecOption { return ValueCodecOption{given(c)} }

// given is a codec as an option holds it: one that is nil was given too.
func given[T any](c Codec[T]) any {
	if c == nil {
		return nilCodec{}
	}
	return c
}

type nilCodec struct{}

// A KeyCodecOption is made by KeyCodec.
type KeyCodecOption struct{ codec any }

func (o KeyCodecOption) applyTopic(t *topicDecl) { t.keys = o.codec }
func (o KeyCodecOption) applyTable(t *tableDecl) { t.keys = o.codec }
func (o KeyCodecOption) applyTimer(t *timerDecl) { t.keys = o.codec }
func (o KeyCodecOption) applyGroup(g *groupDecl) { g.keys = o.codec }

// A ValueCodecOption is made by ValueCodec.
type ValueCodecOption struct{ codec any }

func (o ValueCodecOption) applyTopic(t *topicDecl) { t.values = o.codec }
func (o ValueCodecOption) applyTable(t *tableDecl) { t.values = o.codec }
func (o ValueCodecOption) applyGroup(g *groupDecl) { g.values = o.codec }

// Partitions says how many partitions a topic should have: what `topics
// create` creates, and for a group-by what weir creates. Without it a
// group-by has as many as the topic that it reads.
func Partitions(n int) PartitionsOption { return PartitionsOption{n} }

// A PartitionsOption is made by Partitions.
type PartitionsOption struct{ n int }

func (o PartitionsOption) applyTopic(t *topicDecl) { t.setPartitions(o.n) }
func (o PartitionsOption) applyGroup(g *groupDecl) { g.topic.setPartitions(o.n) }

// Uses declares the tables that a function reads or writes. Tables that an
// operator joins are declared by that.
func Uses(tables ...TableRef) UsesOption { return UsesOption{tables} }

// A UsesOption is made by Uses.
type UsesOption struct{ tables []TableRef }

func (o UsesOption) applyAgent(d *agentDecl) {
	d.spec.Uses = append(d.spec.Uses, o.names(d.app, d.where())...)
}

func (o UsesOption) applyTimer(t *timerDecl) {
	t.spec.Uses = append(t.spec.Uses, o.names(t.app, t.where())...)
}

func (o UsesOption) applyTable(t *tableDecl) {
	t.spec.CloseUses = append(t.spec.CloseUses, o.names(t.app, t.where())...)
	t.onlyWindowed("Uses")
}

func (o UsesOption) names(app *App, where string) []string {
	var names []string
	for _, ref := range o.tables {
		if d := declOf(ref, TableRef.tableRef); owned(app, d, where, "table") {
			names = append(names, d.spec.Name)
		}
	}
	return names
}

// Sends declares the topics that a function sends to.
func Sends(topics ...TopicRef) SendsOption { return SendsOption{topics} }

// A SendsOption is made by Sends.
type SendsOption struct{ topics []TopicRef }

func (o SendsOption) applyAgent(d *agentDecl) {
	d.spec.Sends = append(d.spec.Sends, o.names(d.app, d.where())...)
}

func (o SendsOption) applyTimer(t *timerDecl) {
	t.spec.Sends = append(t.spec.Sends, o.names(t.app, t.where())...)
}

func (o SendsOption) applyTable(t *tableDecl) {
	t.spec.CloseSends = append(t.spec.CloseSends, o.names(t.app, t.where())...)
	t.onlyWindowed("Sends")
}

func (o SendsOption) names(app *App, where string) []string {
	var names []string
	for _, ref := range o.topics {
		if d := declOf(ref, TopicRef.topicRef); owned(app, d, where, "topic") {
			names = append(names, d.spec.Name)
		}
	}
	return names
}

// Sets declares the timers that an agent sets or cancels.
func Sets(timers ...TimerRef) SetsOption { return SetsOption{timers} }

// A SetsOption is made by Sets.
type SetsOption struct{ timers []TimerRef }

func (o SetsOption) applyAgent(d *agentDecl) {
	for _, ref := range o.timers {
		if t := declOf(ref, TimerRef.timerRef); owned(d.app, t, d.where(), "timer") {
			d.spec.Sets = append(d.spec.Sets, t.spec.Name)
		}
	}
}

// A decl is anything declared in an application.
type decl interface {
	comparable
	owner() *App
}

// declOf resolves a reference that may be nil.
func declOf[R any, D decl](ref R, get func(R) D) (d D) {
	if any(ref) == nil {
		return d
	}
	return get(ref)
}

// owned checks that something a declaration names is there and belongs to the
// same application.
func owned[D decl](app *App, d D, where, kind string) bool {
	var none D
	switch {
	case d == none:
		app.problem(where, "was given a nil "+kind, "declare the "+kind+" before what uses it")
	case d.owner() != app:
		app.problem(where, fmt.Sprintf("uses a %s of application %q", kind, d.owner().name),
			"declare the "+kind+" in this application too")
	default:
		return true
	}
	return false
}

// OnError sets what happens when a function fails, panics or gets a record
// that cannot be decoded.
func OnError(p Policy) OnErrorOption { return OnErrorOption{p} }

// An OnErrorOption is made by OnError.
type OnErrorOption struct{ policy Policy }

func (o OnErrorOption) applyApp(a *App) { a.setPolicy(o.policy, a.where()) }
func (o OnErrorOption) applyAgent(d *agentDecl) {
	d.spec.Policy = d.app.checked(o.policy, d.where())
}
func (o OnErrorOption) applyGroup(g *groupDecl) { o.applyAgent(g.agent) }
func (o OnErrorOption) applyTimer(t *timerDecl) {
	t.spec.Policy = t.app.checked(o.policy, t.where())
}
func (o OnErrorOption) applyTable(t *tableDecl) {
	t.spec.Policy = t.app.checked(o.policy, t.where())
	t.onlyWindowed("OnError")
}

// millis converts a duration that a user gave, which must be whole
// milliseconds, the resolution of event time.
func millis(app *App, where, what string, d time.Duration) int64 {
	if d%time.Millisecond != 0 {
		app.problem(where, fmt.Sprintf("%s %v is not a whole number of milliseconds", what, d),
			"event time has a resolution of one millisecond; round it")
	}
	return d.Milliseconds()
}

// A Policy says what happens to a record whose handling failed. Build one
// with Retry, Skip, Stop and DeadLetter.
type Policy struct {
	spec    topology.Policy
	mistake string
}

// DefaultPolicy tries 4 more times within a second and then stops the
// partition.
func DefaultPolicy() Policy { return Retry(4, 50*time.Millisecond, time.Second) }

// Retry tries a record n more times, waiting backoff before the first and
// twice as long before each further attempt, up to limit (0: it stays the same).
// Records behind it wait. What follows is Stop unless Then says otherwise:
//
//	weir.Retry(5, 100*time.Millisecond, 10*time.Second).Then(weir.DeadLetter("flights-dead"))
func Retry(n int, backoff, limit time.Duration) Policy {
	return Policy{spec: topology.Policy{Retries: n, Backoff: backoff, MaxBackoff: limit}}
}

// Skip drops the record, logs it and counts it.
func Skip() Policy { return Policy{spec: topology.Policy{Final: topology.Skip}} }

// Stop stops the partition, loudly, and keeps the record: it is processed
// again after a restart.
func Stop() Policy { return Policy{spec: topology.Policy{Final: topology.Stop}} }

// DeadLetter sends the original key, value and headers to a topic, with the
// error, its stack and where the record came from in headers. The topic needs
// no declaration.
func DeadLetter(topic string) Policy {
	return Policy{spec: topology.Policy{Final: topology.DeadLetter, Topic: topic}}
}

// Then sets what follows when the attempts of p are used up: Skip, Stop or
// DeadLetter.
func (p Policy) Then(final Policy) Policy {
	if final.spec.Retries != 0 {
		p.mistake = "has a policy that retries after retrying"
	}
	if final.mistake != "" {
		p.mistake = final.mistake
	}
	p.spec.Final, p.spec.Topic = final.spec.Final, final.spec.Topic
	return p
}
