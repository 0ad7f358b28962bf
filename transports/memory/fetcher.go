package memory

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// defaultFetchBytes bounds what one Poll returns.
const defaultFetchBytes = 64 << 20

// A fetcher reads the logs when it is polled; it buffers nothing.
type fetcher struct {
	t      *Transport
	bytes  int
	every  time.Duration   // FetchConfig.Idle
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	at     map[record.TopicPartition]int64
	paused map[record.TopicPartition]bool
	// before says when there was last nothing to read, of partitions where that
	// is known; idle are those of which it was so after the last read.
	// told is when the reader heard of it, or the partition was set.
	before, told map[record.TopicPartition]time.Time
	idle         []record.TopicPartition
	// order is in which order partitions are read. Who was read goes to the
	// end, so that a limit starves nobody.
	order []record.TopicPartition
}

var _ runtime.Fetcher = (*fetcher)(nil)

// Fetcher implements runtime.Transport.
func (t *Transport) Fetcher(cfg runtime.FetchConfig) (runtime.Fetcher, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultFetchBytes
	}
	f := &fetcher{
		t: t, bytes: cfg.MaxBytes, every: cfg.Idle,
		at: make(map[record.TopicPartition]int64), paused: make(map[record.TopicPartition]bool),
		before: make(map[record.TopicPartition]time.Time), told: make(map[record.TopicPartition]time.Time),
	}
	f.ctx, f.cancel = context.WithCancel(t.ctx)
	if f.ctx.Err() != nil {
		f.cancel()
		return nil, errClosed
	}
	return f, nil
}

// Set implements runtime.Fetcher. Partitions that it sets are not paused.
func (f *fetcher) Set(at map[record.TopicPartition]int64) {
	var fresh []record.TopicPartition
	for tp, offset := range at {
		if _, ok := f.at[tp]; !ok {
			fresh = append(fresh, tp)
		}
		f.at[tp] = offset
		delete(f.paused, tp)
		delete(f.before, tp)
		f.told[tp] = time.Now()
	}
	slices.SortFunc(fresh, record.TopicPartition.Compare)
	f.order = append(f.order, fresh...)
}

// Remove implements runtime.Fetcher.
func (f *fetcher) Remove(parts []record.TopicPartition) {
	for _, tp := range parts {
		delete(f.at, tp)
		delete(f.paused, tp)
		delete(f.before, tp)
		delete(f.told, tp)
	}
	f.order = slices.DeleteFunc(f.order, func(tp record.TopicPartition) bool {
		_, ok := f.at[tp]
		return !ok
	})
}

// Pause implements runtime.Fetcher.
func (f *fetcher) Pause(parts []record.TopicPartition) {
	for _, tp := range parts {
		if _, ok := f.at[tp]; ok {
			f.paused[tp] = true
		}
	}
}

// Resume implements runtime.Fetcher.
func (f *fetcher) Resume(parts []record.TopicPartition) {
	for _, tp := range parts {
		delete(f.paused, tp)
	}
}

// Close implements runtime.Fetcher.
func (f *fetcher) Close() { f.cancel() }

// Poll implements runtime.Fetcher. A partition whose topic does not exist is
// waited for.
func (f *fetcher) Poll(ctx context.Context, maxRecords int) []runtime.Batch {
	for {
		if f.ctx.Err() != nil {
			return nil
		}
		batches, changed := f.read(maxRecords)
		if len(batches) > 0 || ctx.Err() != nil {
			return batches
		}
		select {
		case <-changed.done:
			for _, tp := range f.idle {
				f.before[tp] = changed.at
			}
		case <-f.next():
		case <-ctx.Done():
		case <-f.ctx.Done():
		}
	}
}

// next is when the next partition that has nothing to read has to say so.
func (f *fetcher) next() <-chan time.Time {
	var at time.Time
	for _, tp := range f.idle {
		if due := f.told[tp].Add(f.every); at.IsZero() || due.Before(at) {
			at = due
		}
	}
	if f.every == 0 || at.IsZero() {
		return nil
	}
	return time.After(time.Until(at))
}

// read reads all partitions once.
func (f *fetcher) read(maxRecords int) (batches []runtime.Batch, changed *change) {
	b := f.t.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	l := limits{records: maxRecords, bytes: f.bytes}
	var gone, later, done []record.TopicPartition
	f.idle = f.idle[:0]
	for _, tp := range f.order {
		if f.paused[tp] || maxRecords > 0 && l.records <= 0 || l.bytes <= 0 {
			later = append(later, tp)
			continue
		}
		batch, ok := f.readOne(tp, l)
		if !ok {
			later = append(later, tp)
			continue
		}
		batches = append(batches, batch)
		if batch.Err != nil {
			gone = append(gone, tp)
			continue
		}
		l.records -= len(batch.Records)
		l.bytes -= weight(batch.Records)
		done = append(done, tp)
	}
	f.order = slices.Concat(later, done)
	f.Remove(gone)
	return batches, b.upcoming()
}

// readOne reads one partition; ok is false when there is nothing new.
func (f *fetcher) readOne(tp record.TopicPartition, l limits) (batch runtime.Batch, ok bool) {
	from := f.at[tp]
	got, err := f.t.broker.fetch(tp, from, l)
	switch {
	case errors.Is(err, ErrUnknownPartition):
		return batch, false
	case err != nil:
		return runtime.Batch{TP: tp, Next: from, Err: err}, true
	}
	now, before := time.Now(), f.before[tp]
	if delete(f.before, tp); got.Next >= got.LastStable {
		f.before[tp] = now
		f.idle = append(f.idle, tp)
	}
	if got.Next == from {
		if f.every == 0 || f.before[tp].Sub(f.told[tp]) < f.every {
			return batch, false
		}
		before = f.before[tp]
	}
	if got.Next >= got.LastStable {
		f.told[tp] = now
	}
	f.at[tp] = got.Next
	batch = runtime.Batch{TP: tp, Records: cloneRecords(got.Records), Next: got.Next, HighWatermark: got.End, Read: now, Before: before, Whole: f.before[tp]}
	return batch, true
}

func weight(recs []record.Record) int {
	n := 0
	for i := range recs {
		n += len(recs[i].Key) + len(recs[i].Value)
	}
	return n
}
