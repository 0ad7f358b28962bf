package runtime

import (
	"context"
	"errors"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/task"
	"github.com/weirstream/weir/core/worker"
)

// commitLoop is the goroutine of a lane that sends rounds, recovers the
// producer and writes the store, one thing at a time, while the lane goes on
// with the next epoch.
func (l *lane) commitLoop(ctx context.Context, p Producer) {
	for {
		select {
		case r := <-l.rounds:
			l.post(ctx, l.commit(ctx, p, r))
		case a := <-l.batches:
			Crash(l.s.cfg, "apply.before")
			err := l.s.cfg.Store.Apply(a.Batch)
			Crash(l.s.cfg, "apply.after")
			l.post(ctx, worker.Applied{Round: a.Round, Err: err})
		case <-l.recover:
			if l.recovered(ctx, p) {
				l.post(ctx, worker.Recovered{})
			}
		case <-ctx.Done():
			return
		}
	}
}

// commit sends one round and says what became of it.
func (l *lane) commit(ctx context.Context, p Producer, r *worker.Round) worker.Decided {
	ctx, cancel := context.WithTimeout(ctx, l.s.cfg.CommitTimeout)
	defer cancel()
	Crash(l.s.cfg, "commit.before")
	res := p.Commit(ctx, Commit{
		Records: r.Records(),
		Group:   l.s.group,
		Offsets: offsetsOf(r),
		Claim:   func() error { return l.s.owned.claim(r.Epochs) },
	})
	Crash(l.s.cfg, "commit.after")
	res.Outcome = judge(res)
	switch res.Outcome {
	case Committed:
		l.s.purge.consumed(r)
	case Aborted:
		l.log.Info("commit aborted; going back to what was committed", "round", r.ID, "reason", res.Err)
	case Unknown:
		l.log.Warn("the outcome of a commit is unknown; fencing it and reading back", "round", r.ID, "reason", res.Err)
	}
	if l.s.cfg.OnHistory != nil {
		l.s.cfg.OnHistory(HistoryEvent{Lane: l.id, Round: r, Result: res})
	}
	return worker.Decided{Round: r.ID, Outcome: worker.Outcome(res.Outcome), Next: res.Next, Err: res.Err}
}

// judge is what a result means for the worker. A round that failed because the
// group or the coordinator does not know this worker any more is Fenced,
// whatever became of its records: the membership's own goroutine may be
// waiting for an answer that never comes, so this is where a worker that is
// out finds out, and joins anew. With at-least-once, where records are sent
// before the offsets and the outcome is unknown, opening the tasks again
// would send them once more, and again, beside their next owner.
func judge(res Result) Outcome {
	if res.Outcome != Committed && errors.Is(res.Err, ErrFenced) {
		return Fenced
	}
	return res.Outcome
}

// offsetsOf are the input offsets of a round, with stream time beside them.
func offsetsOf(r *worker.Round) map[record.TopicPartition]Offset {
	offsets := make(map[record.TopicPartition]Offset)
	for _, e := range r.Epochs {
		meta := task.Metadata(e.StreamTime)
		for _, in := range e.Offsets {
			offsets[record.TopicPartition{Topic: in.Topic, Partition: in.Partition}] = Offset{At: in.Offset, Metadata: meta}
		}
	}
	return offsets
}

// recovered makes the producer usable again, however long it takes. It
// returns false when the session ends first or the producer was replaced.
func (l *lane) recovered(ctx context.Context, p Producer) bool {
	var wait backoff
	for ; ; wait.sleep(ctx) {
		attempt, cancel := context.WithTimeout(ctx, l.s.cfg.CommitTimeout)
		err := p.Recover(attempt)
		cancel()
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrFenced):
			l.s.rejoin(err)
			return false
		case ctx.Err() != nil:
			return false
		}
		l.log.Warn("recovering the producer failed; trying again", "error", err)
	}
}

// A backoff waits longer each time, from 100 ms to 5 s.
type backoff struct{ last time.Duration }

func (b *backoff) sleep(ctx context.Context) {
	b.last = min(max(2*b.last, 100*time.Millisecond), 5*time.Second)
	t := time.NewTimer(b.last)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// A HistoryEvent is one decided commit round. Its records are valid during
// the call only.
type HistoryEvent struct {
	Lane   int
	Round  *worker.Round
	Result Result
}
