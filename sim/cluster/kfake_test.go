package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
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
