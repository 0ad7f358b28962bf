// Package broker starts Kafka brokers on 127.0.0.1, as child processes from
// jars or in containers, and lets a test hurt them: kill, stop, go on, and cut
// the network between them and their clients, or among themselves.
package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Config says what to start.
type Config struct {
	// Nodes is the number of brokers; each is a controller, too. Default: 1.
	Nodes int
	// Image is what containers are made of. Empty: processes from Jars.
	Image string
	// Dir is where the brokers keep their logs. Required for processes.
	Dir string
	// Jars is the directory with libs/*.jar. Default: that of WEIR_KAFKA_JARS;
	// see FindJars.
	Jars string
	// Heap is each Java heap, as of -Xmx. Default: 320m.
	Heap string
}

// A Cluster is brokers that belong together.
type Cluster struct {
	Nodes []*Node
	// stop ends what is common to the brokers.
	stop   func() error
	closed bool
}

// Start starts the brokers and waits until they know each other. ErrNoEngine
// and ErrNoImage say that there is nothing to make containers of.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 1
	}
	if cfg.Heap == "" {
		cfg.Heap = "320m"
	}
	begin := startContainers
	if cfg.Image == "" {
		begin = startProcesses
		if cfg.Jars == "" {
			var err error
			if cfg.Jars, err = FindJars(); err != nil {
				return nil, err
			}
		}
	}
	c, err := begin(ctx, cfg)
	if err == nil {
		err = c.ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// ready waits until the brokers say that all of them are there.
func (c *Cluster) ready(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Inner()...), kgo.Dialer(Loopback), kgo.RequestTimeoutOverhead(2*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, n := range c.Nodes {
			if err := n.m.ended(); err != nil {
				return err
			}
		}
		there, err := count(ctx, cl)
		if there == len(c.Nodes) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d brokers are ready: %w", there, len(c.Nodes), errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// count asks each broker how many there are, and returns the smallest number;
// kadm would remember an answer.
func count(ctx context.Context, cl *kgo.Client) (int, error) {
	least := math.MaxInt
	for _, b := range cl.SeedBrokers() {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		resp, err := b.Request(ctx, req)
		cancel()
		if err != nil {
			return 0, err
		}
		least = min(least, len(resp.(*kmsg.MetadataResponse).Brokers))
	}
	return least, nil
}

// Brokers are the addresses for clients whose network can be cut.
func (c *Cluster) Brokers() []string {
	var as []string
	for _, n := range c.Nodes {
		as = append(as, n.clients.addr())
	}
	return as
}

// Inner are the addresses that are never cut from this process.
func (c *Cluster) Inner() []string {
	var as []string
	for _, n := range c.Nodes {
		as = append(as, n.m.inner())
	}
	return as
}

// Close kills the brokers, once.
func (c *Cluster) Close() error {
	if c == nil || c.closed {
		return nil
	}
	c.closed = true
	for _, n := range c.Nodes {
		n.m.close()
		n.clients.close()
	}
	if c.stop != nil {
		return c.stop()
	}
	return nil
}

// FindJars returns the directory that WEIR_KAFKA_JARS names, or for 1 the one
// that scripts/kafka-fetch.sh fills by default.
func FindJars() (string, error) {
	dir := os.Getenv("WEIR_KAFKA_JARS")
	if dir == "" {
		return "", errors.New("WEIR_KAFKA_JARS is not set: set it to 1 to run Kafka's jars with Java")
	}
	if dir == "1" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "weir", "kafka-4.3.1")
	}
	if _, err := os.Stat(filepath.Join(dir, ".complete")); err != nil { //nolint:gosec // the user names the directory
		return "", fmt.Errorf("there are no jars in %s: run integration/scripts/kafka-fetch.sh", dir)
	}
	return dir, nil
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Ports below those that systems give to outgoing connections (32768 and up on
// Linux, 49152 elsewhere): a broker that is down for a while must find its own
// unused. They are given out in blocks, whose first port is kept while the
// cluster lives, so that another cluster of this computer takes another block.
const firstPort, lastPort, block = 12000, 32000, 64

// freePorts finds ports that nobody listens on, and returns the one that keeps
// the block.
func freePorts(n int) ([]int, net.Listener, error) {
	for range 100 {
		at := firstPort + block*rand.IntN((lastPort-firstPort)/block)
		keep, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address(at))
		if err != nil {
			continue
		}
		var ports []int
		for port := at + 1; port < at+block && len(ports) < n; port++ {
			if l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address(port)); err == nil {
				_ = l.Close()
				ports = append(ports, port)
			}
		}
		if len(ports) == n {
			return ports, keep, nil
		}
		_ = keep.Close()
	}
	return nil, nil, fmt.Errorf("fewer than %d free ports in all blocks of %d from %d to %d", n, block, firstPort, lastPort)
}

// Loopback dials 127.0.0.1 and refuses everything else, for kgo.Dialer and
// kafka.Config.
func Loopback(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(addr); err != nil || host != "127.0.0.1" {
		return nil, fmt.Errorf("only 127.0.0.1 is dialed here, not %s", addr)
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
}
