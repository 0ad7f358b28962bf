package runtime_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/topology"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/stores/memory"
	"github.com/weirstream/weir/transports/kafka"
)

// runOn runs the application until it ends by itself.
func runOn(t *testing.T, c *cluster) error {
	t.Helper()
	top, err := words("words-app").Build()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := kafka.New(kafka.Config{Brokers: []string{c.addr}, Logger: c.log})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	w, err := runtime.New(runtime.Config{Topology: top, Transport: tr, Store: memory.New(), Instance: "a", Logger: c.log})
	if err != nil {
		t.Fatal(err)
	}
	return w.Run(t.Context())
}

func (c *cluster) create(topic string, n int32, config map[string]*string) {
	c.t.Helper()
	if r, err := c.admin.CreateTopic(c.t.Context(), n, 1, config, topic); err != nil || r.Err != nil {
		c.t.Fatal(err, r.Err)
	}
}

func ptr(s string) *string { return &s }

// A worker names everything that does not fit, at once, and touches nothing.
func TestTopicsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create("words-app-sums-changelog", 7, map[string]*string{"cleanup.policy": ptr("compact")})
	c.create("words-app-remainders-changelog", partitions, map[string]*string{"cleanup.policy": ptr("delete")})
	c.create("words-app-by-remainder-repartition", partitions, map[string]*string{"cleanup.policy": ptr("compact")})
	err := runOn(t, c)
	var problems *topology.Error
	if !errors.As(err, &problems) || len(problems.Problems) != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
	for _, want := range []string{
		`"words-app-sums-changelog": has 7 partitions but the application needs 4`,
		`"words-app-remainders-changelog": its cleanup.policy is "delete" and must be "compact"`,
		`"words-app-by-remainder-repartition": its cleanup.policy is "compact" and must be "delete"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say: %s", err, want)
		}
	}
}

func TestMissingSourceIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	if _, err := c.admin.DeleteTopics(t.Context(), "words"); err != nil {
		t.Fatal(err)
	}
	if err := runOn(t, c); err == nil || !strings.Contains(err.Error(), `"words"`) {
		t.Errorf("got %v, want an error that names the missing topic", err)
	}
}

// Every mistake of a configuration is reported at once.
func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	_, err := runtime.New(runtime.Config{Lanes: -1, Heartbeat: 10, Session: 5})
	for _, want := range []string{"Topology is required", "Transport is required", "Store is required", "Instance is required", "Lanes", "Heartbeat must be shorter"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say: %s", err, want)
		}
	}
}
