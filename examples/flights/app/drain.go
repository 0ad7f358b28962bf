//go:build !wasip1

package app

import (
	"context"
	"fmt"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/runtime/cli"
)

// A backlog is how far the group is.
type backlog struct {
	// processed and remaining count offsets of the source topic; the
	// repartition topic is in internal, in offsets to go, which include those
	// that transaction markers take.
	processed, remaining, internal int64
	behind                         map[record.TopicPartition]runtime.LogRange
}

func (b *backlog) lag() int64 { return b.remaining + b.internal }

// look compares the committed offsets of the group with the ends of what it
// reads. The ends are taken afterwards, so what is not behind is done.
func look(ctx context.Context, t *topology.Topology, tr runtime.Transport) (*backlog, error) {
	b := &backlog{behind: make(map[record.TopicPartition]runtime.LogRange)}
	groups, err := cli.Groups(tr)
	if err != nil {
		return b, err
	}
	infos, err := tr.Topics(ctx, t.Sources()...)
	if err != nil {
		return b, err
	}
	var parts []record.TopicPartition
	for _, topic := range t.Sources() {
		info, ok := infos[topic]
		if !ok {
			b.remaining++ // not made yet, so nothing is done
			continue
		}
		for p := range info.Partitions {
			parts = append(parts, record.TopicPartition{Topic: topic, Partition: p})
		}
	}
	committed, err := groups.GroupOffsets(ctx, t.App)
	if err != nil {
		return b, err
	}
	ends, err := tr.Offsets(ctx, parts)
	if err != nil {
		return b, err
	}
	for _, tp := range parts {
		r := ends[tp]
		r.Start = max(r.Start, committed[tp])
		b.add(tp, r, t.Topics[tp.Topic].Kind == topology.External)
	}
	return b, nil
}

func (b *backlog) add(tp record.TopicPartition, r runtime.LogRange, source bool) {
	left := r.End - r.Start
	if source {
		b.processed += r.Start
		b.remaining += left
	} else {
		b.internal += left
	}
	if left > 0 {
		b.behind[tp] = r
	}
}

// emptyTail is how many offsets at the end of a partition are looked at to
// see whether any of them is a record.
const emptyTail = 1000

// drained reports whether nothing is left to do. Offsets that remain at the
// end of a partition may be transaction markers or aborted records, which
// nobody will ever process: so they are read.
func (b *backlog) drained(ctx context.Context, tr runtime.Transport) (bool, error) {
	if b.remaining > 0 && len(b.behind) == 0 {
		return false, nil
	}
	for _, r := range b.behind {
		if r.End-r.Start > emptyTail {
			return false, nil
		}
	}
	for tp, r := range b.behind {
		n := 0
		err := cli.ReadPartition(ctx, tr, tp, r, func(*record.Record) error { n++; return nil })
		if err != nil || n > 0 {
			return false, err
		}
	}
	return true, nil
}

// waitDrained waits until the group has processed everything there is. A
// transaction commits what it sends together with the offsets of what it read,
// so when the source is done and, looked at after that, the repartition topic
// too, nothing is on its way any more. That takes two looks in a row.
func waitDrained(ctx context.Context, e *cli.Env, tr runtime.Transport) error {
	t, err := e.Topology()
	if err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last, done := new(backlog), 0
	for {
		b, err := look(ctx, t, tr)
		if err != nil {
			return waited(ctx, last, err)
		}
		last = b
		ok, err := b.drained(ctx, tr)
		if err != nil {
			return waited(ctx, last, err)
		}
		if done++; !ok {
			done = 0
		}
		if done == 2 {
			return nil
		}
		e.Progressf("waiting for the workers: %d flights processed, lag %d", b.processed, b.lag())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return waited(ctx, b, ctx.Err())
		}
	}
}

// waited explains the end of a wait.
func waited(ctx context.Context, b *backlog, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("the workers are not done: %d flights processed, lag %d; is one running? (%w)", b.processed, b.lag(), err)
}
