package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
)

// What a log ends with must not keep a reader from its end.
func TestReadToTheEnd(t *testing.T) {
	t.Parallel()
	at := tp("log", 0)
	cases := []struct {
		name  string
		write func(w *world, plain, txn *kgo.Client)
		want  []string
	}{
		{"empty", func(*world, *kgo.Client, *kgo.Client) {}, []string{}},
		{"records", func(w *world, plain, _ *kgo.Client) { w.put(plain, at, "a", "b") }, []string{"a", "b"}},
		{"commit marker", func(w *world, plain, txn *kgo.Client) {
			w.put(plain, at, "a")
			w.transaction(txn, at, kgo.TryCommit, "b", "c")
		}, []string{"a", "b", "c"}},
		{"aborted", func(w *world, plain, txn *kgo.Client) {
			w.put(plain, at, "a")
			w.transaction(txn, at, kgo.TryAbort, "b", "c")
		}, []string{"a"}},
		{"only aborted", func(w *world, _, txn *kgo.Client) {
			w.transaction(txn, at, kgo.TryAbort, "b")
			w.transaction(txn, at, kgo.TryAbort, "c")
		}, []string{}},
		{"aborted between", func(w *world, plain, txn *kgo.Client) {
			w.transaction(txn, at, kgo.TryCommit, "a")
			w.transaction(txn, at, kgo.TryAbort, "b")
			w.put(plain, at, "c")
			w.transaction(txn, at, kgo.TryCommit, "d")
			w.transaction(txn, at, kgo.TryAbort, "e")
		}, []string{"a", "c", "d"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int32{"log": 1})
			c.write(w, w.raw(), w.raw(kgo.TransactionalID("writer")))
			for _, restore := range []bool{false, true} {
				f := w.fetcher(runtime.FetchConfig{FromLog: restore})
				for from := int64(0); from <= w.end(at); from++ {
					got := w.read(f, at, from, w.end(at))
					if from == 0 {
						same(t, "records", got, c.want)
					}
				}
			}
		})
	}
}

func TestReadWaitsForOpenTransaction(t *testing.T) {
	t.Parallel()
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		t.Run(fmt.Sprint("commit ", end), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int32{"log": 1})
			at := tp("log", 0)
			plain, txn := w.raw(), w.raw(kgo.TransactionalID("writer"))
			w.put(plain, at, "a")
			if err := txn.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			w.put(txn, at, "b")
			w.put(plain, at, "c")
			f := w.fetcher(runtime.FetchConfig{})
			same(t, "stable part", w.read(f, at, 0, 1), []string{"a"})
			// Nothing more comes while the transaction is open: several
			// fetches pass, and all are empty.
			idle := w.fetches(3)
			ctx, cancel := context.WithCancel(w.ctx)
			go func() { <-idle; cancel() }()
			if got := f.Poll(ctx, 0); len(got) > 0 {
				t.Fatalf("read past an open transaction: %+v", got)
			}
			if err := txn.EndTransaction(w.ctx, end); err != nil {
				t.Fatal(err)
			}
			want := []string{"c"}
			if end == kgo.TryCommit {
				want = []string{"b", "c"}
			}
			same(t, "rest", w.read(f, at, 1, w.end(at)), want)
		})
	}
}

// fetches returns a channel that is closed after n more fetch requests.
func (w *world) fetches(n int32) <-chan struct{} {
	done := make(chan struct{})
	var count atomic.Int32
	w.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if count.Add(1) == n {
			close(done)
		}
		return nil, nil, false
	})
	return done
}

func TestReadCompacted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	at := tp("table", 0)
	spec := runtime.TopicSpec{Partitions: 1, Replicas: 1, Config: map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "0"}}
	w.create("table", spec)
	plain, txn := w.raw(), w.raw(kgo.TransactionalID("writer"))
	for range 20 {
		w.put(plain, at, "a", "b", "c")
	}
	w.transaction(txn, at, kgo.TryAbort, "a", "b")
	w.transaction(txn, at, kgo.TryCommit, "d")
	w.cluster.Compact()
	// kfake, unlike Kafka, moves the log start to the first record left.
	ranges, err := w.Offsets(w.ctx, []record.TopicPartition{at})
	if err != nil {
		t.Fatal(err)
	}
	log := ranges[at]
	f := w.fetcher(runtime.FetchConfig{FromLog: true})
	same(t, "compacted", w.read(f, at, log.Start, log.End), []string{"a", "b", "c", "d"})
	for from := log.Start; from < log.End; from++ {
		w.read(f, at, from, log.End)
	}
}

// emptyTail answers fetches at and after an offset as a broker does whose log
// was compacted to nothing from there on.
// It returns a channel that is closed after n such answers.
func (w *world) emptyTail(from, end int64, n int) <-chan struct{} {
	return w.answer(from, end, n, end, []byte{})
}

// answer answers fetches from one offset to before another. It returns a channel
// that is closed after n such answers.
func (w *world) answer(from, to int64, n int, watermark int64, batches []byte) <-chan struct{} {
	done := make(chan struct{})
	w.cluster.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := kreq.(*kmsg.FetchRequest) //nolint:forcetypeassert // by key
		rp := &req.Topics[0].Partitions[0]
		if rp.FetchOffset < from || rp.FetchOffset >= to {
			return nil, nil, false
		}
		if n--; n == 0 {
			close(done)
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse) //nolint:forcetypeassert // by key
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset, p.RecordBatches = watermark, watermark, batches
		rt.Partitions = append(rt.Partitions, p)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	return done
}

// TestReadBeyondTheWatermark: a broker looks up the high watermark and the last
// stable offset before it reads the log, which may go on meanwhile.
func TestReadBeyondTheWatermark(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"log": 1})
	at := tp("log", 0)
	w.answer(0, 1, 1, 1, encodeBatch(t, 3))
	f := w.fetcher(runtime.FetchConfig{})
	if got := w.read(f, at, 0, 3); len(got) != 3 {
		t.Fatalf("read %q; want three records", got)
	}
}

func TestReadEmptiedTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"plain": 1})
	spec := runtime.TopicSpec{Partitions: 1, Replicas: 1, Config: map[string]string{"cleanup.policy": "compact"}}
	w.create("table", spec)
	cl := w.raw()
	for _, topic := range []string{"table", "plain"} {
		w.put(cl, tp(topic, 0), "a", "b", "c", "d")
	}
	idle := w.emptyTail(2, 4, 5)
	f := w.fetcher(runtime.FetchConfig{FromLog: true})
	same(t, "compacted tail", w.read(f, tp("table", 0), 3, 4), []string{})
	f.Remove([]record.TopicPartition{tp("table", 0)})
	// Without compaction an empty answer proves nothing and must not skip.
	f.Set(map[record.TopicPartition]int64{tp("plain", 0): 2})
	ctx, cancel := context.WithCancel(w.ctx)
	go func() { <-idle; cancel() }()
	if got := f.Poll(ctx, 0); len(got) > 0 || w.ctx.Err() != nil {
		t.Fatalf("an empty answer skipped records: %+v", got)
	}
}

func TestOffsetOutOfRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"log": 2})
	w.put(w.raw(), tp("log", 0), "a", "b", "c")
	if err := w.DeleteRecords(w.ctx, map[record.TopicPartition]int64{tp("log", 0): 2}); err != nil {
		t.Fatal(err)
	}
	f := w.fetcher(runtime.FetchConfig{})
	for _, at := range []int64{0, 9} {
		f.Set(map[record.TopicPartition]int64{tp("log", 0): at})
		b := f.Poll(w.ctx, 0)
		if len(b) != 1 || !errors.Is(b[0].Err, runtime.ErrOffsetOutOfRange) || b[0].TP != tp("log", 0) {
			t.Fatalf("offset %d: %+v", at, b)
		}
	}
	same(t, "valid again", w.read(f, tp("log", 0), 2, 3), []string{"c"})
}

func TestFetchUnknownTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"log": 1})
	w.put(w.raw(), tp("log", 0), "a")
	w.maxUnknown = 4
	f := w.fetcher(runtime.FetchConfig{})
	f.Set(map[record.TopicPartition]int64{tp("log", 0): 0, tp("log", 7): 0, tp("none", 0): 0})
	failed := map[record.TopicPartition]bool{}
	for len(failed) < 2 && w.ctx.Err() == nil {
		for _, b := range f.Poll(w.ctx, 0) {
			if b.Err != nil {
				failed[b.TP] = true
			}
		}
	}
	if !failed[tp("log", 7)] || !failed[tp("none", 0)] {
		t.Fatalf("failed: %v", failed)
	}
}

func TestFetchRecreatedTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"log": 1})
	at := tp("log", 0)
	w.put(w.raw(), at, "a", "b")
	f := w.fetcher(runtime.FetchConfig{})
	same(t, "old", w.read(f, at, 0, 2), []string{"a", "b"})
	if err := w.DeleteTopic(w.ctx, "log"); err != nil {
		t.Fatal(err)
	}
	w.create("log", runtime.TopicSpec{Partitions: 1, Replicas: 1})
	w.put(w.raw(), at, "x", "y", "z")
	b := f.Poll(w.ctx, 0)
	if len(b) != 1 || b[0].Err == nil || len(b[0].Records) > 0 {
		t.Fatalf("read on in another topic: %+v", b)
	}
	same(t, "new", w.read(f, at, 0, 3), []string{"x", "y", "z"})
}

// numbered fills partitions with records whose value is their offset.
func (w *world) numbered(topic string, partitions int32, n int) {
	w.t.Helper()
	cl := w.raw()
	var recs []*kgo.Record
	for p := range partitions {
		for i := range n {
			recs = append(recs, &kgo.Record{Topic: topic, Partition: p, Value: []byte(strconv.Itoa(i))})
		}
	}
	if err := cl.ProduceSync(w.ctx, recs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// After Set, Poll starts exactly there, whatever was buffered or on its way.
func TestSetDropsWhatWasBuffered(t *testing.T) {
	t.Parallel()
	const parts, size, seeks = 3, 2000, 1000
	w := newWorld(t, map[string]int32{"log": parts}, kfake.NumBrokers(3))
	w.numbered("log", parts, size)
	rng := rand.New(rand.NewPCG(1, 2))
	f := w.fetcher(runtime.FetchConfig{MaxBytes: 64 << 10})
	want := map[record.TopicPartition]int64{}
	for seek := range seeks {
		at := map[record.TopicPartition]int64{}
		for p := range int32(parts) {
			if rng.IntN(2) == 0 {
				at[tp("log", p)] = rng.Int64N(size)
				want[tp("log", p)] = at[tp("log", p)]
			}
		}
		if gone := tp("log", rng.Int32N(parts)); seek%10 == 0 {
			delete(want, gone)
			delete(at, gone)
			f.Remove([]record.TopicPartition{gone})
		}
		f.Set(at)
		live := 0
		for _, next := range want {
			if next < size {
				live++
			}
		}
		for range rng.IntN(3) {
			if live == 0 {
				break
			}
			live -= w.follow(f, want, 1+rng.IntN(300), size)
		}
	}
}

// follow polls once and checks that each partition goes on where it stood. It
// returns how many partitions came to their end.
func (w *world) follow(f runtime.Fetcher, want map[record.TopicPartition]int64, limit int, size int64) int {
	w.t.Helper()
	ended, got := 0, 0
	for _, b := range f.Poll(w.ctx, limit) {
		next, ok := want[b.TP]
		if !ok || b.Err != nil {
			w.t.Fatalf("batch of %v, which is not read: %v", b.TP, b.Err)
		}
		for _, r := range b.Records {
			if r.Offset != next || string(r.Value) != strconv.FormatInt(next, 10) {
				w.t.Fatalf("%v: got offset %d, value %s, want %d", b.TP, r.Offset, r.Value, next)
			}
			next++
		}
		if b.Next != next {
			w.t.Fatalf("%v: next is %d, want %d", b.TP, b.Next, next)
		}
		got += len(b.Records)
		want[b.TP] = next
		if next == size {
			ended++
		}
	}
	if got > limit || got == 0 {
		w.t.Fatalf("%d records for a limit of %d", got, limit)
	}
	return ended
}

// Pausing loses and repeats nothing, and holds back what is buffered; the
// small buffer makes paused partitions give theirs up.
func TestPauseResume(t *testing.T) {
	t.Parallel()
	const parts, size = 3, 4000
	w := newWorld(t, map[string]int32{"log": parts}, kfake.NumBrokers(2))
	w.numbered("log", parts, size)
	rng := rand.New(rand.NewPCG(3, 4))
	f := w.fetcher(runtime.FetchConfig{MaxBytes: 4 << 10})
	want := map[record.TopicPartition]int64{}
	for p := range int32(parts) {
		want[tp("log", p)] = 0
	}
	f.Set(want)
	for done := 0; done < parts; {
		var paused []record.TopicPartition
		held := map[record.TopicPartition]int64{}
		live := 0
		for p := range int32(parts) {
			if rng.IntN(2) == 0 {
				paused = append(paused, tp("log", p))
				held[tp("log", p)] = want[tp("log", p)]
			} else if want[tp("log", p)] < size {
				live++
			}
		}
		f.Pause(paused)
		if live > 0 {
			done += w.follow(f, want, 1+rng.IntN(500), size)
		}
		for at, next := range held {
			if want[at] != next {
				t.Fatalf("%v moved while it was paused", at)
			}
		}
		f.Resume(paused)
	}
}

func TestPollEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"log": 1})
	f := w.fetcher(runtime.FetchConfig{})
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if got := f.Poll(ctx, 0); len(got) > 0 {
		t.Fatalf("nothing is read, yet %v", got)
	}
	polled := make(chan []runtime.Batch)
	go func() { polled <- f.Poll(w.ctx, 0) }()
	f.Close()
	if got := <-polled; len(got) > 0 {
		t.Fatalf("closed, yet %v", got)
	}
}

func TestRecordFields(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int32{"log": 1})
			w.Transport = w.connect(Config{Compression: codec})
			sent := []record.Record{
				{Topic: "log", Time: 1700000000123, Key: []byte("key"), Value: []byte("value"), Headers: []record.Header{{Key: "h", Value: []byte("v")}, {Key: "null"}}},
				{Topic: "log", Time: 5, Key: []byte{}, Value: nil},
				{Topic: "log", Time: 7, Key: nil, Value: []byte{}},
			}
			res := w.producer("").Commit(w.ctx, runtime.Commit{Records: [][]record.Record{sent}})
			if res.Outcome != runtime.Committed || res.Next[tp("log", 0)] != 3 {
				t.Fatalf("%+v", res)
			}
			f := w.fetcher(runtime.FetchConfig{})
			f.Set(map[record.TopicPartition]int64{tp("log", 0): 0})
			var got []record.Record
			for len(got) < len(sent) && w.ctx.Err() == nil {
				for _, b := range f.Poll(w.ctx, 2) {
					got = append(got, b.Records...)
				}
			}
			for i := range sent {
				sent[i].Offset = int64(i)
				if fmt.Sprintf("%#v", got[i]) != fmt.Sprintf("%#v", sent[i]) {
					t.Errorf("got %#v\nwant %#v", got[i], sent[i])
				}
			}
		})
	}
}

func BenchmarkPoll(b *testing.B) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "log"), kfake.SyntheticFetch(kfake.SyntheticBatch{RecordBytes: 100}))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	tr, err := New(Config{Brokers: cluster.ListenAddrs(), Dialer: loopback(nil)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tr.Close() }()
	f, err := tr.Fetcher(runtime.FetchConfig{})
	if err != nil {
		b.Fatal(err)
	}
	f.Set(map[record.TopicPartition]int64{tp("log", 0): 0, tp("log", 1): 0, tp("log", 2): 0, tp("log", 3): 0})
	b.ReportAllocs()
	for n := 0; n < b.N; {
		for _, batch := range f.Poll(context.Background(), b.N-n) {
			n += len(batch.Records)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	raw := encodeBatch(b, 1000)
	rp := &kmsg.FetchResponseTopicPartition{RecordBatches: raw}
	d := decoder{kgo.DefaultDecompressor()}
	b.ReportAllocs()
	for n := 0; n < b.N; n += 1000 {
		out, err := d.decode(tp("log", 0), 0, rp)
		if err != nil || len(out.records) != 1000 {
			b.Fatal(err, len(out.records))
		}
	}
}

// A reader that has nothing to read for long knows that it missed nothing: each
// empty answer says so.
func TestIdleReaderKnowsThatItMissedNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int32{"log": 1})
	at := tp("log", 0)
	plain := w.raw()
	w.put(plain, at, "a")
	f := w.fetcher(runtime.FetchConfig{FromLog: true})
	w.read(f, at, 0, w.end(at))
	asked := make(chan time.Time, 100)
	w.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		select {
		case asked <- time.Now():
		default:
		}
		return nil, nil, false
	})
	polled := make(chan []runtime.Batch, 1)
	go func() { polled <- f.Poll(t.Context(), 0) }()
	first := <-asked
	<-asked // the first is answered
	<-asked // and the second, which was asked after the first came here
	w.put(plain, at, "b")
	got := <-polled
	if len(got) != 1 || len(got[0].Records) != 1 || got[0].Before.Before(first) {
		t.Fatalf("polled %+v, want one record, and nothing before it at a time after %v", got, first)
	}
}
