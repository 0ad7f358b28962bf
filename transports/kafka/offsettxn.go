package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/weirstream/weir/runtime"
)

// An offsetTxn is one try at a round without records: a transaction that holds
// nothing but offsets. A plain offset commit would do, were it not that a copy
// of it which was given up on a dead connection can be handled after a later
// commit, and take the offsets back. A transaction has the producer's epoch,
// and no copy outlives that: as soon as a request is not answered, the epoch
// is given up.
//
// franz-go ends a transaction only when it produced in it (EndTransaction
// returns without asking anybody otherwise) and repeats requests by itself. So
// these requests are our own, sent once each, in the versions before KIP-890
// part 2: from EndTxn 5 on the broker would give the producer a new epoch, of
// which franz-go would not hear.
type offsetTxn struct {
	p     *producer
	cl    *kgo.Client // sends each request once
	g     *group
	c     runtime.Commit
	pid   int64
	epoch int16
	// open says that the coordinator may know of the transaction; ends is
	// how often its end was sent.
	open bool
	ends int
}

// onceClient returns the client that sends a request once, in the versions of
// offsetTxn. All producers share it: it knows nothing of any of them.
func (t *Transport) onceClient() (*kgo.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	if t.once == nil {
		cl, err := t.client(kgo.RequestRetries(0), kgo.MaxVersions(explicitEnd()))
		if err != nil {
			return nil, err
		}
		t.once = cl
		t.open = append(t.open, cl)
	}
	return t.once, nil
}

// explicitEnd are those of explicit, and EndTxn before KIP-890 part 2.
var explicitEnd = sync.OnceValue(func() *kversion.Versions {
	v := versions(4)
	v.SetMaxKeyVersion(kmsg.EndTxn.Int16(), 4)
	return v
})

// commitOffsets does a round without records. A try whose request was not
// answered is given up with its epoch; the next one has another.
func (p *producer) commitOffsets(ctx context.Context, g *group, c runtime.Commit) runtime.Result {
	for n := 1; ; n++ {
		started := time.Now()
		cl, x, err := p.beginOffsets(ctx, g, c)
		if err != nil {
			return claimed(err)
		}
		if err = x.fill(ctx); err == nil {
			err = x.end(ctx)
		}
		var claim *claimError
		switch {
		case err == nil:
			return runtime.Result{Outcome: runtime.Committed}
		case x.ends > 1 || x.ends == 1 && !definite(err):
			p.unknown = true
			return runtime.Result{Outcome: runtime.Unknown, Err: fmt.Errorf("kafka: producer %q: the commit of offsets may or may not have happened: %w", p.id, err)}
		case !x.open && errors.As(err, &claim):
			return claimed(err)
		case !lost(err) || ctx.Err() != nil:
			return p.abandon(ctx, cl, started, err, true)
		}
		p.t.cfg.Logger.Debug("kafka: a commit of offsets was not answered; trying again in a new epoch", "transactional_id", p.id, "error", err)
		p.stale = true
		if err := wait(ctx, backoff(n)); err != nil {
			return p.abandon(ctx, cl, started, err, true)
		}
	}
}

func (p *producer) beginOffsets(ctx context.Context, g *group, c runtime.Commit) (*kgo.Client, *offsetTxn, error) {
	cl, err := p.client(ctx)
	if err != nil {
		return nil, nil, err
	}
	x := &offsetTxn{p: p, g: g, c: c}
	if x.pid, x.epoch, err = cl.ProducerID(ctx); err != nil {
		p.stale = true
		return nil, nil, fmt.Errorf("kafka: producer %q: %w", p.id, err)
	}
	x.cl, err = p.t.onceClient()
	return cl, x, err
}

// fill puts the offsets into the transaction, under the claim.
func (x *offsetTxn) fill(ctx context.Context) error {
	added := false
	return x.g.underClaim(ctx, x.c.Claim, func(id string, generation int32) error {
		x.open = true
		if !added {
			if err := x.p.addGroup(ctx, x.cl, x.g, x.pid, x.epoch); err != nil {
				return unanswered(err)
			}
			added = true
		}
		req := x.p.txnOffsetCommit(x.g, id, generation, x.c.Offsets)
		req.ProducerID, req.ProducerEpoch = x.pid, x.epoch
		resp, err := req.RequestWith(ctx, x.cl)
		if err != nil {
			return unanswered(err)
		}
		return txnOffsetError(resp)
	})
}

// end commits the transaction.
func (x *offsetTxn) end(ctx context.Context) error {
	return retry(ctx, func() error {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID = x.p.id
		req.ProducerID, req.ProducerEpoch = x.pid, x.epoch
		req.Commit = true
		x.ends++
		resp, err := req.RequestWith(ctx, x.cl)
		if err != nil {
			return unanswered(err)
		}
		return kerr.ErrorForCode(resp.ErrorCode)
	})
}

// unanswered keeps a request that may have arrived from being sent again.
func unanswered(err error) error {
	var ke *kerr.Error
	if errors.As(err, &ke) {
		return err
	}
	return &permanentError{&lostError{err}}
}

// A lostError is the failure of a request that may have arrived.
type lostError struct{ err error }

func (e *lostError) Error() string { return "not answered: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

func lost(err error) bool {
	var l *lostError
	return errors.As(err, &l)
}

// definite says that a broker answered with a no that stays one.
func definite(err error) bool {
	var ke *kerr.Error
	return errors.As(err, &ke) && !ke.Retriable && !errors.Is(ke, kerr.UnknownServerError)
}
