package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/integration/broker"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
)

// TestOffsetsInTransactions lets rounds with and without records take turns on
// a real Kafka: both are transactions of one producer, of two protocols.
func TestOffsetsInTransactions(t *testing.T) {
	t.Parallel()
	brokers, loopback := integration.Kafka(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cfg := kafka.Config{Brokers: brokers}
	if loopback {
		cfg.Dialer = broker.Loopback
	}
	tr, err := kafka.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	name := fmt.Sprintf("commit-test-%d", time.Now().UnixNano())
	if _, err := tr.CreateTopics(ctx, map[string]runtime.TopicSpec{name: {Partitions: 1, Replicas: -1}}); err != nil {
		t.Fatal(err)
	}
	m := &member{assigned: make(chan struct{}, 1)}
	g, err := tr.Join(ctx, runtime.GroupConfig{Group: name, Topics: []string{name}, Assignor: everything{}}, m)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.assigned:
	case <-ctx.Done():
		t.Fatal("nothing is assigned")
	}
	p, err := tr.Producer(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	tp := record.TopicPartition{Topic: name}
	var with, without time.Duration
	const rounds = 100
	for at := int64(1); at <= rounds; at++ {
		c := runtime.Commit{Group: g, Offsets: map[record.TopicPartition]runtime.Offset{tp: {At: at}}}
		if at%2 == 0 {
			c.Records = [][]record.Record{{{Topic: name, Value: []byte("x")}}}
		}
		begun := time.Now()
		if res := p.Commit(ctx, c); res.Outcome != runtime.Committed {
			t.Fatalf("round %d: %s: %v", at, res.Outcome, res.Err)
		}
		if at%2 == 0 {
			with += time.Since(begun)
		} else {
			without += time.Since(begun)
		}
	}
	got, err := g.Committed(ctx, []record.TopicPartition{tp})
	if err != nil || got[tp].At != rounds {
		t.Fatalf("committed %v, %v; want %d", got, err, rounds)
	}
	ends, err := tr.Offsets(ctx, []record.TopicPartition{tp})
	if err != nil || ends[tp].End != rounds {
		t.Fatalf("log %v, %v; want %d records and as many markers", ends, err, rounds/2)
	}
	t.Logf("a round with a record takes %v, one without %v", with/(rounds/2), without/(rounds/2))
}

// everything is an assignor for one member.
type everything struct{}

func (everything) Name() string     { return "everything" }
func (everything) UserData() []byte { return nil }

func (everything) Assign(members map[string]runtime.Member, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	plan := make(map[string][]record.TopicPartition)
	for id := range members {
		for topic, n := range partitions {
			for p := range n {
				plan[id] = append(plan[id], record.TopicPartition{Topic: topic, Partition: p})
			}
		}
		break
	}
	return plan, nil
}

type member struct{ assigned chan struct{} }

func (m *member) Assigned(int64, []record.TopicPartition) {
	select {
	case m.assigned <- struct{}{}:
	default:
	}
}
func (*member) Revoked(context.Context, []record.TopicPartition) {}
func (*member) Lost([]record.TopicPartition)                     {}
