package broker_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/integration/broker"
)

// TestSkippedMarkers commits a transaction while one of its partitions has no
// leader. Either Kafka says that it skips the marker, and what was written to
// that partition stays open for ever, or it waits for the partition: whenever a
// transaction is left open, SkippedMarkers has to know.
func TestSkippedMarkers(t *testing.T) {
	c := integration.Cluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	adm := admin(t, c.Inner()...)
	// Partition i is on broker i+1 and nowhere else.
	const topic = "markers"
	spread(ctx, t, c, topic)
	cl := client(t, c.Inner(), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(time.Minute))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	var records []*kgo.Record
	for i := range c.Nodes {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i), Value: []byte("x")})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	coordinator := adm.FindTxnCoordinators(ctx, topic)[topic]
	if coordinator.Err != nil {
		t.Fatal(coordinator.Err)
	}
	lost := slices.IndexFunc(c.Nodes, func(n *broker.Node) bool { return int32(n.ID()) != coordinator.NodeID })
	c.Nodes[lost].Kill()
	until(ctx, t, "the partition has no leader", func() bool {
		md, err := adm.Metadata(ctx, topic)
		return err == nil && md.Topics[topic].Partitions[int32(lost)].Leader < 0
	})
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	// The other partitions have their markers before the lost broker is back.
	until(ctx, t, "the others are committed", func() bool {
		left, _ := open(ctx, t, adm, topic)
		return !slices.ContainsFunc(left, func(p int32) bool { return p != int32(lost) })
	})
	if err := c.Nodes[lost].Start(); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "the partition has its leader again", func() bool {
		md, err := adm.Metadata(ctx, topic)
		return err == nil && md.Topics[topic].Partitions[int32(lost)].Leader >= 0
	})
	until(ctx, t, "the transaction is complete", func() bool {
		all, err := adm.DescribeTransactions(ctx, topic)
		return err == nil && all[topic].State == "CompleteCommit"
	})
	skipped, err := c.SkippedMarkers()
	if err != nil {
		t.Fatal(err)
	}
	var left []int32
	until(ctx, t, "all partitions answer", func() (all bool) {
		left, all = open(ctx, t, adm, topic)
		return all
	})
	if len(skipped) > 0 != (len(left) > 0) {
		t.Errorf("partitions %v are left open; in the logs stands %q", left, skipped)
	}
	t.Logf("a transaction that is complete is open in partitions %v: %q", left, skipped)
}

// spread creates a topic with a partition on each broker.
func spread(ctx context.Context, t *testing.T, c *broker.Cluster, topic string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, -1, -1
	one := "1"
	rt.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "min.insync.replicas", Value: &one}}
	for i, n := range c.Nodes {
		rt.ReplicaAssignment = append(rt.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{
			Partition: int32(i), Replicas: []int32{int32(n.ID())},
		})
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, client(t, c.Inner()))
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// open are the partitions of a topic in which a transaction is open, or which do
// not answer, and whether all did.
func open(ctx context.Context, t *testing.T, adm *kadm.Client, topic string) (parts []int32, all bool) {
	t.Helper()
	var gone *kadm.ShardErrors
	stable, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil && !errors.As(err, &gone) {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil && !errors.As(err, &gone) {
		t.Fatal(err)
	}
	all = true
	ends.Each(func(e kadm.ListedOffset) {
		s, ok := stable.Lookup(e.Topic, e.Partition)
		answered := ok && s.Err == nil && e.Err == nil
		all = all && answered
		if !answered || s.Offset < e.Offset {
			parts = append(parts, e.Partition)
		}
	})
	slices.Sort(parts)
	return parts, all
}
