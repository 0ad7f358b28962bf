package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/runtime"
)

// producer is one lane's way out. With a transactional ID it is the only
// living user of that ID, or finds itself fenced.
type producer struct {
	t  *Transport
	id string

	// Commit and Recover belong to one goroutine; mu guards what Close,
	// which may come from another, looks at.
	mu     sync.Mutex
	cl     *kgo.Client
	closed bool

	// implicit says that the cluster adds partitions and groups to a
	// transaction by itself (KIP-890 part 2).
	implicit bool
	wire     *wire
	round    *round

	// stale wants a new epoch before the next round, unknown wants Recover
	// first, and fenced is for good.
	stale, unknown bool
	fenced         error
}

var _ runtime.Producer = (*producer)(nil)

// A wire counts the requests that end a transaction, or put offsets into it,
// as they are put on the wire: franz-go repeats those whose connection broke.
type wire struct {
	// ends and answered tell the answer to the only EndTxn from one to a
	// repetition.
	ends, answered atomic.Int64
	// lost is how many were sent and not answered.
	lost atomic.Int64
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (w *wire) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	switch kmsg.Key(key) {
	case kmsg.EndTxn:
		w.ends.Add(1)
		w.lost.Add(1)
	case kmsg.TxnOffsetCommit, kmsg.AddOffsetsToTxn:
		w.lost.Add(1)
	}
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (w *wire) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err != nil {
		return
	}
	switch kmsg.Key(key) {
	case kmsg.EndTxn:
		w.answered.Add(1)
		w.lost.Add(-1)
	case kmsg.TxnOffsetCommit, kmsg.AddOffsetsToTxn:
		w.lost.Add(-1)
	}
}

// Producer implements runtime.Transport.
func (t *Transport) Producer(ctx context.Context, transactionalID string) (runtime.Producer, error) {
	p := &producer{t: t, id: transactionalID, round: &round{}}
	if err := p.renew(ctx); err != nil {
		p.Close()
		return nil, err
	}
	if err := t.track(p); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// renew gives the producer a new client. With a transactional ID that gets a
// new epoch, which fences all that was sent under the old one: a transaction
// that was open is aborted, one that was being committed is finished, and
// both before renew returns.
func (p *producer) renew(ctx context.Context) error {
	p.closeClient()
	implicit, err := p.t.implicitTransactions(ctx)
	if err != nil {
		return fmt.Errorf("kafka: open producer %q: %w", p.id, err)
	}
	wire := &wire{}
	cl, err := p.t.client(p.options(implicit, wire)...)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		cl.Close()
		return errClosed
	}
	p.cl = cl
	p.mu.Unlock()
	p.implicit, p.wire = implicit, wire
	err = p.t.retry(ctx, func(ctx context.Context) error {
		_, _, err := cl.ProducerID(ctx)
		return err
	})
	if err != nil {
		p.stale = true
		if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
			err = fmt.Errorf("%w: %w", runtime.ErrFenced, err)
		}
		return fmt.Errorf("kafka: open producer %q: %w", p.id, err)
	}
	p.stale, p.unknown, p.fenced = false, false, nil
	return nil
}

func (p *producer) options(implicit bool, wire *wire) []kgo.Opt {
	codec, _ := compression(p.t.cfg.Compression) // validated by New
	opts := append(patient(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(p.t.cfg.MaxBatchBytes),
		kgo.ProducerLinger(0),
		// The caller holds the records of a round anyway, and a Produce
		// that blocks would not see the round's context end.
		kgo.MaxBufferedRecords(math.MaxInt32),
		kgo.UnknownTopicRetries(20),
		kgo.WithHooks(wire),
	)
	if p.id == "" {
		return opts
	}
	known := explicit()
	if implicit {
		known = usual()
	}
	return append(opts,
		kgo.TransactionalID(p.id),
		kgo.TransactionTimeout(p.t.cfg.TransactionTimeout),
		kgo.MaxVersions(known),
	)
}

// implicitTransactions asks whether the cluster has transaction.version 2
// (KIP-890), by which franz-go decides, too.
func (t *Transport) implicitTransactions(ctx context.Context) (bool, error) {
	implicit := false
	err := t.retry(ctx, func(ctx context.Context) error {
		resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, t.admin)
		if err != nil {
			return err
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return err
		}
		for _, f := range resp.FinalizedFeatures {
			implicit = implicit || f.Name == "transaction.version" && f.MaxVersionLevel >= 2
		}
		return nil
	})
	return implicit, err
}

// Recover implements runtime.Producer.
func (p *producer) Recover(ctx context.Context) error {
	if p.fenced != nil {
		return p.fenced
	}
	p.unknown = true
	return p.renew(ctx)
}

// Close implements runtime.Producer. An open transaction is left to the
// broker, which aborts it for the next producer of the ID or in time.
func (p *producer) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.closeClient()
	p.t.forget(p)
}

func (p *producer) closeClient() {
	p.mu.Lock()
	cl := p.cl
	p.cl = nil
	p.mu.Unlock()
	if cl != nil {
		cl.Close()
	}
}

// client returns the client, made anew where the last round spoilt it.
func (p *producer) client(ctx context.Context) (*kgo.Client, error) {
	switch {
	case p.fenced != nil:
		return nil, p.fenced
	case p.unknown:
		return nil, errNeedsRecover
	case p.stale:
		if err := p.renew(ctx); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cl == nil {
		return nil, errClosed
	}
	return p.cl, nil
}

// Commit implements runtime.Producer.
func (p *producer) Commit(ctx context.Context, c runtime.Commit) runtime.Result {
	cl, err := p.client(ctx)
	if err != nil {
		if errors.Is(err, runtime.ErrFenced) {
			return runtime.Result{Outcome: runtime.Fenced, Err: err}
		}
		return runtime.Result{Outcome: runtime.Aborted, Err: err}
	}
	var g *group
	if len(c.Offsets) > 0 {
		if g, err = asGroup(c.Group); err != nil {
			return runtime.Result{Outcome: runtime.Aborted, Err: err}
		}
	}
	p.round.fill(c.Records)
	defer p.round.release()
	switch {
	case len(p.round.recs) == 0 && (p.id == "" || g == nil):
		return p.commitPlainOffsets(ctx, g, c)
	case len(p.round.recs) == 0:
		return p.commitOffsets(ctx, g, c)
	case p.id == "":
		return p.commitIdempotent(ctx, cl, g, c)
	}
	return p.commitTransaction(ctx, cl, g, c)
}

// commitPlainOffsets commits a round of at-least-once that has no output.
func (p *producer) commitPlainOffsets(ctx context.Context, g *group, c runtime.Commit) runtime.Result {
	if g == nil {
		if c.Claim != nil {
			if err := c.Claim(); err != nil {
				return claimed(err)
			}
		}
		return runtime.Result{Outcome: runtime.Committed}
	}
	sent := false
	err := g.underClaim(ctx, c.Claim, func(id string, generation int32) error {
		err := g.commitOffsets(ctx, id, generation, c.Offsets)
		var ke *kerr.Error
		// An answer says that the offsets were refused; without one
		// they may have been taken.
		sent = sent || err != nil && !errors.As(err, &ke)
		return err
	})
	var claim *claimError
	switch {
	case err == nil:
		return runtime.Result{Outcome: runtime.Committed}
	case sent:
		p.unknown = true
		return runtime.Result{Outcome: runtime.Unknown, Err: err}
	case errors.As(err, &claim):
		return claimed(err)
	}
	return runtime.Result{Outcome: runtime.Aborted, Err: err}
}

// claimed is the result of a claim that did not hold, when nothing of the
// round is visible.
func claimed(err error) runtime.Result {
	if errors.Is(err, runtime.ErrFenced) {
		return runtime.Result{Outcome: runtime.Fenced, Err: err}
	}
	return runtime.Result{Outcome: runtime.Aborted, Err: err}
}

// commitIdempotent is at-least-once: the claim, then records, then offsets when
// all of them are acknowledged. From the first record on, a failure leaves some of the
// round visible, so it is Unknown, never Aborted.
func (p *producer) commitIdempotent(ctx context.Context, cl *kgo.Client, g *group, c runtime.Commit) runtime.Result {
	fail := func(err error) runtime.Result {
		p.unknown = true
		p.closeClient()
		p.round.settle()
		return runtime.Result{Outcome: runtime.Unknown, Err: err}
	}
	// There is no transaction that would take back what is sent for a task
	// that is somebody else's by now.
	if c.Claim != nil {
		if err := c.Claim(); err != nil {
			return claimed(err)
		}
	}
	if err := p.round.send(ctx, cl); err != nil {
		return fail(err)
	}
	next := p.round.next()
	var err error
	switch {
	case g != nil:
		err = g.Commit(ctx, c.Claim, c.Offsets)
	case c.Claim != nil:
		err = c.Claim()
	}
	if err != nil {
		return fail(err)
	}
	return runtime.Result{Outcome: runtime.Committed, Next: next}
}
