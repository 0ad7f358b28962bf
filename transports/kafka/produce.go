package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// round is what one commit round produces: franz-go's records and the
// headers they share. It is used again by the next round.
type round struct {
	recs    []kgo.Record
	headers []kgo.RecordHeader

	wg  sync.WaitGroup
	mu  sync.Mutex
	err error
}

// fill converts records without copying keys and values.
func (r *round) fill(records [][]record.Record) {
	n, h := 0, 0
	for _, run := range records {
		n += len(run)
		for i := range run {
			h += len(run[i].Headers)
		}
	}
	r.err = nil
	if cap(r.recs) < n {
		r.recs = make([]kgo.Record, 0, n+n/4)
	}
	if cap(r.headers) < h {
		r.headers = make([]kgo.RecordHeader, 0, h+h/4)
	}
	r.recs, r.headers = r.recs[:0], r.headers[:0]
	for _, run := range records {
		for i := range run {
			r.add(&run[i])
		}
	}
}

func (r *round) add(rec *record.Record) {
	kr := kgo.Record{Topic: rec.Topic, Partition: rec.Partition, Key: rec.Key, Value: rec.Value}
	if rec.Time != record.NoTime {
		kr.Timestamp = time.UnixMilli(rec.Time)
	}
	if len(rec.Headers) > 0 {
		from := len(r.headers)
		for _, h := range rec.Headers {
			r.headers = append(r.headers, kgo.RecordHeader(h))
		}
		kr.Headers = r.headers[from:len(r.headers):len(r.headers)]
	}
	r.recs = append(r.recs, kr)
}

// send produces everything and waits until the brokers answered for each
// record. When it returns an error because the context ended, records are
// still on their way: the client must be closed, then settle called.
func (r *round) send(ctx context.Context, cl *kgo.Client) error {
	r.wg.Add(len(r.recs))
	for i := range r.recs {
		// The context bounds the flush, not each record: a record that is
		// given up alone would leave a gap in its partition.
		cl.Produce(context.Background(), &r.recs[i], r.promise)
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	r.wg.Wait()
	if r.err != nil {
		return fmt.Errorf("produce: %w", r.err)
	}
	return nil
}

func (r *round) promise(rec *kgo.Record, err error) {
	if err != nil {
		r.mu.Lock()
		if r.err == nil {
			r.err = fmt.Errorf("%s/%d: %w", rec.Topic, rec.Partition, err)
		}
		r.mu.Unlock()
	}
	r.wg.Done()
}

// settle waits until franz-go is done with the records of a failed round, so
// that the caller may use its bytes again.
func (r *round) settle() {
	r.wg.Wait()
	r.recs, r.headers = nil, nil
}

// release forgets the bytes of a finished round.
func (r *round) release() {
	clear(r.recs)
	clear(r.headers)
}

// next returns the offset after the last record of each partition.
func (r *round) next() map[record.TopicPartition]int64 {
	next := map[record.TopicPartition]int64{}
	var tp record.TopicPartition
	at := int64(-1)
	flush := func() {
		if at >= 0 {
			next[tp] = max(next[tp], at)
		}
	}
	for i := range r.recs {
		rec := &r.recs[i]
		if rec.Partition != tp.Partition || rec.Topic != tp.Topic {
			flush()
			tp, at = record.TopicPartition{Topic: rec.Topic, Partition: rec.Partition}, -1
		}
		at = max(at, rec.Offset+1)
	}
	flush()
	return next
}

// asGroup returns the transport's own group type.
func asGroup(g runtime.Group) (*group, error) {
	own, ok := g.(*group)
	if !ok {
		return nil, fmt.Errorf("kafka: offsets must be committed with a group that this transport joined, not a %T", g)
	}
	return own, nil
}

var errNeedsRecover = errors.New("kafka: the outcome of the last round is unknown: call Recover before the next Commit")
