package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/integration/broker"
)

// The settings of a run, as make integration sets them.
const (
	brokersVariable = "WEIR_KAFKA_BROKERS"
	jarsVariable    = "WEIR_KAFKA_JARS"
	imageVariable   = "WEIR_KAFKA_IMAGE"
)

// What make integration takes when no images are named.
const (
	usualKafka     = "apache/kafka:4.3.1"
	usualAerospike = "aerospike/aerospike-server"
)

// lacking skips the test when there is no engine for containers, or when the
// usual image cannot be had. An image that somebody named has to be there: that
// and everything else is an error.
func lacking(t *testing.T, server string, err error, variable string, usual bool) {
	t.Helper()
	switch {
	case errors.Is(err, broker.ErrNoEngine), errors.Is(err, broker.ErrNoImage) && usual:
		t.Skipf("no %s: %v", server, err)
	case errors.Is(err, broker.ErrNoImage):
		t.Fatalf("no %s: %s names an image that cannot be had: %v", server, variable, err)
	default:
		t.Fatal(err)
	}
}

// Kafka returns the addresses of brokers to test on, and whether they are on
// this machine: those of WEIR_KAFKA_BROKERS, or one of Cluster's.
func Kafka(t *testing.T) (brokers []string, loopback bool) {
	t.Helper()
	if named := os.Getenv(brokersVariable); named != "" {
		return strings.Split(named, ","), false
	}
	return start(t, 1).Brokers(), true
}

// Cluster starts brokers, which a test may kill, stop and cut off: from the
// jars of WEIR_KAFKA_JARS, or else in containers of WEIR_KAFKA_IMAGE. It skips
// the test, with what is missing, where there is neither: make integration
// sets them, a plain go test starts no server.
func Cluster(t *testing.T, nodes int) *broker.Cluster {
	t.Helper()
	if os.Getenv(brokersVariable) != "" {
		t.Skipf("%s is set: brokers that belong to somebody are not killed", brokersVariable)
	}
	return start(t, nodes)
}

func start(t *testing.T, nodes int) *broker.Cluster {
	t.Helper()
	cfg := broker.Config{Nodes: nodes, Dir: t.TempDir()}
	if os.Getenv(jarsVariable) == "" {
		if cfg.Image = os.Getenv(imageVariable); cfg.Image == "" {
			t.Skipf("no Kafka: %s, %s and %s are not set; make integration sets what it is told", brokersVariable, jarsVariable, imageVariable)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c, err := broker.Start(ctx, cfg)
	if err != nil {
		lacking(t, "Kafka", fmt.Errorf("%w; %s and %s are not set", err, brokersVariable, jarsVariable), imageVariable, cfg.Image == usualKafka)
	}
	t.Cleanup(func() {
		if t.Failed() {
			sayLogs(t, c)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// sayLogs prints the last complaints of each broker, and keeps all that it said
// with go test -artifacts.
func sayLogs(t *testing.T, c *broker.Cluster) {
	t.Helper()
	const most = 40
	if skipped, err := c.SkippedMarkers(); err != nil || len(skipped) > 0 {
		t.Logf("Kafka left transactions open, which may be all that is wrong (%v):\n%s", err, strings.Join(skipped, "\n"))
	}
	for _, n := range c.Nodes {
		text, err := n.Log()
		if err == nil {
			err = os.WriteFile(filepath.Join(t.ArtifactDir(), fmt.Sprintf("broker-%d.log", n.ID())), text, 0o600)
		}
		var bad []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " WARN ") || strings.Contains(line, " ERROR ") || strings.Contains(line, " FATAL ") {
				bad = append(bad, line)
			}
		}
		t.Logf("broker %d complained %d times, the last times (%v):\n%s", n.ID(), len(bad), err, strings.Join(bad[max(0, len(bad)-most):], ""))
	}
}
