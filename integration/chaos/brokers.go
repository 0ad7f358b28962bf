package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/integration/broker"
)

// A hurter hurts the brokers of a cluster, one at a time, as three brokers
// stand one.
type hurter struct {
	cluster *broker.Cluster
	cl      *kgo.Client // of addresses that are never cut
	rng     *rand.Rand
	most    time.Duration // how long a broker is hurt
	notef   func(format string, args ...any)
	faults  Faults
}

// HurtBrokers deals all kinds of faults to the brokers of cfg.Cluster, one
// after the other, for the time that is wanted or until ctx ends; the brokers
// are whole when it returns without an error. It counts what it did. Of the
// configuration it uses For, Pause, Down, Seed and Out, too.
func HurtBrokers(ctx context.Context, cfg Config) (Faults, error) {
	cfg.defaults()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Cluster.Inner()...), kgo.Dialer(broker.Loopback))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	h := &hurter{
		cluster: cfg.Cluster, cl: cl, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), most: cfg.Down, faults: make(Faults),
		notef: func(format string, args ...any) {
			fmt.Fprintf(cfg.Out, time.Now().UTC().Format("15:04:05 ")+format+"\n", args...)
		},
	}
	d := newDeck(h.rng, Kinds(len(cfg.Cluster.Nodes))[1:]) // all but the workers
	d.until = time.Now().Add(cfg.For)
	for d.more() && pause(ctx, h.between(cfg.Pause/3, cfg.Pause)) {
		if err := h.hurtBroker(ctx, d.deal()); err != nil {
			return h.faults, err
		}
	}
	return h.faults, nil
}

func (h *hurter) between(from, to time.Duration) time.Duration {
	return from + time.Duration(h.rng.Int64N(int64(to-from)))
}

// hurtBroker does one fault to any broker, and waits until it is over.
func (h *hurter) hurtBroker(ctx context.Context, kind Kind) error {
	i := h.rng.IntN(len(h.cluster.Nodes))
	n, down := h.cluster.Nodes[i], h.between(500*time.Millisecond, h.most)
	var what string
	var do, undo func() error
	switch kind {
	case KillBroker:
		what = "SIGKILL broker %d, down for %v"
		do, undo = func() error { return h.kill(ctx, n) }, n.Start
	case StopBroker:
		what = "SIGSTOP broker %d for %v"
		do, undo = n.Pause, n.Resume
	case CutBroker:
		what = "no network between clients and broker %d for %v"
		do, undo = func() error { n.Cut(); return nil }, func() error { n.Mend(); return nil }
	case IsolateBroker:
		what = "no network between broker %d and the others for %v"
		do, undo = n.Isolate, n.Reunite
	default:
		return fmt.Errorf("%q is no fault of brokers", kind)
	}
	h.notef(what, i+1, down.Round(time.Millisecond))
	if err := do(); err != nil {
		return err
	}
	h.faults[kind]++
	pause(ctx, down)
	if err := undo(); err != nil {
		return err
	}
	// Hurting the next one before this one is back would be two at once.
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return h.whole(wait)
}

// kill kills a broker. The only one is first cut off from its clients until it
// has ended each transaction that it had begun to end: see
// broker.Cluster.SkippedMarkers.
func (h *hurter) kill(ctx context.Context, n *broker.Node) error {
	if len(h.cluster.Nodes) == 1 {
		n.Cut()
		defer n.Mend()
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := h.ended(ctx); err != nil {
			return err
		}
	}
	n.Kill()
	return nil
}

// ended waits until no marker of a transaction is under way.
func (h *hurter) ended(ctx context.Context) error {
	adm := kadm.NewClient(h.cl)
	for {
		ending, err := adm.ListTransactions(ctx, nil, []string{"PrepareCommit", "PrepareAbort"})
		if err == nil && len(ending) == 0 {
			return nil
		}
		if !pause(ctx, 20*time.Millisecond) {
			return errors.Join(fmt.Errorf("%d transactions are being ended all the time", len(ending)), err)
		}
	}
}

// whole waits until every broker says that all are there and that every
// partition has all its replicas in sync: one that was away knows what was
// before.
func (h *hurter) whole(ctx context.Context) error {
	for {
		var err error
		for _, b := range h.cl.SeedBrokers() {
			if err = h.saysWhole(ctx, b); err != nil {
				break
			}
		}
		if err == nil {
			return nil
		}
		if !pause(ctx, 250*time.Millisecond) {
			return fmt.Errorf("the brokers do not get whole again: %w", err)
		}
	}
}

// saysWhole asks one broker.
func (h *hurter) saysWhole(ctx context.Context, b *kgo.Broker) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	resp, err := b.Request(ctx, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return err
	}
	md := resp.(*kmsg.MetadataResponse)
	if there := len(md.Brokers); there < len(h.cluster.Nodes) {
		return fmt.Errorf("%d of %d brokers are there", there, len(h.cluster.Nodes))
	}
	behind := 0
	for _, t := range md.Topics {
		for _, p := range t.Partitions {
			if len(p.ISR) < len(p.Replicas) {
				behind++
			}
		}
	}
	if behind > 0 {
		return errors.New("replicas are not in sync")
	}
	return nil
}
