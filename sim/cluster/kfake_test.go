package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

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
