package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
)

// An ApplicationFactory puts a transport and a store together.
type ApplicationFactory struct {
	// Name of the two, for messages.
	Name string
	// Transport makes clusters, as TransportFactory.New does.
	Transport func(tb TB) TransportPlace
	// Store makes empty places for stores, as StoreFactory.New does: one for
	// every worker, and another when a worker loses its own.
	Store func(tb TB) StorePlace
	// Can lists capabilities: Reopens is the only one that matters here.
	// Without it a worker that comes back finds its store empty.
	Can []Capability
	// Cases are run besides ApplicationCases.
	Cases []ApplicationCase
	// Patience is how long a run may take before it counts as hung.
	// Default: two minutes.
	Patience time.Duration
	// Logger hears of what workers say; nil discards it.
	Logger *slog.Logger
}

// An ApplicationCase is an application whose result is known.
type ApplicationCase struct {
	Name string
	// Build declares the application. It passes every name of the
	// application and of topics through name, as a cluster may be shared.
	Build func(name func(string) string) *weir.App
	// App is the name of the application, before name.
	App string
	// Topics are the external topics, with their partitions.
	Topics map[string]int32
	// Before is input that is there before the first worker starts, as that
	// of global tables: workers have read it before they handle anything.
	Before []record.Record
	// Phases are the rest of it, four at least. A phase is sent when what Want
	// says of those before is there. Records go to the partition of their key.
	// Workers crash over each phase: it changes what a store keeps, and what it
	// has for a topic it has for each partition.
	Phases [][]record.Record
	// Want is what a plain pass over the input finds. It names all topics and
	// tables that it knows of for any input, for none too.
	Want func(input []record.Record) Known
	// Idempotent says that handling an input twice leaves tables as they
	// are and only repeats outputs, which may come in any order. Others tell
	// and hold numbers (int64 by the default codec) that grow with every
	// record: exactly once in order, at least once perhaps too large.
	Idempotent bool
	// Exceeds reports whether at least once a table may hold an entry where
	// want is right, because inputs were handled twice. Default: when it is
	// larger, byte by byte; of applications that are idempotent never.
	Exceeds func(table, got, want string) bool
}

// A Known is the result of an application: of topics the values of each key,
// in order; of tables the value of each key. All are encoded.
type Known struct {
	Topics map[string]map[string][]string
	Tables map[string]map[string]string
}

// validate reports all that is wrong with a case, beside its results.
func (c *ApplicationCase) validate() error {
	var errs []error
	if len(c.Phases) < int(moments) {
		errs = append(errs, fmt.Errorf("it has %d phases: want %d at least, one for each moment at which a worker crashes", len(c.Phases), moments))
	}
	for i, phase := range c.Phases {
		has := make(map[string]map[int32]bool)
		for _, r := range phase {
			n := c.Topics[r.Topic]
			if n == 0 {
				errs = append(errs, fmt.Errorf("phase %d has input for %s, which is not in Topics", i, r.Topic))
				continue
			}
			if has[r.Topic] == nil {
				has[r.Topic] = make(map[int32]bool)
			}
			has[r.Topic][record.Partition(r.Key, n)] = true
		}
		for _, topic := range sortedKeys(has) {
			if n := c.Topics[topic]; len(has[topic]) < int(n) {
				errs = append(errs, fmt.Errorf("phase %d has input for %d of the %d partitions of %s: want some for each, or a worker has nothing to crash over", i, len(has[topic]), n, topic))
			}
		}
	}
	return errors.Join(errs...)
}

// An ApplicationRun is one case under one guarantee, with what happens to its
// workers.
type ApplicationRun struct {
	Name      string
	Case      ApplicationCase
	Guarantee runtime.Guarantee
	play      func(a *stage)
}

// Run plays it.
func (r ApplicationRun) Run(tb TB, f ApplicationFactory) {
	a := newStage(tb, f, r)
	r.play(a)
	a.finish()
}

// ApplicationRuns returns the suite: the cases of the factory and of
// ApplicationCases, each under both guarantees and with every kind of trouble.
func ApplicationRuns(f ApplicationFactory) []ApplicationRun {
	var runs []ApplicationRun
	for _, c := range slices.Concat(ApplicationCases(), f.Cases) {
		for _, g := range []runtime.Guarantee{runtime.ExactlyOnce, runtime.AtLeastOnce} {
			for _, trouble := range troubles() {
				runs = append(runs, ApplicationRun{Name: fmt.Sprintf("%s/%v/%s", c.Name, g, trouble.name), Case: c, Guarantee: g, play: trouble.play})
			}
		}
	}
	return runs
}

// Application runs small applications with known results through a transport
// and a store, with the production worker, and crashes it. Runs are parallel.
func Application(t *testing.T, f ApplicationFactory) {
	t.Helper()
	t.Run("application", func(t *testing.T) {
		for _, r := range ApplicationRuns(f) {
			t.Run(r.Name, func(t *testing.T) {
				t.Parallel()
				r.Run(t, f)
			})
		}
	})
	has := func(c Capability) bool { return slices.Contains(f.Can, c) }
	report(t, f.Name, []Capability{Reopens}, has, nil)
}

// A stage is where an application plays.
type stage struct {
	TB

	f     ApplicationFactory
	run   ApplicationRun
	ctx   context.Context // ends when patience is over
	wire  *wire
	sent  []record.Record
	phase int
	told  *audience
	input runtime.Producer
	all   []*actor
}

func newStage(tb TB, f ApplicationFactory, r ApplicationRun) *stage {
	tb.Helper()
	if err := r.Case.validate(); err != nil {
		tb.Fatalf("the case %s is not usable: %v", r.Case.Name, err)
	}
	patience := f.Patience
	if patience == 0 {
		patience = 2 * time.Minute
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	a := &stage{TB: tb, f: f, run: r}
	var cancel context.CancelFunc
	a.ctx, cancel = context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	a.wire = &wire{TB: tb, ctx: a.ctx, place: f.Transport(tb), now: time.Now().UnixMilli()}
	a.wire.tr = a.wire.connect()
	for _, topic := range sortedKeys(r.Case.Topics) {
		// Event times are in the past, where a broker would soon delete
		// what it kept by age.
		a.wire.topic(topic, r.Case.Topics[topic], "retention.ms", "-1")
	}
	a.input = a.wire.producer("")
	a.told = newAudience(a)
	a.put(r.Case.Before)
	return a
}

// send sends the next phase.
func (a *stage) send() {
	a.Helper()
	phase := a.run.Case.Phases[a.phase]
	a.phase++
	a.put(phase)
}

// put sends records.
func (a *stage) put(records []record.Record) {
	a.Helper()
	for chunk := range slices.Chunk(records, 50) {
		out := slices.Clone(chunk)
		for i := range out {
			out[i].Partition = record.Partition(out[i].Key, a.run.Case.Topics[out[i].Topic])
			out[i].Topic = a.wire.name(out[i].Topic)
		}
		a.wire.send(a.input, out)
	}
	a.sent = append(a.sent, records...)
}

// settle waits until the result of all that was sent is there.
func (a *stage) settle() {
	a.Helper()
	a.told.await(a.run.Case.Want(a.sent))
}

// rest sends all phases that are left.
func (a *stage) rest() {
	a.Helper()
	for a.phase < len(a.run.Case.Phases) {
		a.send()
		a.settle()
	}
}

// finish stops all workers in good order and compares: nothing is missing,
// and nothing came too much.
func (a *stage) finish() {
	a.Helper()
	a.rest()
	for _, w := range a.all {
		w.stop()
	}
	a.told.compare(a.run.Case.Want(a.sent))
}

// open opens a store of a place.
func (a *stage) open(place StorePlace) store.Store {
	a.Helper()
	s, err := place.Open()
	a.wire.ok(err)
	return s
}
