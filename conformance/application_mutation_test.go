package conformance_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/memory"
	"github.com/weirstream/weir/transports/memory/memorytest"
)

// An applicationMutation is a wrong transport or a wrong store, with the runs
// that must find it.
type applicationMutation struct {
	transport fault
	store     mutation
	by        []string
}

func applicationMutations() map[string]applicationMutation {
	return map[string]applicationMutation{
		"position ahead of data": {store: mutation{
			apply: func(s *mutant, b *store.Batch) error {
				s.before, s.held = s.Snapshot(), conformance.PartsOf(b, func(from store.Part, to *store.Part) { to.Position = from.Position })
				return s.write(b)
			},
			close: func(s *mutant) error {
				if s.before == nil {
					return s.closeInner()
				}
				for _, p := range s.held.Parts() {
					if _, _, err := s.before.Open(p.Space, p.Generation); err != nil {
						return err
					}
				}
				err := s.before.Apply(s.held)
				s.disk.mu.Lock()
				s.disk.kept, s.disk.open = s.before.Snapshot(), nil
				s.disk.mu.Unlock()
				return err
			},
		}, by: []string{"count/exactly-once/crash", "flights/exactly-once/crash"}},

		"an entry is lost in the store": {store: mutation{apply: func(s *mutant, b *store.Batch) error {
			return s.write(conformance.PartsOf(b, func(from store.Part, to *store.Part) {
				to.Position = from.Position
				first := true
				conformance.AddOps(from, to, func(store.Op) bool { was := first; first = false; return !was })
			}))
		}}, by: []string{"count/exactly-once/crash", "count/at-least-once/crash", "flights/exactly-once/crash", "flights/at-least-once/crash"}},

		"restore begins at the wrong offset": {transport: fault{set: func(f *faultyFetcher, at map[record.TopicPartition]int64) {
			to := make(map[record.TopicPartition]int64)
			for tp, from := range at {
				if r, err := f.t.b.Range(tp); f.restores && strings.HasSuffix(tp.Topic, "-changelog") && err == nil && from < r.End {
					from = min(from+20, r.End)
				}
				to[tp] = from
			}
			f.Fetcher.Set(to)
		}}, by: []string{"count/exactly-once/crash-and-empty-store", "count/at-least-once/crash-and-empty-store",
			"flights/exactly-once/crash-and-empty-store", "flights/at-least-once/crash-and-empty-store",
		}},

		"changelogs are not written": {transport: changed(func(c *runtime.Commit) {
			for i := range c.Records {
				c.Records[i] = slices.DeleteFunc(c.Records[i], func(r record.Record) bool { return strings.HasSuffix(r.Topic, "-changelog") })
			}
		}), by: []string{"count/exactly-once/none", "join/at-least-once/none", "flights/at-least-once/none"}},

		"offsets are forgotten": {transport: changed(func(c *runtime.Commit) { c.Offsets = nil }), by: []string{
			"count/exactly-once/crash", "dead-letters/exactly-once/crash", "flights/exactly-once/crash",
		}},

		"offsets run ahead": {transport: changed(func(c *runtime.Commit) {
			ahead := make(map[record.TopicPartition]runtime.Offset)
			for tp, o := range c.Offsets {
				ahead[tp] = runtime.Offset{At: o.At + 1, Metadata: o.Metadata}
			}
			c.Offsets = ahead
		}), by: []string{"count/exactly-once/crash", "count/at-least-once/crash"}},

		"the outcome of a round is guessed": {transport: answered(func(p *faultyProducer, c runtime.Commit, res runtime.Result) runtime.Result {
			if res.Outcome == runtime.Fenced {
				p.append(c.Records)
				return runtime.Result{Outcome: runtime.Committed, Next: map[record.TopicPartition]int64{}}
			}
			return res
		}), by: []string{"count/exactly-once/fenced"}},

		"producers fence nobody": {transport: fault{producer: func(t *faulty, ctx context.Context, id string) (runtime.Producer, error) {
			if id != "" {
				t.ids++
				id += time.Now().String()
			}
			return t.Transport.Producer(ctx, id)
		}}, by: []string{"count/exactly-once/fenced"}},

		"outputs change their order": {transport: changed(func(c *runtime.Commit) {
			for _, rs := range c.Records {
				slices.Reverse(rs)
			}
		}), by: []string{"count/exactly-once/none"}},

		"a record is dropped": {transport: changed(func(c *runtime.Commit) {
			for i, rs := range c.Records {
				if len(rs) > 2 {
					c.Records[i] = slices.Delete(rs, 1, 2)
				}
			}
		}), by: []string{"count/exactly-once/none", "windows/at-least-once/none", "timers/at-least-once/none", "flights/exactly-once/none", "flights/at-least-once/none"}},
	}
}

// wrongFactory is a factory with a wrong transport or a wrong store.
func wrongFactory(m applicationMutation, patience time.Duration) conformance.ApplicationFactory {
	f := onMemory("wrong", func(conformance.TB) conformance.StorePlace {
		return (&memoryDisk{does: m.store, kept: newKept()}).place()
	}, conformance.Reopens)
	f.Patience = patience
	f.Transport = func(conformance.TB) conformance.TransportPlace {
		b := memory.NewBroker()
		p, first := memorytest.Place(b), true
		p.Connect = func() (runtime.Transport, error) {
			tr, err := memory.New(memory.Config{Broker: b})
			if first { // the suite's own
				first = false
				return tr, err
			}
			return &faulty{Transport: tr, b: b, does: m.transport}, err
		}
		return p
	}
	return f
}

// TestApplicationMutations plants a fault in a store or a transport: the runs
// that are named find it.
func TestApplicationMutations(t *testing.T) {
	t.Parallel()
	for name, m := range applicationMutations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := wrongFactory(m, 15*time.Second)
			runs := conformance.ApplicationRuns(f)
			// At once: most of them wait until patience is over.
			var all sync.WaitGroup
			defer all.Wait()
			for _, by := range m.by {
				i := slices.IndexFunc(runs, func(r conformance.ApplicationRun) bool { return r.Name == by })
				if i < 0 {
					t.Errorf("there is no run %s", by)
					continue
				}
				all.Go(func() {
					r := conformance.Record(by, func(tb conformance.TB) { runs[i].Run(tb, f) })
					if !r.Failed() {
						t.Errorf("%s does not find it", by)
						return
					}
					t.Logf("%s: %.300s", by, r.Messages()[0])
				})
			}
		})
	}
}

// TestNoApplicationMutation is the other half: the same runs find nothing in
// the transport and the store that the faults were planted in.
func TestNoApplicationMutation(t *testing.T) {
	t.Parallel()
	var named []string
	for _, m := range applicationMutations() {
		named = append(named, m.by...)
	}
	f := wrongFactory(applicationMutation{}, 2*time.Minute)
	for _, r := range conformance.ApplicationRuns(f) {
		if slices.Contains(named, r.Name) {
			t.Run(r.Name, func(t *testing.T) {
				t.Parallel()
				r.Run(t, f)
			})
		}
	}
}
