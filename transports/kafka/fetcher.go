package kafka

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// DefaultFetchBytes is what a fetcher buffers when runtime.FetchConfig leaves
// it open.
const DefaultFetchBytes = 64 << 20

// fetcher reads partitions with fetch requests of its own.
//
// It does not use franz-go's consumer, for two promises of runtime.Fetcher.
// After Set nothing older may come: here a position is a cursor, Set replaces
// the cursor, and an answer to a request for a replaced cursor is dropped. And
// Next must move past what holds no records (transaction markers, aborted
// data, a tail that compaction emptied), which franz-go tracks but does not
// tell.
type fetcher struct {
	t   *Transport
	cl  *kgo.Client
	log interface {
		Warn(msg string, args ...any)
	}

	maxBytes     int // of all buffers
	requestBytes int
	partBytes    int
	idle, wait   time.Duration

	ctx    context.Context //nolint:containedctx // the life of the goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup

	ready  chan struct{} // something to poll
	lookup chan struct{} // some cursor has no leader
	// lost says that cl may not know where the brokers are, which it learns
	// from what it is told about leaders. Else the transport's client, which
	// has connections for that, asks for them.
	lost atomic.Bool

	mu       sync.Mutex
	cursors  map[record.TopicPartition]*cursor
	order    []*cursor // of cursors, for fair turns
	turn     int
	buffered int // bytes in all queues
	reserved int // bytes that requests under way may bring
	leaders  map[int32]*leader
	policies map[string]bool // topic: compacted
}

var _ runtime.Fetcher = (*fetcher)(nil)

// cursor is one position in one partition, from one Set to the next.
type cursor struct {
	tp     record.TopicPartition
	next   int64 // to fetch
	paused bool
	failed bool // an error is queued; nothing is fetched any more

	id          [16]byte // of the topic, zero when not known
	leader      int32    // -1 when not known
	leaderEpoch int32

	// whole is when there was last nothing to read at next, zero when there
	// was. told is when the reader was last told so, or the cursor was set.
	whole, told time.Time

	failures int
	unknown  int // metadata answers in a row without the partition
	after    time.Time
	// doubt says that the partition came back empty below the last stable
	// offset behind others in a request: it goes first in the next.
	doubt bool

	queue []chunk
	bytes int
}

// chunk is a batch with where it began, to fetch it again if it is dropped.
type chunk struct {
	runtime.Batch
	from  int64
	bytes int
}

const noLeader = -1

// Fetcher implements runtime.Transport.
func (t *Transport) Fetcher(cfg runtime.FetchConfig) (runtime.Fetcher, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultFetchBytes
	}
	if cfg.MaxBytes < 1<<10 {
		return nil, fmt.Errorf("kafka: a fetcher cannot work with %d bytes: use at least 1 KiB", cfg.MaxBytes)
	}
	cl, err := t.client(patient()...)
	if err != nil {
		return nil, err
	}
	f := &fetcher{
		t: t, cl: cl, log: t.cfg.Logger, idle: cfg.Idle, wait: t.cfg.FetchWait,
		maxBytes: cfg.MaxBytes, requestBytes: max(cfg.MaxBytes/16, 1<<10), partBytes: 1 << 20,
		ready: make(chan struct{}, 1), lookup: make(chan struct{}, 1),
		cursors: map[record.TopicPartition]*cursor{},
		leaders: map[int32]*leader{}, policies: map[string]bool{},
	}
	if cfg.FromLog {
		f.requestBytes, f.partBytes = max(cfg.MaxBytes/8, 1<<10), 8<<20
	}
	f.partBytes = min(f.partBytes, f.requestBytes)
	f.lost.Store(true)
	if cfg.Wait > 0 {
		f.wait = min(cfg.Wait, f.wait)
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	if err := t.track(f); err != nil {
		f.Close()
		return nil, err
	}
	f.wg.Add(1)
	go f.lookups()
	return f, nil
}

// Close implements runtime.Fetcher.
func (f *fetcher) Close() {
	f.cancel()
	f.wg.Wait()
	f.cl.Close()
	f.t.forget(f)
}

// signal wakes the one that waits on ch, now or next time.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Set implements runtime.Fetcher.
func (f *fetcher) Set(at map[record.TopicPartition]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for tp, offset := range at {
		cur := &cursor{tp: tp, next: offset, leader: noLeader, leaderEpoch: -1, told: now}
		if old := f.cursors[tp]; old != nil {
			cur.id, cur.leader, cur.leaderEpoch = old.id, old.leader, old.leaderEpoch
			f.drop(old)
			f.order[slices.Index(f.order, old)] = cur
		} else {
			f.order = append(f.order, cur)
		}
		f.cursors[tp] = cur
	}
	f.wakeAll()
}

// Remove implements runtime.Fetcher.
func (f *fetcher) Remove(parts []record.TopicPartition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tp := range parts {
		if cur := f.cursors[tp]; cur != nil {
			f.remove(cur)
		}
	}
	f.wakeAll()
}

func (f *fetcher) remove(cur *cursor) {
	f.drop(cur)
	delete(f.cursors, cur.tp)
	i := slices.Index(f.order, cur)
	f.order = slices.Delete(f.order, i, i+1)
}

// drop empties a queue.
func (f *fetcher) drop(cur *cursor) {
	f.buffered -= cur.bytes
	cur.queue, cur.bytes = nil, 0
}

// Pause implements runtime.Fetcher. What is buffered stays, and is not polled
// until Resume.
func (f *fetcher) Pause(parts []record.TopicPartition) { f.setPaused(parts, true) }

// Resume implements runtime.Fetcher.
func (f *fetcher) Resume(parts []record.TopicPartition) { f.setPaused(parts, false) }

func (f *fetcher) setPaused(parts []record.TopicPartition, paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tp := range parts {
		if cur := f.cursors[tp]; cur != nil {
			cur.paused = paused
		}
	}
	f.wakeAll()
}

// evictPaused makes room: what paused partitions hold will be fetched again.
func (f *fetcher) evictPaused() {
	for _, cur := range f.order {
		if cur.paused && !cur.failed && len(cur.queue) > 0 {
			cur.next, cur.whole = cur.queue[0].from, cur.queue[0].Before
			f.drop(cur)
		}
	}
}

// wakeAll lets everyone look again.
func (f *fetcher) wakeAll() {
	signal(f.ready)
	signal(f.lookup)
	for _, l := range f.leaders {
		signal(l.wake)
	}
}

// Poll implements runtime.Fetcher.
func (f *fetcher) Poll(ctx context.Context, limit int) []runtime.Batch {
	for {
		if batches := f.take(limit); len(batches) > 0 {
			return batches
		}
		select {
		case <-f.ready:
		case <-ctx.Done():
			return f.take(limit)
		case <-f.ctx.Done():
			return nil
		}
	}
}

// take empties queues in turn, up to limit records.
func (f *fetcher) take(limit int) []runtime.Batch {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return nil
	}
	var batches []runtime.Batch
	var failed []*cursor
	got := 0
	for i := range f.order {
		cur := f.order[(f.turn+i)%len(f.order)]
		for !cur.paused && len(cur.queue) > 0 && (limit <= 0 || got < limit) {
			b := f.pop(cur, limit-got, limit > 0)
			got += len(b.Records)
			batches = append(batches, b)
			if b.Err != nil {
				failed = append(failed, cur)
			}
		}
	}
	for _, cur := range failed {
		f.remove(cur)
	}
	if len(batches) > 0 {
		f.turn++
		for _, l := range f.leaders {
			signal(l.wake)
		}
	}
	return batches
}

// pop takes the first chunk of a cursor, or as much of it as fits.
func (f *fetcher) pop(cur *cursor, room int, limited bool) runtime.Batch {
	c := &cur.queue[0]
	if !limited || len(c.Records) <= room {
		b := c.Batch
		f.buffered -= c.bytes
		cur.bytes -= c.bytes
		cur.queue[0] = chunk{}
		if cur.queue = cur.queue[1:]; len(cur.queue) == 0 {
			cur.queue = nil
		}
		return b
	}
	b := c.Batch
	b.Records = c.Records[:room:room]
	b.Next = b.Records[room-1].Offset + 1
	b.Err, b.Whole = nil, time.Time{}
	c.Records, c.Before = c.Records[room:], time.Time{}
	c.from = b.Next
	return b
}

// push queues what a cursor received.
func (f *fetcher) push(cur *cursor, c chunk) {
	cur.queue = append(cur.queue, c)
	cur.bytes += c.bytes
	f.buffered += c.bytes
	signal(f.ready)
}

// fail queues an error as the last that comes from a cursor.
func (f *fetcher) fail(cur *cursor, err error) {
	cur.failed = true
	f.push(cur, chunk{Batch: runtime.Batch{TP: cur.tp, Next: cur.next, HighWatermark: -1, Err: fmt.Errorf("kafka: fetch %v at offset %d: %w", cur.tp, cur.next, err)}, from: cur.next})
}
