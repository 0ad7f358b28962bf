package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/weirstream/weir/integration/broker"
)

// Kafka returns the addresses of brokers to test on, and whether they are on
// this machine: those of WEIR_KAFKA_BROKERS, or one from the jars of
// WEIR_KAFKA_JARS, or a container of WEIR_KAFKA_IMAGE. It skips the test, with
// what is missing, where none of them is set: `make integration` sets them, a
// plain `go test` starts no server.
func Kafka(t *testing.T) (brokers []string, loopback bool) {
	t.Helper()
	if named := os.Getenv("WEIR_KAFKA_BROKERS"); named != "" {
		return strings.Split(named, ","), false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if os.Getenv("WEIR_KAFKA_JARS") != "" {
		return JarKafka(t, 1).Brokers(), true
	}
	image := os.Getenv("WEIR_KAFKA_IMAGE")
	if image == "" {
		t.Skip("no Kafka: WEIR_KAFKA_BROKERS, WEIR_KAFKA_JARS and WEIR_KAFKA_IMAGE are not set; make integration sets what it finds")
	}
	addr, err := container(ctx, t, image)
	if errors.Is(err, errNoEngine) {
		t.Skipf("no Kafka: no Docker engine answers (%v), and WEIR_KAFKA_BROKERS and WEIR_KAFKA_JARS are not set", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return []string{addr}, true
}

// JarKafka starts brokers from jars, which a test may kill, stop and cut off.
func JarKafka(t *testing.T, nodes int) *broker.Cluster {
	t.Helper()
	if os.Getenv("WEIR_KAFKA_JARS") == "" {
		t.Skip("WEIR_KAFKA_JARS is not set: no brokers that can be killed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := broker.Start(ctx, broker.Config{Nodes: nodes, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var errNoEngine = errors.New("no container engine")

// script waits for the port, which is known once the container runs.
const script = "/tmp/weir-start.sh"

// container starts a broker in a container.
func container(ctx context.Context, t *testing.T, image string) (string, error) {
	t.Helper()
	p, err := testcontainers.NewDockerProvider()
	if err == nil {
		err = p.Health(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoEngine, err)
	}
	started := testcontainers.ContainerLifecycleHooks{PostStarts: []testcontainers.ContainerHook{
		func(ctx context.Context, c testcontainers.Container) error {
			port, err := c.MappedPort(ctx, "9092/tcp")
			if err != nil {
				return err
			}
			text := fmt.Sprintf("#!/bin/sh\nexport KAFKA_ADVERTISED_LISTENERS=OUTER://127.0.0.1:%s,INNER://localhost:9094\nexec /etc/kafka/docker/run\n", port.Port())
			if err := c.CopyToContainer(ctx, []byte(text), script, 0o755); err != nil {
				return err
			}
			return wait.ForLog("Kafka Server started").WithStartupTimeout(time.Minute).WaitUntilReady(ctx, c)
		},
	}}
	c, err := testcontainers.Run(ctx, image,
		testcontainers.WithExposedPorts("9092/tcp"),
		testcontainers.WithEntrypoint("sh", "-c", "while [ ! -x "+script+" ]; do sleep 0.1; done; exec "+script),
		testcontainers.WithEnv(map[string]string{
			"KAFKA_NODE_ID": "1", "KAFKA_PROCESS_ROLES": "broker,controller",
			"KAFKA_LISTENERS":                                "OUTER://0.0.0.0:9092,INNER://localhost:9094,CONTROLLER://localhost:9093",
			"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":           "CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,OUTER:PLAINTEXT",
			"KAFKA_CONTROLLER_LISTENER_NAMES":                "CONTROLLER",
			"KAFKA_INTER_BROKER_LISTENER_NAME":               "INNER",
			"KAFKA_CONTROLLER_QUORUM_VOTERS":                 "1@localhost:9093",
			"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
			"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
			"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
			"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":         "0",
			"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                "false",
		}),
		testcontainers.WithAdditionalLifecycleHooks(started),
	)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		return "", err
	}
	host, err := c.Host(ctx)
	if err != nil {
		return "", err
	}
	if host != "127.0.0.1" && host != "localhost" {
		return "", fmt.Errorf("containers are reached at %s: set TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1, or name brokers with WEIR_KAFKA_BROKERS", host)
	}
	port, err := c.MappedPort(ctx, "9092/tcp")
	return "127.0.0.1:" + port.Port(), err
}
