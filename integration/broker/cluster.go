// Package broker starts Kafka brokers on 127.0.0.1 as child processes, from
// jars, and lets a test hurt them: kill, stop, go on, and cut the network
// between them and their clients.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Config says what to start.
type Config struct {
	// Nodes is the number of brokers; each is a controller, too. Default: 1.
	Nodes int
	// Dir is where the brokers keep their logs. Required.
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
}

// Start starts the brokers and waits until each says that it is ready.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 1
	}
	if cfg.Heap == "" {
		cfg.Heap = "320m"
	}
	if cfg.Jars == "" {
		var err error
		if cfg.Jars, err = FindJars(); err != nil {
			return nil, err
		}
	}
	ports, err := freePorts(3 * cfg.Nodes)
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	var voters []string
	for i := range cfg.Nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[3*i+2]))
	}
	for i := range cfg.Nodes {
		n := &Node{
			id: i + 1, dir: filepath.Join(cfg.Dir, fmt.Sprintf("broker-%d", i+1)), jars: cfg.Jars, heap: cfg.Heap,
			inner: address(ports[3*i]), outer: address(ports[3*i+1]), control: address(ports[3*i+2]),
		}
		if n.proxy, err = newProxy(n.outer); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.Nodes = append(c.Nodes, n)
		if err := n.format(ctx, strings.Join(voters, ","), cfg.Nodes); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	for _, n := range c.Nodes {
		if err := n.ready(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Brokers are the addresses for clients whose network can be cut.
func (c *Cluster) Brokers() []string {
	var as []string
	for _, n := range c.Nodes {
		as = append(as, n.proxy.addr())
	}
	return as
}

// Inner are the addresses that are never cut.
func (c *Cluster) Inner() []string {
	var as []string
	for _, n := range c.Nodes {
		as = append(as, n.inner)
	}
	return as
}

// Close kills the brokers.
func (c *Cluster) Close() error {
	for _, n := range c.Nodes {
		n.Kill()
		n.proxy.close()
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

// freePorts finds ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	var ls []net.Listener
	defer func() {
		for _, l := range ls {
			_ = l.Close()
		}
	}()
	for range n {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		ls = append(ls, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Loopback dials 127.0.0.1 and refuses everything else, for kgo.Dialer and
// kafka.Config.
func Loopback(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(addr); err != nil || host != "127.0.0.1" {
		return nil, fmt.Errorf("only 127.0.0.1 is dialed here, not %s", addr)
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
}
