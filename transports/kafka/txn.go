package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// commitTransaction does a round in one transaction. Up to the moment when
// EndTxn is sent nobody can commit it, so any failure until then means that
// nothing is or will be visible.
func (p *producer) commitTransaction(ctx context.Context, cl *kgo.Client, g *group, c runtime.Commit) runtime.Result {
	started := time.Now()
	if err := p.fillTransaction(ctx, cl, g, c); err != nil {
		return p.abandon(ctx, cl, started, err, false)
	}
	next := p.round.next()
	decided, err := p.end(ctx, cl)
	switch {
	case err == nil:
		// Before KIP-890 the next transaction has the same epoch: a copy
		// that arrives late would end it, or take its offsets back.
		p.stale = !p.implicit && p.wire.lost.Load() > 0
		return runtime.Result{Outcome: runtime.Committed, Next: next}
	case decided:
		return p.abandon(ctx, cl, started, err, false)
	}
	p.unknown = true
	return runtime.Result{Outcome: runtime.Unknown, Err: fmt.Errorf("kafka: producer %q: the commit may or may not have happened: %w", p.id, err)}
}

// fillTransaction does all but the end.
func (p *producer) fillTransaction(ctx context.Context, cl *kgo.Client, g *group, c runtime.Commit) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	pid, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	if err := p.round.send(ctx, cl); err != nil {
		return err
	}
	return p.addOffsets(ctx, cl, g, c, pid, epoch)
}

// errNewEpoch and errNotAsked are surprises of franz-go that must not end in
// a commit.
var (
	errNewEpoch = errors.New("franz-go took a new epoch within a transaction, which aborted what was sent under the old one")
	errNotAsked = errors.New("franz-go ended the transaction without asking the coordinator")
)

// addOffsets puts the input offsets into the transaction, under the claim.
func (p *producer) addOffsets(ctx context.Context, cl *kgo.Client, g *group, c runtime.Commit, pid int64, epoch int16) error {
	if g == nil {
		if c.Claim == nil {
			return nil
		}
		if err := c.Claim(); err != nil {
			return &claimError{err}
		}
		return nil
	}
	added := p.implicit
	return g.underClaim(ctx, c.Claim, func(id string, generation int32) error {
		nowID, nowEpoch, err := cl.ProducerID(ctx)
		if err != nil {
			return err
		}
		if nowID != pid || nowEpoch != epoch {
			return &permanentError{errNewEpoch}
		}
		if !added {
			if err := p.addGroup(ctx, cl, g, pid, epoch); err != nil {
				return err
			}
			added = true
		}
		req := p.txnOffsetCommit(g, id, generation, c.Offsets)
		req.ProducerID, req.ProducerEpoch = pid, epoch
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		return txnOffsetError(resp)
	})
}

// addGroup tells the coordinator, before KIP-890 part 2, that the group's
// offsets take part in the transaction.
func (p *producer) addGroup(ctx context.Context, cl *kgo.Client, g *group, pid int64, epoch int16) error {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID = p.id
	req.ProducerID, req.ProducerEpoch = pid, epoch
	req.Group = g.cfg.Group
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// txnOffsetCommit is the request but for the producer's epoch.
func (p *producer) txnOffsetCommit(g *group, id string, generation int32, offsets map[record.TopicPartition]runtime.Offset) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID = p.id
	req.Group = g.cfg.Group
	req.MemberID, req.Generation, req.InstanceID = id, generation, g.instance()
	eachTopic(slices.Collect(maps.Keys(offsets)), func(topic string, parts []int32) {
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic = topic
		for _, part := range parts {
			o := offsets[record.TopicPartition{Topic: topic, Partition: part}]
			rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			rp.Partition = part
			rp.Offset = o.At
			rp.Metadata = kmsg.StringPtr(o.Metadata)
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	})
	return req
}

func txnOffsetError(resp *kmsg.TxnOffsetCommitResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("offset of %s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// end commits the transaction. When it fails, decided says that it certainly
// did not commit: EndTxn was never sent, or its only copy was answered with a
// definite no. franz-go repeats requests whose connection broke, so after two
// copies an answer says nothing about the first.
func (p *producer) end(ctx context.Context, cl *kgo.Client) (decided bool, err error) {
	sent, answered := p.wire.ends.Load(), p.wire.answered.Load()
	err = cl.EndTransaction(ctx, kgo.TryCommit)
	sent, answered = p.wire.ends.Load()-sent, p.wire.answered.Load()-answered
	if err == nil {
		if answered == 0 {
			return true, errNotAsked
		}
		return false, nil
	}
	return definite(err) && sent <= 1, err
}

// abandon makes sure that a transaction which cannot be committed is aborted,
// and says what the failure means. anew says that franz-go does not know of
// the transaction: only a new epoch aborts it.
func (p *producer) abandon(ctx context.Context, cl *kgo.Client, started time.Time, err error, anew bool) runtime.Result {
	elapsed := time.Since(started)
	fencedOff := errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
	err = fmt.Errorf("kafka: producer %q: transaction aborted: %w", p.id, err)
	if fencedOff {
		p.closeClient()
		p.round.settle()
		// A coordinator that aborts a transaction because it took too long
		// raises the epoch, too, and answers as if there were a newer
		// producer. The clock tells the two apart: ours started before the
		// coordinator's. Offsets are safe with either reading, as the
		// group's generation guards them.
		if elapsed >= p.t.cfg.TransactionTimeout {
			p.stale = true
			return runtime.Result{Outcome: runtime.Aborted, Err: err}
		}
		p.fenced = fmt.Errorf("%w: a newer producer uses the transactional ID: %w", runtime.ErrFenced, err)
		return runtime.Result{Outcome: runtime.Fenced, Err: p.fenced}
	}
	// A topic that was deleted and made anew stays unknown to a client that
	// has written to the old one.
	recreated := errors.Is(err, kerr.UnknownTopicID)
	p.abort(ctx, cl, anew || recreated || errors.Is(err, errNewEpoch) || errors.Is(err, errNotAsked))
	var claim *claimError
	if errors.As(err, &claim) {
		return claimed(err)
	}
	return runtime.Result{Outcome: runtime.Aborted, Err: err}
}

// abort aborts at the broker, so that readers do not wait for the transaction
// timeout. Where that does not work out, or anew asks for it, the producer
// gets a new epoch, which aborts as well, now or before the next round.
func (p *producer) abort(ctx context.Context, cl *kgo.Client, anew bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.t.cfg.RequestTimeout)
	defer cancel()
	err := cl.AbortBufferedRecords(ctx)
	if err == nil {
		err = cl.EndTransaction(ctx, kgo.TryAbort)
	}
	if err == nil {
		_, _, err = cl.ProducerID(ctx)
	}
	if err == nil && !anew {
		p.round.wg.Wait()
		return
	}
	p.t.cfg.Logger.Debug("kafka: starting a new epoch to abort a transaction", "transactional_id", p.id, "error", err)
	p.stale = true
	p.closeClient()
	p.round.settle()
	if err := p.renew(ctx); err != nil {
		p.t.cfg.Logger.Warn("kafka: an aborted transaction stays open until brokers can be reached or it times out",
			"transactional_id", p.id, "timeout", p.t.cfg.TransactionTimeout, "error", err)
	}
}
