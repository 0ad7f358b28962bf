package kafka

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// leader fetches from one broker, one request at a time.
type leader struct {
	f     *fetcher
	id    int32
	wake  chan struct{}
	turn  int
	dec   decoder
	fails int
}

// lead returns the leader for a broker, started if need be.
func (f *fetcher) lead(id int32) *leader {
	l := f.leaders[id]
	if l == nil {
		l = &leader{f: f, id: id, wake: make(chan struct{}, 1), dec: decoder{kgo.DefaultDecompressor()}}
		f.leaders[id] = l
		f.wg.Add(1)
		go l.run()
	}
	return l
}

// asked is what a request asks for, and when: cursors with their positions at
// the time.
type asked struct {
	at      time.Time
	cursors []*cursor
	from    []int64
}

func (l *leader) run() {
	defer l.f.wg.Done()
	for l.f.ctx.Err() == nil {
		req, ask, again := l.prepare()
		if req == nil {
			l.sleep(again)
			continue
		}
		resp, err := l.f.cl.Broker(int(l.id)).Request(l.f.ctx, req)
		l.f.release()
		if err != nil {
			l.failed(ask, err)
			continue
		}
		l.fails = 0
		l.answer(ask, resp.(*kmsg.FetchResponse)) //nolint:forcetypeassert // franz-go pairs them
	}
}

// sleep waits to be woken, or for a backoff to end.
func (l *leader) sleep(again time.Duration) {
	var timer <-chan time.Time
	if again > 0 {
		t := time.NewTimer(again)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-l.wake:
	case <-timer:
	case <-l.f.ctx.Done():
	}
}

func (f *fetcher) release() {
	f.mu.Lock()
	f.reserved -= f.requestBytes
	f.mu.Unlock()
}

// prepare builds the next request, or returns nil when there is nothing to
// ask for or no room for an answer; again is then when to look anew.
func (l *leader) prepare() (req *kmsg.FetchRequest, ask asked, again time.Duration) {
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	held := 0
	for _, cur := range f.order {
		if cur.leader != l.id || cur.paused || cur.failed {
			continue
		}
		held += cur.bytes
		if d := cur.after.Sub(now); d > 0 {
			if again == 0 || d < again {
				again = d
			}
			continue
		}
		ask.cursors = append(ask.cursors, cur)
	}
	// All partitions of a broker are asked for together or not at all:
	// else the broker would wait on the idle ones while the busy one waits
	// for that request to end.
	if len(ask.cursors) == 0 || held >= f.requestBytes || !f.room() {
		return nil, asked{}, again
	}
	f.reserved += f.requestBytes
	l.turn++
	ask.cursors = rotate(ask.cursors, l.turn)
	req = f.request(&ask)
	return req, ask, 0
}

// room reports whether the answer to one more request may be buffered.
func (f *fetcher) room() bool {
	if f.buffered+f.reserved+f.requestBytes <= f.maxBytes || f.buffered+f.reserved == 0 {
		return true
	}
	f.evictPaused()
	return f.buffered+f.reserved+f.requestBytes <= f.maxBytes || f.buffered+f.reserved == 0
}

// rotate gives each partition its turn at the front, where brokers fill the
// answer from, with the doubtful before all.
func rotate(cursors []*cursor, turn int) []*cursor {
	n := turn % len(cursors)
	out := slices.Concat(cursors[n:], cursors[:n])
	slices.SortStableFunc(out, func(a, b *cursor) int {
		switch {
		case a.doubt == b.doubt:
			return 0
		case a.doubt:
			return -1
		}
		return 1
	})
	return out
}

// request asks without a fetch session (KIP-227), so that positions are those
// of this request alone. ask ends up in the order of the request, in which
// brokers fill their answer.
func (f *fetcher) request(ask *asked) *kmsg.FetchRequest {
	ask.at = time.Now()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(f.wait.Milliseconds())
	req.MinBytes = 1
	var partBytes int32
	req.MaxBytes, partBytes = f.limits(len(ask.cursors))
	req.IsolationLevel = 1
	req.SessionEpoch = -1
	index := map[string]int{}
	groups := [][]*cursor{}
	for _, cur := range ask.cursors {
		i, ok := index[cur.tp.Topic]
		if !ok {
			i = len(req.Topics)
			index[cur.tp.Topic] = i
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic, rt.TopicID = cur.tp.Topic, cur.id
			req.Topics = append(req.Topics, rt)
			groups = append(groups, nil)
		}
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition = cur.tp.Partition
		rp.CurrentLeaderEpoch = cur.leaderEpoch
		rp.FetchOffset = cur.next
		rp.PartitionMaxBytes = partBytes
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
		groups[i] = append(groups[i], cur)
	}
	ask.cursors = slices.Concat(groups...)
	for _, cur := range ask.cursors {
		ask.from = append(ask.from, cur.next)
	}
	return req
}

// limits bounds an answer by its partitions alone, never as a whole. It works
// round kfake, which leaves the list of aborted transactions out of a
// partition at which an answer became full, so that aborted records look
// committed (TestAbortedRecordsInFullAnswers). It costs nothing elsewhere:
// the partitions of a request share what the answer may have.
func (f *fetcher) limits(partitions int) (request, partition int32) {
	share := max(min(f.partBytes, f.requestBytes/partitions), 1<<10)
	return math.MaxInt32, int32(min(share, 1<<30))
}

// failed backs off all partitions of a request that got no answer, and looks
// for their leader anew.
func (l *leader) failed(ask asked, err error) {
	if l.f.ctx.Err() != nil {
		return
	}
	l.f.lost.Store(true)
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.fails++
	until := time.Now().Add(backoff(l.fails))
	for _, cur := range ask.cursors {
		cur.after = until
		if !passing(err) {
			l.f.failLive(cur, err)
		}
		cur.leader = noLeader
	}
	signal(l.f.lookup)
}

// failLive fails a cursor unless it was replaced meanwhile.
func (f *fetcher) failLive(cur *cursor, err error) {
	if f.cursors[cur.tp] == cur && !cur.failed {
		f.fail(cur, err)
	}
}

// answer takes a response apart. Decoding runs outside of the lock.
func (l *leader) answer(ask asked, resp *kmsg.FetchResponse) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		l.failed(ask, err)
		return
	}
	parts := map[record.TopicPartition]*kmsg.FetchResponseTopicPartition{}
	names := map[[16]byte]string{}
	for _, cur := range ask.cursors {
		names[cur.id] = cur.tp.Topic
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		name := rt.Topic
		if name == "" {
			name = names[rt.TopicID]
		}
		for j := range rt.Partitions {
			parts[record.TopicPartition{Topic: name, Partition: rt.Partitions[j].Partition}] = &rt.Partitions[j]
		}
	}
	first := true // no records in the answer so far
	for i, cur := range ask.cursors {
		rp := parts[cur.tp]
		if rp == nil {
			continue // the broker ran out of room, or throttles
		}
		l.partition(cur, &ask, ask.from[i], rp, first)
		first = first && len(rp.RecordBatches) == 0
	}
}

// partition takes in the answer for one partition.
func (l *leader) partition(cur *cursor, ask *asked, from int64, rp *kmsg.FetchResponseTopicPartition, first bool) {
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		l.refused(cur, from, err)
		return
	}
	out, err := l.dec.decode(cur.tp, from, rp)
	if err != nil {
		l.refused(cur, from, err)
		return
	}
	doubt := false
	if len(rp.RecordBatches) == 0 && rp.LastStableOffset > from {
		// The log goes on, yet there is nothing. A broker that had room
		// for at least one batch, as it has for the first partition of a
		// request, would have sent it, and it read the last stable offset
		// before it read the log: compaction emptied the rest. Where data
		// may be in tiered storage, which never holds compacted topics,
		// an empty answer can also be a read that took too long.
		doubt = !first
		if first && l.f.compacted(cur.tp.Topic) {
			out.next = rp.LastStableOffset
		}
	}
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursors[cur.tp] != cur || cur.next != from || cur.failed {
		return // set anew, removed, or evicted
	}
	cur.failures, cur.unknown, cur.doubt = 0, 0, doubt
	before, whole := cur.whole, time.Time{}
	if out.next >= rp.LastStableOffset && rp.LastStableOffset >= 0 {
		whole = ask.at
	}
	if out.next == from {
		if !whole.IsZero() {
			before, cur.whole = whole, whole
		}
		if f.idle == 0 || whole.Sub(cur.told) < f.idle {
			return
		}
	}
	cur.next, cur.whole = out.next, whole
	if !whole.IsZero() {
		cur.told = whole
	}
	b := runtime.Batch{
		// The broker looked up its watermark before it read the log.
		TP: cur.tp, Records: out.records, Next: out.next, HighWatermark: max(rp.HighWatermark, out.next),
		Read: time.Now(), Before: before, Whole: whole,
	}
	f.push(cur, chunk{Batch: b, from: from, bytes: out.bytes + 64})
}

// maxCorrupt is how often a corrupt batch is fetched again before it is
// reported: another replica or a second try may be fine.
const maxCorrupt = 5

// refused handles an error for one partition.
func (l *leader) refused(cur *cursor, from int64, err error) {
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursors[cur.tp] != cur || cur.next != from || cur.failed {
		return
	}
	cur.failures++
	cur.after = time.Now().Add(backoff(cur.failures))
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		f.fail(cur, fmt.Errorf("%w: %w", runtime.ErrOffsetOutOfRange, err))
	case errors.Is(err, errCorrupt), errors.Is(err, kerr.CorruptMessage):
		if cur.failures >= maxCorrupt {
			f.fail(cur, err)
		}
	case errors.Is(err, kerr.UnknownServerError):
	case passing(err):
		// Stale knowledge of the leader, mostly.
		cur.leader = noLeader
		signal(f.lookup)
	case errors.Is(err, kerr.FencedLeaderEpoch), errors.Is(err, kerr.UnknownLeaderEpoch),
		errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
		cur.leader = noLeader
		signal(f.lookup)
	default:
		f.fail(cur, err)
	}
}
