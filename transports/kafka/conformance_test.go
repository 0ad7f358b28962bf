package kafka_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/transports/kafka"
	"github.com/weirstream/weir/transports/kafka/kafkatest"
)

// TestConformance runs the suite on kfake. Package integration runs it on a
// Kafka.
func TestConformance(t *testing.T) {
	t.Parallel()
	conformance.Transport(t, conformance.TransportFactory{
		Name: "kafka on kfake",
		New:  kfakePlace,
		Can:  append(kafkatest.Can(), conformance.Compacts),
		Differs: map[string]string{
			"topic/names":                     "kfake takes any name",
			"topic/key-wanted":                "kfake takes records without a key on a compacted topic",
			"topic/delete-by-policy":          "kfake deletes records whatever the cleanup.policy",
			"log/deleted-already":             "kfake answers OFFSET_OUT_OF_RANGE below the log start, where Kafka does nothing",
			"group/pending-offsets-of-others": "kfake holds back all offsets of a group that has a pending transaction, Kafka those of the partitions in it",
		},
	})
}

func kfakePlace(tb conformance.TB) conformance.TransportPlace {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2))
	if err != nil {
		tb.Fatalf("starting kfake: %v", err)
	}
	tb.Cleanup(cluster.Close)
	place := kafkatest.Place(tb, kafka.Config{Brokers: cluster.ListenAddrs(), Dialer: loopback, FetchWait: 20 * time.Millisecond, RequestTimeout: 5 * time.Second}, "")
	place.Compact = func(record.TopicPartition) error { cluster.Compact(); return nil }
	return place
}

// loopback refuses to leave the machine.
func loopback(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
		return nil, fmt.Errorf("tests dial this machine only, not %s", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}
