package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
)

// A box runs a broker in a container. Brokers reach each other by name in a
// network of their own; everything else comes through proxies, which the
// broker advertises, since the ports of a container change when it is started
// again.
type box struct {
	id      int
	name    string
	net     *testcontainers.DockerNetwork
	docker  *testcontainers.DockerClient
	c       testcontainers.Container
	clients *proxy
	safe    *proxy
	down    bool
}

// limit is how long the engine may take for one thing.
const limit = time.Minute

// startContainers makes a network with containers and starts them.
func startContainers(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{}
	if err := HaveImage(ctx, cfg.Image); err != nil {
		return c, err
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return c, err
	}
	nw, err := tcnetwork.New(ctx)
	if err != nil {
		return c, err
	}
	c.stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return errors.Join(nw.Remove(ctx), docker.Close())
	}
	var voters []string
	for i := range cfg.Nodes {
		voters = append(voters, fmt.Sprintf("%d@broker-%d:9093", i+1, i+1))
	}
	for i := range cfg.Nodes {
		b := &box{id: i + 1, name: fmt.Sprintf("broker-%d", i+1), net: nw, docker: docker}
		n := &Node{id: b.id, m: b}
		c.Nodes = append(c.Nodes, n)
		var errs [2]error
		n.clients, errs[0] = newProxy(nil)
		b.safe, errs[1] = newProxy(nil)
		b.clients = n.clients
		if err := errors.Join(errs[:]...); err != nil {
			return c, err
		}
		if err := b.create(ctx, cfg, properties(b.id, cfg.Nodes, voters)); err != nil {
			return c, err
		}
	}
	return c, nil
}

// create makes the container and starts it.
func (b *box) create(ctx context.Context, cfg Config, props map[string]string) error {
	props["listeners"] = "INNER://:9094,CONTROLLER://:9093,OUTER://:9092,SAFE://:9095"
	props["advertised.listeners"] = "INNER://" + b.name + ":9094,OUTER://" + b.clients.addr() + ",SAFE://" + b.safe.addr()
	env := environment(props)
	env["CLUSTER_ID"] = "MkU3OEVBNTcwNTJENDM2Qg"
	env["KAFKA_HEAP_OPTS"] = "-Xmx" + cfg.Heap
	var err error
	b.c, err = testcontainers.Run(ctx, cfg.Image,
		testcontainers.WithExposedPorts("9092/tcp", "9095/tcp"),
		testcontainers.WithEnv(env),
		testcontainers.WithHostConfigModifier(loopback),
		tcnetwork.WithNetwork([]string{b.name}, b.net))
	if err != nil {
		return fmt.Errorf("starting broker %d in a container of %s: %w", b.id, cfg.Image, err)
	}
	host, err := b.c.Host(ctx)
	if err != nil {
		return err
	}
	if host != "127.0.0.1" && host != "localhost" {
		return fmt.Errorf("containers are reached at %s: set TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1, or name brokers with WEIR_KAFKA_BROKERS", host)
	}
	return b.find(ctx)
}

// loopback maps the ports of a container to 127.0.0.1 only.
func loopback(hc *container.HostConfig) {
	hc.PortBindings = network.PortMap{}
	for _, port := range []string{"9092/tcp", "9095/tcp"} {
		hc.PortBindings[network.MustParsePort(port)] = []network.PortBinding{{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}
	}
}

// find tells the proxies where the container's ports are.
func (b *box) find(ctx context.Context) error {
	outer, err := b.c.MappedPort(ctx, "9092/tcp")
	if err != nil {
		return err
	}
	safe, err := b.c.MappedPort(ctx, "9095/tcp")
	if err != nil {
		return err
	}
	b.clients.to("127.0.0.1:" + outer.Port())
	b.safe.to("127.0.0.1:" + safe.Port())
	return nil
}

func (b *box) inner() string { return b.safe.addr() }

func (b *box) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := b.docker.ContainerStart(ctx, b.c.GetContainerID(), client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("starting broker %d: %w", b.id, err)
	}
	b.down = false
	return b.find(ctx)
}

func (b *box) kill() {
	if b.c == nil || b.down {
		return
	}
	b.down = true
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	id := b.c.GetContainerID()
	_, _ = b.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"})
	gone := b.docker.ContainerWait(ctx, id, client.ContainerWaitOptions{})
	select {
	case <-gone.Result:
	case <-gone.Error: //nolint:errcheck // it is gone, or the next start says so
	}
}

func (b *box) pause() error { return b.signal("SIGSTOP") }

func (b *box) resume() error { return b.signal("SIGCONT") }

func (b *box) signal(s string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := b.docker.ContainerKill(ctx, b.c.GetContainerID(), client.ContainerKillOptions{Signal: s})
	if err != nil {
		return fmt.Errorf("broker %d: %s: %w", b.id, s, err)
	}
	return nil
}

func (b *box) ended() error {
	if b.c == nil || b.down {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	st, err := b.c.State(ctx)
	if err != nil || st.Running {
		return err
	}
	text, err := b.log()
	return errors.Join(fmt.Errorf("broker %d ended; its log: %s", b.id, text), err)
}

func (b *box) log() ([]byte, error) {
	if b.c == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r, err := b.c.Logs(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}

func (b *box) isolate(cut bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	id := b.c.GetContainerID()
	if cut {
		_, err := b.docker.NetworkDisconnect(ctx, b.net.ID, client.NetworkDisconnectOptions{Container: id, Force: true})
		return err
	}
	_, err := b.docker.NetworkConnect(ctx, b.net.ID, client.NetworkConnectOptions{
		Container: id, EndpointConfig: &network.EndpointSettings{Aliases: []string{b.name}},
	})
	if err != nil {
		return err
	}
	return b.find(ctx)
}

func (b *box) close() {
	if b.c != nil {
		b.kill() // the engine would give it ten seconds to end well
		_ = testcontainers.TerminateContainer(b.c)
	}
	b.safe.close()
}
