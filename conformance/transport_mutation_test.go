package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A transportMutation is a fault with checks that must find it.
type transportMutation struct {
	does fault
	by   []string
}

type parts = []record.TopicPartition

// changed is a fault of what a round sends.
func changed(change func(c *runtime.Commit)) fault {
	return fault{commit: func(p *faultyProducer, ctx context.Context, c runtime.Commit) runtime.Result {
		c = cloned(c)
		change(&c)
		return p.Producer.Commit(ctx, c)
	}}
}

// answered is a fault of what a round results in.
func answered(change func(p *faultyProducer, c runtime.Commit, res runtime.Result) runtime.Result) fault {
	return fault{commit: func(p *faultyProducer, ctx context.Context, c runtime.Commit) runtime.Result {
		return change(p, c, p.Producer.Commit(ctx, c))
	}}
}

func writingFaults() map[string]transportMutation {
	return map[string]transportMutation{
		"drops a record": {changed(func(c *runtime.Commit) {
			for i, rs := range c.Records {
				if len(rs) > 2 {
					c.Records[i] = slices.Delete(rs, 1, 2)
				}
			}
		}), []string{"log/order", "log/fields"}},

		"reorders": {changed(func(c *runtime.Commit) {
			for _, rs := range c.Records {
				slices.Reverse(rs)
			}
		}), []string{"log/order", "commit/transaction"}},

		"shows aborted records": {answered(func(p *faultyProducer, c runtime.Commit, res runtime.Result) runtime.Result {
			if res.Outcome == runtime.Aborted && c.Claim != nil {
				p.append(c.Records)
			}
			return res
		}), []string{"commit/claim-refused", "log/markers-at-end", "log/aborted-in-full-answers"}},

		"accepts a fenced producer": {answered(func(p *faultyProducer, c runtime.Commit, res runtime.Result) runtime.Result {
			if res.Outcome == runtime.Fenced {
				p.append(c.Records)
				return runtime.Result{Outcome: runtime.Committed}
			}
			return res
		}), []string{"commit/producer-fenced"}},

		"offsets before the transaction": {fault{commit: func(p *faultyProducer, ctx context.Context, c runtime.Commit) runtime.Result {
			p.offsets(c)
			return p.Producer.Commit(ctx, c)
		}}, []string{"commit/offsets-with-records", "commit/idempotent", "commit/unknown-not-applied"}},

		"offsets are forgotten": {changed(func(c *runtime.Commit) { c.Offsets = nil }), []string{"commit/offsets-with-records", "commit/offsets-only"}},

		"metadata is forgotten": {changed(func(c *runtime.Commit) {
			c.Offsets = maps.Clone(c.Offsets)
			for tp, o := range c.Offsets {
				c.Offsets[tp] = runtime.Offset{At: o.At}
			}
		}), []string{"commit/offsets-with-records", "commit/idempotent"}},

		"zombies are accepted": {answered(func(p *faultyProducer, c runtime.Commit, res runtime.Result) runtime.Result {
			if res.Outcome != runtime.Committed && p.g != nil {
				p.offsets(c)
			}
			return res
		}), []string{"group/zombie", "group/generation"}},

		"the claim is not asked": {changed(func(c *runtime.Commit) { c.Claim = nil }), []string{"commit/claim-refused", "group/generation"}},

		"the claim is asked once": {fault{commit: func(p *faultyProducer, ctx context.Context, c runtime.Commit) runtime.Result {
			if claim := c.Claim; claim != nil {
				asked := false
				c.Claim = func() error {
					if asked {
						return nil
					}
					asked = true
					return claim()
				}
			}
			return p.Producer.Commit(ctx, c)
		}}, []string{"group/generation"}},

		"markers count as records": {answered(func(p *faultyProducer, _ runtime.Commit, res runtime.Result) runtime.Result {
			if p.id != "" {
				for tp := range res.Next {
					res.Next[tp]++
				}
			}
			return res
		}), []string{"commit/transaction"}},

		"unknown taken for aborted": {answered(func(_ *faultyProducer, _ runtime.Commit, res runtime.Result) runtime.Result {
			if res.Outcome == runtime.Unknown {
				res.Outcome = runtime.Aborted
			}
			return res
		}), []string{"commit/unknown-applied", "commit/idempotent"}},

		"unknown taken for committed": {answered(func(_ *faultyProducer, _ runtime.Commit, res runtime.Result) runtime.Result {
			if res.Outcome == runtime.Unknown {
				return runtime.Result{Outcome: runtime.Committed}
			}
			return res
		}), []string{"commit/unknown-not-applied", "commit/idempotent"}},

		"producers fence nobody": {fault{producer: func(t *faulty, ctx context.Context, id string) (runtime.Producer, error) {
			if id != "" {
				t.ids++
				id = fmt.Sprintf("%s-%p-%d", id, t, t.ids)
			}
			return t.Transport.Producer(ctx, id)
		}}, []string{"commit/producer-fenced", "commit/successor-aborts"}},
	}
}

func readingFaults() map[string]transportMutation {
	return map[string]transportMutation{
		"reads to the high watermark": {fault{poll: func(f *faultyFetcher, ctx context.Context, _ int) []runtime.Batch {
			return f.uncommitted(ctx)
		}}, []string{"log/end-offsets", "commit/transaction", "log/foreign-transaction", "log/markers-at-end"}},

		"next is the high watermark": {fault{poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
			batches := f.Fetcher.Poll(ctx, limit)
			for i := range batches {
				if b := &batches[i]; b.Err == nil {
					b.Next = b.HighWatermark
					f.Fetcher.Set(map[record.TopicPartition]int64{b.TP: b.Next})
				}
			}
			return batches
		}}, []string{"log/end-offsets", "fetch/limit"}},

		"a reader that lags is said to have it all": {fault{poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
			batches := f.Fetcher.Poll(ctx, limit)
			for i := range batches {
				batches[i].Whole = time.Now()
			}
			return batches
		}}, []string{"fetch/whole"}},

		"a reader that was cut off is said to have looked all the time": {fault{poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
			batches := f.Fetcher.Poll(ctx, limit)
			for i := range batches {
				batches[i].Before = batches[i].Read
			}
			return batches
		}}, []string{"fetch/before"}},

		"a reader with nothing to read never hears so": {fault{poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
			for {
				batches := slices.DeleteFunc(f.Fetcher.Poll(ctx, limit), func(b runtime.Batch) bool { return b.Err == nil && len(b.Records) == 0 })
				if len(batches) > 0 || ctx.Err() != nil {
					return batches
				}
			}
		}}, []string{"fetch/idle"}},

		"a reader that met the end does not know it": {fault{poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
			batches := f.Fetcher.Poll(ctx, limit)
			for i := range batches {
				batches[i].Before = time.Time{}
			}
			return batches
		}}, []string{"fetch/before"}},

		"next stops before markers": {fault{poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
			var kept []runtime.Batch
			for _, b := range f.Fetcher.Poll(ctx, limit) {
				if n := len(b.Records); n > 0 || b.Err != nil {
					if n > 0 {
						b.Next = b.Records[n-1].Offset + 1
					}
					kept = append(kept, b)
				}
			}
			return kept
		}}, []string{"log/markers-at-end", "log/end-offsets"}},

		"loses what was fetched before a pause": {fault{pause: func(f *faultyFetcher, ps parts) {
			lost := f.now(3)
			f.Fetcher.Pause(ps)
			for _, b := range lost {
				if !slices.Contains(ps, b.TP) {
					f.Fetcher.Set(map[record.TopicPartition]int64{b.TP: f.at[b.TP]})
				}
			}
		}}, []string{"fetch/pauses", "fetch/pause-loses-nothing"}},

		"repeats a record after a pause": {fault{resume: func(f *faultyFetcher, ps parts) {
			f.Fetcher.Resume(ps)
			for _, tp := range ps {
				if at, ok := f.at[tp]; ok && at > 0 {
					f.Fetcher.Set(map[record.TopicPartition]int64{tp: at - 1})
				}
			}
		}}, []string{"fetch/pause-loses-nothing"}},

		"pauses nothing": {fault{pause: func(*faultyFetcher, parts) {}}, []string{"fetch/pauses", "fetch/pause-loses-nothing"}},

		"a pause outlives Set": {fault{
			pause: func(f *faultyFetcher, ps parts) {
				f.Fetcher.Pause(ps)
				for _, tp := range ps {
					f.paused[tp] = true
				}
			},
			set: func(f *faultyFetcher, at map[record.TopicPartition]int64) {
				f.Fetcher.Set(at)
				for tp := range at {
					if f.paused[tp] {
						f.Fetcher.Pause(parts{tp})
					}
				}
			},
		}, []string{"fetch/set-ends-a-pause"}},

		"Set lets old records through": {fault{
			set: func(f *faultyFetcher, at map[record.TopicPartition]int64) {
				f.stash = append(f.stash, f.now(2)...)
				f.Fetcher.Set(at)
			},
			poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
				if old := f.stash; len(old) > 0 {
					f.stash = nil
					return old
				}
				return f.Fetcher.Poll(ctx, limit)
			},
		}, []string{"fetch/set-drops-what-came"}},

		"out of range begins anew": {fault{poll: func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch {
			batches := f.Fetcher.Poll(ctx, limit)
			for i := range batches {
				if b := &batches[i]; errors.Is(b.Err, runtime.ErrOffsetOutOfRange) {
					r, _ := f.t.b.Range(b.TP)
					b.Err, b.Next = nil, r.Start
					f.Fetcher.Set(map[record.TopicPartition]int64{b.TP: r.Start})
				}
			}
			return batches
		}}, []string{"fetch/out-of-range", "log/start-after-deletion"}},

		"no limit": {fault{poll: func(f *faultyFetcher, ctx context.Context, _ int) []runtime.Batch {
			return f.Fetcher.Poll(ctx, 0)
		}}, []string{"fetch/limit"}},
	}
}

func groupFaults() map[string]transportMutation {
	return map[string]transportMutation{
		"pending offsets are not waited for": {fault{committed: func(g *faultyGroup, _ context.Context, ps parts) (map[record.TopicPartition]runtime.Offset, error) {
			offsets, _ := g.t.b.Committed(g.name, ps...)
			return offsets, nil
		}}, []string{"group/pending-offsets"}},

		"an uncommitted offset is zero": {fault{committed: func(g *faultyGroup, ctx context.Context, ps parts) (map[record.TopicPartition]runtime.Offset, error) {
			offsets, err := g.Group.Committed(ctx, ps)
			for _, tp := range ps {
				if _, ok := offsets[tp]; !ok && err == nil {
					offsets[tp] = runtime.Offset{}
				}
			}
			return offsets, err
		}}, []string{"group/of-one", "commit/producer-fenced"}},

		"lost instead of revoked": {fault{listener: func(l runtime.Listener) runtime.Listener { return lossy{l} }}, []string{"group/cooperative", "group/commits-until-revoked"}},

		"leaving is forgotten": {fault{leave: func(*faultyGroup, context.Context) error { return nil }}, []string{"group/cooperative", "group/leave-is-silent"}},
	}
}

// TestTransportMutations plants a fault in a transport, one at a time: every
// check that is named finds it.
func TestTransportMutations(t *testing.T) {
	t.Parallel()
	checks := make(map[string]conformance.TransportCheck)
	for _, c := range conformance.TransportChecks() {
		checks[c.Name] = c
	}
	faults := writingFaults()
	maps.Copy(faults, readingFaults())
	maps.Copy(faults, groupFaults())
	for name, m := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, by := range m.by {
				c, ok := checks[by]
				if !ok {
					t.Fatalf("there is no check %s", by)
				}
				// Some faults make a check wait for what never comes.
				r := conformance.Record(by, func(tb conformance.TB) { c.Run(tb, faultyFactory(m.does, 2*time.Second)) })
				if !r.Failed() {
					t.Errorf("%s does not find it", by)
					continue
				}
				t.Logf("%s: %.300s", by, r.Messages()[len(r.Messages())-1])
			}
		})
	}
}

// TestNoFault is the other half: without a fault nothing is found.
func TestNoFault(t *testing.T) {
	t.Parallel()
	conformance.Transport(t, faultyFactory(fault{}, time.Minute))
}
