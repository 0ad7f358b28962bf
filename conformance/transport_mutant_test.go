package conformance_test

import (
	"context"
	"maps"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/memory"
	"github.com/weirstream/weir/transports/memory/memorytest"
)

// A fault changes what one call of a transport does. A nil field changes
// nothing.
type fault struct {
	producer func(t *faulty, ctx context.Context, id string) (runtime.Producer, error)
	commit   func(p *faultyProducer, ctx context.Context, c runtime.Commit) runtime.Result
	set      func(f *faultyFetcher, at map[record.TopicPartition]int64)
	pause    func(f *faultyFetcher, parts []record.TopicPartition)
	resume   func(f *faultyFetcher, parts []record.TopicPartition)
	poll     func(f *faultyFetcher, ctx context.Context, limit int) []runtime.Batch
	listener func(l runtime.Listener) runtime.Listener
	// committed replaces runtime.Group's.
	committed func(g *faultyGroup, ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]runtime.Offset, error)
	leave     func(g *faultyGroup, ctx context.Context) error
}

// faulty is a transport in memory with a fault. Without one it is right in
// every respect.
type faulty struct {
	*memory.Transport

	b    *memory.Broker
	does fault
	ids  int
}

func (t *faulty) Producer(ctx context.Context, id string) (runtime.Producer, error) {
	inner := t.Transport.Producer
	if t.does.producer != nil {
		inner = func(ctx context.Context, id string) (runtime.Producer, error) { return t.does.producer(t, ctx, id) }
	}
	p, err := inner(ctx, id)
	return &faultyProducer{Producer: p, t: t, id: id}, err
}

func (t *faulty) Fetcher(cfg runtime.FetchConfig) (runtime.Fetcher, error) {
	f, err := t.Transport.Fetcher(cfg)
	return &faultyFetcher{Fetcher: f, t: t, restores: cfg.FromLog, at: make(map[record.TopicPartition]int64), paused: make(map[record.TopicPartition]bool)}, err
}

func (t *faulty) Join(ctx context.Context, cfg runtime.GroupConfig, l runtime.Listener) (runtime.Group, error) {
	if t.does.listener != nil {
		l = t.does.listener(l)
	}
	g, err := t.Transport.Join(ctx, cfg, l)
	return &faultyGroup{Group: g, t: t, name: cfg.Group}, err
}

type faultyProducer struct {
	runtime.Producer

	t  *faulty
	id string
	g  *faultyGroup // of the round
}

func (p *faultyProducer) Commit(ctx context.Context, c runtime.Commit) runtime.Result {
	if g, ok := c.Group.(*faultyGroup); ok {
		p.g = g
		c.Group = g.Group
	}
	if p.t.does.commit == nil {
		return p.Producer.Commit(ctx, c)
	}
	return p.t.does.commit(p, ctx, c)
}

// append writes records past the transaction.
func (p *faultyProducer) append(batches [][]record.Record) {
	for _, recs := range batches {
		for _, r := range recs {
			_, _ = p.t.b.Append(r.TP(), []record.Record{r})
		}
	}
}

// offsets commits offsets past the transaction, for whoever is in the group.
func (p *faultyProducer) offsets(c runtime.Commit) {
	if p.g == nil || len(c.Offsets) == 0 {
		return
	}
	for range 1000 { // the group may rebalance between the two
		g := p.t.b.Group(p.g.name)
		if len(g.Members) == 0 || p.t.b.Commit(p.g.name, memory.Membership{Member: g.Members[0], Generation: g.Generation}, c.Offsets) == nil {
			return
		}
		goruntime.Gosched()
	}
}

type faultyFetcher struct {
	runtime.Fetcher

	t      *faulty
	at     map[record.TopicPartition]int64
	paused map[record.TopicPartition]bool
	stash  []runtime.Batch
	// restores says that it reads changelogs.
	restores bool
}

func (f *faultyFetcher) Set(at map[record.TopicPartition]int64) {
	if f.t.does.set != nil {
		f.t.does.set(f, at)
	} else {
		f.Fetcher.Set(at)
	}
	maps.Copy(f.at, at)
}

func (f *faultyFetcher) Remove(parts []record.TopicPartition) {
	f.Fetcher.Remove(parts)
	for _, tp := range parts {
		delete(f.at, tp)
	}
}

func (f *faultyFetcher) Pause(parts []record.TopicPartition) {
	if f.t.does.pause != nil {
		f.t.does.pause(f, parts)
		return
	}
	f.Fetcher.Pause(parts)
}

func (f *faultyFetcher) Resume(parts []record.TopicPartition) {
	if f.t.does.resume != nil {
		f.t.does.resume(f, parts)
		return
	}
	f.Fetcher.Resume(parts)
}

func (f *faultyFetcher) Poll(ctx context.Context, limit int) []runtime.Batch {
	poll := f.Fetcher.Poll
	if f.t.does.poll != nil {
		poll = func(ctx context.Context, limit int) []runtime.Batch { return f.t.does.poll(f, ctx, limit) }
	}
	batches := poll(ctx, limit)
	for i := range batches {
		f.at[batches[i].TP] = batches[i].Next
	}
	return batches
}

// now is what is there without waiting.
func (f *faultyFetcher) now(limit int) []runtime.Batch {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return f.Fetcher.Poll(ctx, limit)
}

// uncommitted polls what is in the logs, ended or not.
func (f *faultyFetcher) uncommitted(ctx context.Context) []runtime.Batch {
	for {
		var batches []runtime.Batch
		for tp, from := range f.at {
			if got, err := f.t.b.FetchUncommitted(tp, from, 0); err == nil && got.Next > from {
				batches = append(batches, runtime.Batch{TP: tp, Records: got.Records, Next: got.Next, HighWatermark: got.End})
			}
		}
		if len(batches) > 0 || ctx.Err() != nil {
			return batches
		}
		// The inner fetcher knows when something has changed.
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		f.Fetcher.Poll(short, 0)
		cancel()
	}
}

type faultyGroup struct {
	runtime.Group

	t    *faulty
	name string
}

func (g *faultyGroup) Committed(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]runtime.Offset, error) {
	if g.t.does.committed != nil {
		return g.t.does.committed(g, ctx, parts)
	}
	return g.Group.Committed(ctx, parts)
}

func (g *faultyGroup) Leave(ctx context.Context) error {
	if g.t.does.leave != nil {
		return g.t.does.leave(g, ctx)
	}
	return g.Group.Leave(ctx)
}

// lossy tells a listener that everything is lost, in place of asking.
type lossy struct{ runtime.Listener }

func (l lossy) Revoked(_ context.Context, parts []record.TopicPartition) { l.Lost(parts) }

// faultyFactory returns a factory of transports with a fault.
func faultyFactory(does fault, patience time.Duration) conformance.TransportFactory {
	return conformance.TransportFactory{
		Name:     "faulty",
		Patience: patience,
		New: func(conformance.TB) conformance.TransportPlace {
			b := memory.NewBroker()
			p := memorytest.Place(b)
			p.Connect = func() (runtime.Transport, error) {
				tr, err := memory.New(memory.Config{Broker: b})
				return &faulty{Transport: tr, b: b, does: does}, err
			}
			return p
		},
		Can: []conformance.Capability{conformance.Expels, conformance.ForeignTransactions, conformance.LosesAnswers, conformance.StaticMembers},
	}
}

// cloned copies a round, down to the records.
func cloned(c runtime.Commit) runtime.Commit {
	c.Records = slices.Clone(c.Records)
	for i := range c.Records {
		c.Records[i] = slices.Clone(c.Records[i])
	}
	return c
}
