package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/integration/broker"
)

// TestHurt sees that brokers can be hurt as promised and get whole again.
func TestHurt(t *testing.T) {
	c := integration.Cluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	adm := admin(t, c.Inner()...)
	res, err := adm.CreateTopic(ctx, 3, -1, nil, "t")
	if err != nil || res.Err != nil {
		t.Fatal(err, res.Err)
	}
	// A broker that was away knows what was before: all of them have to say so.
	whole := func() {
		for _, addr := range c.Inner() {
			inSync(t, admin(t, addr), 9)
		}
	}
	whole()
	n := c.Nodes[1]
	hurt := []struct {
		name string
		do   func() error
		undo func() error
	}{
		{"kill", func() error { n.Kill(); return nil }, n.Start},
		{"stop", n.Pause, n.Resume},
		{"isolate", n.Isolate, n.Reunite},
	}
	for _, h := range hurt {
		t.Log(h.name)
		if err := h.do(); err != nil {
			t.Fatalf("%s: %v", h.name, err)
		}
		inSync(t, admin(t, c.Inner()[0]), 6)
		if err := h.undo(); err != nil {
			t.Fatalf("end of %s: %v", h.name, err)
		}
		whole()
	}
	t.Log("cut")
	n.Cut()
	if !reaches(t, c.Inner()[1]) || reaches(t, c.Brokers()[1]) || !reaches(t, c.Brokers()[0]) {
		t.Error("a cut has to separate clients from the one broker, and nobody else")
	}
	n.Mend()
	if !reaches(t, c.Brokers()[1]) {
		t.Error("the broker is not reached after the end of the cut")
	}
}

// client is a client of some brokers, which dials nothing but this computer.
func client(t *testing.T, seeds []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(seeds...), kgo.Dialer(broker.Loopback))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func admin(t *testing.T, seeds ...string) *kadm.Client {
	t.Helper()
	return kadm.NewClient(client(t, seeds, kgo.RequestTimeoutOverhead(3*time.Second)))
}

// reaches asks one broker for what it knows.
func reaches(t *testing.T, addr string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := admin(t, addr).BrokerMetadata(ctx)
	return err == nil
}

// inSync waits until so many replicas of the topic are in sync.
func inSync(t *testing.T, adm *kadm.Client, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	until(ctx, t, fmt.Sprintf("%d replicas are in sync", want), func() bool {
		md, err := adm.Metadata(ctx, "t")
		n := 0
		for _, p := range md.Topics["t"].Partitions {
			n += len(p.ISR)
		}
		return err == nil && n == want
	})
}

// until asks again and again.
func until(ctx context.Context, t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited until %s, in vain", what)
		}
	}
}
