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

// TestKfakeCompactsOpenTransactions shows why compact waits: once it fails,
// kfake stops at the first offset of an open transaction, and compact can call
// it at once.
func TestKfakeCompactsOpenTransactions(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	if err := fake.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DefaultProduceTopic("compacted"))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	send := func(cl *kgo.Client, key, value string) {
		t.Helper()
		if err := cl.ProduceSync(ctx, kgo.KeyStringRecord(key, value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	plain, open := client(), client(kgo.TransactionalID("open"))
	send(plain, "k", "committed")
	if err := open.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	send(open, "k", "aborted")
	send(plain, "other", "v") // the newest batch is never compacted
	fake.Compact()
	if err := open.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	reader := client(kgo.ConsumeTopics("compacted"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for key := ""; key != "other"; {
		fs := reader.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fs.Records() {
			if key = string(r.Key); key == "k" {
				t.Errorf("read %q: kfake keeps what Kafka keeps now", r.Value)
			}
		}
	}
}

// TestKfakeNamesAbortedTransactionsForever shows why forget is there: compaction
// removes an aborted transaction with its marker, but fetches go on to name it,
// and a client skips what its producer commits afterwards.
func TestKfakeNamesAbortedTransactionsForever(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	if err := fake.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DefaultProduceTopic("compacted"))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	plain, transactional := client(), client(kgo.TransactionalID("producer"))
	send := func(cl *kgo.Client, key, value string) {
		t.Helper()
		if err := cl.ProduceSync(ctx, kgo.KeyStringRecord(key, value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	transact := func(end kgo.TransactionEndTry, value string) {
		t.Helper()
		if err := transactional.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		send(transactional, "k", value)
		if err := transactional.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	send(plain, "first", "stays, and the log begins with it")
	transact(kgo.TryAbort, "aborted")
	send(plain, "newest", "never compacted")
	fake.Compact()
	transact(kgo.TryCommit, "committed")
	send(plain, "last", "v")
	reader := client(kgo.ConsumeTopics("compacted"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for key := ""; key != "last"; {
		fs := reader.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fs.Records() {
			if key = string(r.Key); key == "k" {
				t.Errorf("read %q: kfake forgets aborted transactions as Kafka does now", r.Value)
			}
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
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	if err := fake.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DefaultProduceTopic("compacted"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, r := range []*kgo.Record{
		{Key: []byte("old"), Value: []byte("v"), Timestamp: time.UnixMilli(1_000_000_000_000)},
		{Key: []byte("new"), Value: []byte("v")},
	} {
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	fake.Compact()
	if at := fake.PartitionInfo("compacted", 0).LogStartOffset; at != 1 {
		t.Errorf("the log starts at %d, not behind the old record: kfake does as Kafka does now", at)
	}
}

// TestKfakeTakesAgesFromEventTimes shows why stampOnAppend is there: a deletion
// that was just written, of an old event, is gone after a compaction. Kafka
// counts delete.retention.ms from when it first compacted it.
func TestKfakeTakesAgesFromEventTimes(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	if err := fake.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1", "delete.retention.ms": "3600000"}); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DefaultProduceTopic("compacted"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, r := range []*kgo.Record{
		{Key: []byte("k"), Value: []byte("v")},
		{Key: []byte("k"), Timestamp: time.UnixMilli(1_000_000_000_000)},
		{Key: []byte("other"), Value: []byte("v")},
	} {
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	fake.Compact()
	if at := fake.PartitionInfo("compacted", 0).LogStartOffset; at != 2 {
		t.Errorf("the log starts at %d, not behind the deletion, which is kept as Kafka keeps it", at)
	}
}
