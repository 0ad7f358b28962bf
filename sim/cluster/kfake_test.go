package cluster

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A compacted is a topic of that name on a broker of its own.
type compacted struct {
	t    *testing.T
	ctx  context.Context
	fake *kfake.Cluster
}

func newCompacted(t *testing.T, configs map[string]string) *compacted {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	if err := fake.CreateTopic("compacted", 1, configs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return &compacted{t, ctx, fake}
}

func (c *compacted) client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.fake.ListenAddrs()...), kgo.DefaultProduceTopic("compacted"))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// send sends records one after the other, each in a batch of its own.
func (c *compacted) send(cl *kgo.Client, rs ...*kgo.Record) {
	c.t.Helper()
	for _, r := range rs {
		if err := cl.ProduceSync(c.ctx, r).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// committed is what a client reads that sees what is committed, to the
// newest, whose key is last.
func (c *compacted) committed(last string) (rs []*kgo.Record) {
	c.t.Helper()
	reader := c.client(kgo.ConsumeTopics("compacted"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for len(rs) == 0 || string(rs[len(rs)-1].Key) != last {
		fs := reader.PollFetches(c.ctx)
		if err := fs.Err0(); err != nil {
			c.t.Fatal(err)
		}
		rs = append(rs, fs.Records()...)
	}
	return rs
}

// TestKfakeCompactsOpenTransactions shows why compact waits: once it fails,
// kfake stops at the first offset of an open transaction, and compact can call
// it at once.
func TestKfakeCompactsOpenTransactions(t *testing.T) {
	t.Parallel()
	topic := newCompacted(t, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1"})
	plain, open := topic.client(), topic.client(kgo.TransactionalID("open"))
	topic.send(plain, kgo.KeyStringRecord("k", "committed"))
	if err := open.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	topic.send(open, kgo.KeyStringRecord("k", "aborted"))
	topic.send(plain, kgo.KeyStringRecord("other", "v")) // the newest batch is never compacted
	topic.fake.Compact()
	if err := open.EndTransaction(topic.ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	for _, r := range topic.committed("other") {
		if string(r.Key) == "k" {
			t.Errorf("read %q: kfake keeps what Kafka keeps now", r.Value)
		}
	}
}

// TestKfakeNamesAbortedTransactionsForever shows why forget is there: compaction
// removes an aborted transaction with its marker, but fetches go on to name it,
// and a client skips what its producer commits afterwards.
func TestKfakeNamesAbortedTransactionsForever(t *testing.T) {
	t.Parallel()
	topic := newCompacted(t, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1"})
	plain, transactional := topic.client(), topic.client(kgo.TransactionalID("producer"))
	transact := func(end kgo.TransactionEndTry, value string) {
		t.Helper()
		if err := transactional.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		topic.send(transactional, kgo.KeyStringRecord("k", value))
		if err := transactional.EndTransaction(topic.ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	topic.send(plain, kgo.KeyStringRecord("first", "stays, and the log begins with it"))
	transact(kgo.TryAbort, "aborted")
	topic.send(plain, kgo.KeyStringRecord("newest", "never compacted"))
	topic.fake.Compact()
	transact(kgo.TryCommit, "committed")
	topic.send(plain, kgo.KeyStringRecord("last", "v"))
	for _, r := range topic.committed("last") {
		if string(r.Key) == "k" {
			t.Errorf("read %q: kfake forgets aborted transactions as Kafka does now", r.Value)
		}
	}
}

// TestForget checks which aborted transactions a client still hears of.
func TestForget(t *testing.T) {
	t.Parallel()
	const version = 17
	id := [16]byte{1}
	batch := func(producer, offset int64, attributes int16) []byte {
		return (&kmsg.RecordBatch{FirstOffset: offset, Length: 49, Magic: 2, Attributes: attributes, ProducerID: producer}).AppendTo(nil)
	}
	const markers = 0x30
	for _, tt := range []struct {
		name    string
		topic   [16]byte
		first   int64
		batches []byte
		want    int64
	}{
		{name: "compacted", topic: id, first: 9, batches: batch(7, 30, 0), want: -2},
		{name: "compacted, markers left", topic: id, first: 9, batches: batch(7, 12, markers), want: -2},
		{name: "compacted, others left", topic: id, first: 9, batches: append(batch(8, 9, 0), batch(7, 8, 0)...), want: -2},
		{name: "answered before the compaction", topic: id, first: 9, batches: append(batch(8, 8, 0), batch(7, 9, 0)...), want: 7},
		{name: "after the compaction", topic: id, first: 20, batches: batch(7, 20, 0), want: 7},
		{name: "another topic", topic: [16]byte{2}, first: 9, want: 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &world{compacted: []extent{{"changelog", 3, 20}}}
			w.changelogIDs.Store(id, "changelog")
			resp := kmsg.FetchResponse{Version: version, Topics: []kmsg.FetchResponseTopic{{TopicID: tt.topic, Partitions: []kmsg.FetchResponseTopicPartition{{
				Partition:           3,
				AbortedTransactions: []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: tt.first}},
				RecordBatches:       tt.batches,
			}}}}}
			frame := resp.AppendTo(make([]byte, 9))
			w.forget(frame, version)
			got := kmsg.FetchResponse{Version: version}
			if err := got.ReadFrom(frame[9:]); err != nil {
				t.Fatal(err)
			}
			p := got.Topics[0].Partitions[0]
			if a := p.AbortedTransactions[0]; a.ProducerID != tt.want || a.FirstOffset != tt.first {
				t.Errorf("the transaction is %d's from %d, want %d's from %d", a.ProducerID, a.FirstOffset, tt.want, tt.first)
			}
			if !bytes.Equal(p.RecordBatches, tt.batches) {
				t.Error("the batches are others")
			}
		})
	}
}

// TestKfakeDeletesFromCompactedTopics shows why setRetention is there: once it
// fails, kfake keeps what Kafka keeps, and setRetention can set less.
func TestKfakeDeletesFromCompactedTopics(t *testing.T) {
	t.Parallel()
	topic := newCompacted(t, map[string]string{"cleanup.policy": "compact"})
	topic.send(topic.client(),
		&kgo.Record{Key: []byte("old"), Value: []byte("v"), Timestamp: time.UnixMilli(1_000_000_000_000)},
		&kgo.Record{Key: []byte("new"), Value: []byte("v")},
	)
	topic.fake.Compact()
	if at := topic.fake.PartitionInfo("compacted", 0).LogStartOffset; at != 1 {
		t.Errorf("the log starts at %d, not behind the old record: kfake does as Kafka does now", at)
	}
}

// TestKfakeTakesAgesFromEventTimes shows why stampOnAppend is there: a deletion
// that was just written, of an old event, is gone after a compaction. Kafka
// counts delete.retention.ms from when it first compacted it.
func TestKfakeTakesAgesFromEventTimes(t *testing.T) {
	t.Parallel()
	topic := newCompacted(t, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1", "delete.retention.ms": "3600000"})
	topic.send(topic.client(),
		&kgo.Record{Key: []byte("k"), Value: []byte("v")},
		&kgo.Record{Key: []byte("k"), Timestamp: time.UnixMilli(1_000_000_000_000)},
		&kgo.Record{Key: []byte("other"), Value: []byte("v")},
	)
	topic.fake.Compact()
	if at := topic.fake.PartitionInfo("compacted", 0).LogStartOffset; at != 2 {
		t.Errorf("the log starts at %d, not behind the deletion, which is kept as Kafka keeps it", at)
	}
}
