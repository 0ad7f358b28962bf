package memory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// A producer is one lane's way out.
type producer struct {
	t      *Transport
	id     string // empty: idempotent only
	pid    Producer
	closed atomic.Bool
	// stale wants a new epoch before the next round, unknown wants Recover
	// first, and fenced is for good.
	stale, unknown bool
	fenced         error
}

var _ runtime.Producer = (*producer)(nil)

var errNeedsRecover = errors.New("memory: the outcome of the last round is unknown; call Recover first")

// Producer implements runtime.Transport.
func (t *Transport) Producer(ctx context.Context, transactionalID string) (runtime.Producer, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	p := &producer{t: t, id: transactionalID}
	if transactionalID != "" {
		p.pid = t.broker.InitProducer(transactionalID)
	}
	return p, nil
}

// renew gets a new epoch, which aborts what was open under the old one. A
// producer that was replaced stays fenced: taking the ID back would fence the
// newer one.
func (p *producer) renew() error {
	if p.id != "" {
		pid, err := p.t.broker.RenewProducer(p.pid)
		if err != nil {
			p.fenced = err
			return err
		}
		p.pid = pid
	}
	p.stale, p.unknown = false, false
	return nil
}

// Recover implements runtime.Producer.
func (p *producer) Recover(ctx context.Context) error {
	if err := p.usable(ctx); err != nil {
		return err
	}
	return p.renew()
}

// Close implements runtime.Producer. An open transaction is left to its
// timeout or to the next producer of the ID, as with Kafka.
func (p *producer) Close() { p.closed.Store(true) }

func (p *producer) usable(ctx context.Context) error {
	switch {
	case p.fenced != nil:
		return p.fenced
	case p.closed.Load():
		return errors.New("memory: producer is closed")
	}
	return p.t.usable(ctx)
}

// step does one step of a round.
func (p *producer) step(ctx context.Context, s Step, do func() error) error {
	if err := p.t.usable(ctx); err != nil {
		return &unsentError{err}
	}
	err := p.t.broker.try(Op{Step: s, TransactionalID: p.id, Producer: p.pid}, do)
	if err != nil {
		return fmt.Errorf("memory: producer %q: %s: %w", p.id, s, err)
	}
	return nil
}

// An unsentError is why a step was not even tried.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return "not sent: " + e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// Commit implements runtime.Producer.
func (p *producer) Commit(ctx context.Context, c runtime.Commit) runtime.Result {
	err := p.usable(ctx)
	if err == nil && p.unknown {
		err = errNeedsRecover
	}
	var g *membership
	if err == nil && len(c.Offsets) > 0 {
		var ok bool
		if g, ok = c.Group.(*membership); !ok {
			err = fmt.Errorf("memory: offsets need the group of a memory transport to commit them, got %T", c.Group)
		}
	}
	if err != nil {
		return failed(err)
	}
	if p.stale {
		if err := p.renew(); err != nil {
			return failed(err)
		}
	}
	runs := split(c.Records)
	switch {
	case len(runs) == 0 && (p.id == "" || g == nil):
		return p.commitPlainOffsets(ctx, g, c)
	case p.id == "":
		return p.commitIdempotent(ctx, g, c, runs)
	}
	return p.commitTransaction(ctx, g, c, runs)
}

// failed is the result of a round of which nothing is visible. A commit that
// was refused because the member is out of the group is Aborted: the producer
// is as good as before.
func failed(err error) runtime.Result {
	if errors.Is(err, runtime.ErrFenced) && !errors.Is(err, ErrUnknownMember) {
		return runtime.Result{Outcome: runtime.Fenced, Err: err}
	}
	return runtime.Result{Outcome: runtime.Aborted, Err: err}
}

func (p *producer) undecided(err error) runtime.Result {
	p.unknown = true
	return runtime.Result{Outcome: runtime.Unknown, Err: err}
}

// A run is what a round writes to one partition.
type run struct {
	tp   record.TopicPartition
	recs []record.Record
}

// split groups records by partition, in order of first appearance.
func split(batches [][]record.Record) []run {
	var runs []run
	index := make(map[record.TopicPartition]int)
	for _, batch := range batches {
		for i := range batch {
			tp := batch[i].TP()
			at, ok := index[tp]
			if !ok {
				at = len(runs)
				index[tp] = at
				runs = append(runs, run{tp: tp})
			}
			runs[at].recs = append(runs[at].recs, batch[i])
		}
	}
	return runs
}

// send appends the runs and returns the offsets after them.
func (p *producer) send(ctx context.Context, runs []run, to func(run) (int64, error)) (map[record.TopicPartition]int64, error) {
	next := make(map[record.TopicPartition]int64, len(runs))
	for _, r := range runs {
		err := p.step(ctx, Append, func() error {
			base, err := to(r)
			next[r.tp] = base + int64(len(r.recs))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return next, nil
}

// addOffsets commits the input offsets by way of send, under the claim.
func (p *producer) addOffsets(ctx context.Context, g *membership, c runtime.Commit, send func(Membership) error) error {
	if g == nil {
		if c.Claim == nil {
			return nil
		}
		if err := c.Claim(); err != nil {
			return &claimError{err}
		}
		return nil
	}
	return g.underClaim(ctx, c.Claim, func(m Membership) error {
		return p.step(ctx, Offsets, func() error { return send(m) })
	})
}

// commitPlainOffsets commits a round of at-least-once that has no output.
func (p *producer) commitPlainOffsets(ctx context.Context, g *membership, c runtime.Commit) runtime.Result {
	sent := false
	err := p.addOffsets(ctx, g, c, func(m Membership) error {
		err := p.t.broker.Commit(g.cfg.Group, m, c.Offsets)
		sent = err == nil
		return err
	})
	if err == nil {
		return runtime.Result{Outcome: runtime.Committed}
	}
	if answered(err) && !sent {
		return failed(err)
	}
	return p.undecided(err)
}

// answered says that an error is a definite no, of the claim or of the
// broker.
func answered(err error) bool {
	var claim *claimError
	var unsent *unsentError
	return errors.As(err, &claim) || errors.As(err, &unsent) || errors.Is(err, ErrRefused) ||
		errors.Is(err, runtime.ErrFenced) || errors.Is(err, ErrTxnState)
}

// commitIdempotent is at-least-once: records first, then the offsets. From
// the first record on, a failure leaves some of the round visible, so it is
// Unknown, never Aborted.
func (p *producer) commitIdempotent(ctx context.Context, g *membership, c runtime.Commit, runs []run) runtime.Result {
	next, err := p.send(ctx, runs, func(r run) (int64, error) { return p.t.broker.Append(r.tp, r.recs) })
	if err == nil {
		err = p.addOffsets(ctx, g, c, func(m Membership) error {
			return p.t.broker.Commit(g.cfg.Group, m, c.Offsets)
		})
	}
	if err != nil {
		return p.undecided(err)
	}
	return runtime.Result{Outcome: runtime.Committed, Next: next}
}

// commitTransaction does a round in one transaction. Until EndTxn is sent
// nobody can commit it, so a failure before means that nothing is or will be
// visible.
func (p *producer) commitTransaction(ctx context.Context, g *membership, c runtime.Commit, runs []run) runtime.Result {
	b := p.t.broker
	// What is left open at the end of the round is the timer's.
	pid := p.pid
	timer := time.AfterFunc(p.t.timeout, func() { b.expire(pid) })
	defer func() {
		if !p.stale && !p.unknown && p.fenced == nil {
			timer.Stop()
		}
	}()
	err := p.step(ctx, Begin, func() error { return b.current(p.pid) })
	if err != nil {
		return p.abandon(ctx, err)
	}
	next, err := p.send(ctx, runs, func(r run) (int64, error) { return b.AppendTxn(p.pid, r.tp, r.recs) })
	if err != nil {
		return p.abandon(ctx, err)
	}
	err = p.addOffsets(ctx, g, c, func(m Membership) error {
		return b.TxnOffsets(p.pid, g.cfg.Group, m, c.Offsets)
	})
	if err != nil {
		return p.abandon(ctx, err)
	}
	err = p.step(ctx, End, func() error { return b.EndTxn(p.pid, true) })
	switch {
	case err == nil:
		return runtime.Result{Outcome: runtime.Committed, Next: next}
	case answered(err):
		return p.abandon(ctx, err)
	}
	return p.undecided(fmt.Errorf("the commit may or may not have happened: %w", err))
}

// abandon aborts a transaction that cannot be committed, even though ctx may
// be over, so that readers do not wait for it. Where that fails the next round
// starts with a new epoch, which aborts as well.
func (p *producer) abandon(ctx context.Context, err error) runtime.Result {
	var claim *claimError
	res := failed(err)
	if res.Outcome == runtime.Fenced && !errors.As(err, &claim) {
		if p.t.broker.expired(p.pid) {
			p.stale = true
			return runtime.Result{Outcome: runtime.Aborted, Err: err}
		}
		p.fenced = err
		return res
	}
	abort := p.step(context.WithoutCancel(ctx), Abort, func() error {
		err := p.t.broker.EndTxn(p.pid, false)
		if errors.Is(err, ErrTxnState) {
			return nil // nothing was written
		}
		return err
	})
	if abort != nil {
		p.t.log.Warn("an aborted transaction stays open until the producer's next round or its timeout", "transactional_id", p.id, "error", abort)
		p.stale = true
	}
	return res
}

// expired says that the producer lost its transaction to a timeout, not its
// ID to a newer producer.
func (b *Broker) expired(pid Producer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timedOut(pid)
}

// current checks that a producer was not fenced.
func (b *Broker) current(pid Producer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.producer(pid)
	return err
}
