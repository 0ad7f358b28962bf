package simnet

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Network connects hosts. Its methods are safe for concurrent use.
type Network struct {
	cfg Config

	mu        sync.Mutex
	listeners []*listener
	conns     []*Conn
	links     map[link]*linkState
	hosts     map[string]*hostState
	nth       map[link]int
	ports     int
	made      int        // connections so far
	dials     *sync.Cond // all dials wait here
}

// A Config says how a network behaves while nothing is wrong.
type Config struct {
	// Seed decides everything that is left to chance.
	Seed uint64
	// MinDelay and MaxDelay bound how long a write takes to arrive. Both
	// zero means at once.
	MinDelay, MaxDelay time.Duration
	// Tap, when set, sees every write and says what becomes of it. It is
	// called with the network locked: it must not call back.
	Tap func(Write) Verdict
	// Trace, when set, hears of everything that happens on the network. It
	// must not call back.
	Trace func(format string, args ...any)
}

// A Write is what one side of a connection sends in one call.
type Write struct {
	Conn     int // number of the connection, from 0
	From, To string
	// Dialed says that From is the side that dialed.
	Dialed bool
	// Data may be changed: it is what is delivered.
	Data []byte
}

// A Verdict says what becomes of a write. The zero value delivers it.
type Verdict struct {
	// Delay is added to the usual one.
	Delay time.Duration
	// Reset breaks the connection once Keep bytes of the write were
	// delivered; both sides then fail.
	Reset bool
	Keep  int
}

type link struct{ from, to string }

// A linkState is one direction between two hosts.
type linkState struct {
	held bool
	slow time.Duration
}

type hostState struct {
	paused, dead bool
	wake         *sync.Cond
}

// New returns a network without hosts.
func New(cfg Config) *Network {
	if cfg.Trace == nil {
		cfg.Trace = func(string, ...any) {}
	}
	n := &Network{cfg: cfg, links: make(map[link]*linkState), hosts: make(map[string]*hostState), nth: make(map[link]int), ports: 40000}
	n.dials = sync.NewCond(&n.mu)
	return n
}

// random makes the source of the nth thing between two hosts.
func (n *Network) random(from, to string, nth int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write(strconv.AppendInt(append(append(append(append(make([]byte, 0, 64), from...), '|'), to...), '|'), int64(nth), 10))
	return rand.New(rand.NewPCG(n.cfg.Seed, h.Sum64()))
}

func (n *Network) link(from, to string) *linkState {
	l := n.links[link{from, to}]
	if l == nil {
		l = &linkState{}
		n.links[link{from, to}] = l
	}
	return l
}

func (n *Network) host(name string) *hostState {
	h := n.hosts[name]
	if h == nil {
		h = &hostState{wake: sync.NewCond(&n.mu)}
		n.hosts[name] = h
	}
	return h
}

// breathe waits while the host is paused, and for ever once it is dead. The
// network is locked.
func (h *hostState) breathe() {
	for h.paused || h.dead {
		h.wake.Wait()
	}
}

// Gate waits while the host is paused and for ever once it is dead: for
// anything else that a process does, such as using its disk.
func (n *Network) Gate(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host(host).breathe()
}

// Quiet reports whether nothing is on its way to a host: what was sent to it
// has been read, or is lost.
func (n *Network) Quiet(host string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if c.host == host && !c.closed && c.in.readErr == nil && len(c.in.segments) > 0 {
			return false
		}
	}
	return true
}

// Listen makes a server; the address is its host name. It has the signature
// of net.Listen.
func (n *Network) Listen(_, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if l.address == address && !l.closed {
			return nil, fmt.Errorf("simnet: %s is in use", address)
		}
	}
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("simnet: %w", err)
	}
	l := &listener{n: n, address: address, addr: addr, wake: sync.NewCond(&n.mu)}
	n.listeners = append(n.listeners, l)
	return l, nil
}

// Dialer returns the function with which a host dials; it has the signature
// of (*net.Dialer).DialContext.
func (n *Network) Dialer(host string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) { return n.dial(ctx, host, address) }
}

func (n *Network) dial(ctx context.Context, from, to string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host := n.host(from)
	host.breathe()
	key := link{from, to}
	nth := n.nth[key]
	n.nth[key]++
	rng := n.random(from, to, nth)
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.dials.Broadcast()
	})
	defer stop()
	// A handshake needs both directions.
	ready := time.Now().Add(n.delay(rng, n.link(from, to)) + n.delay(rng, n.link(to, from)))
	for ctx.Err() == nil && (time.Now().Before(ready) || n.link(from, to).held || n.link(to, from).held) {
		until := ready
		if !time.Now().Before(ready) {
			until = time.Time{}
		}
		n.wait(n.dials, until)
		host.breathe()
	}
	if err := ctx.Err(); err != nil {
		n.cfg.Trace("dial %s %s #%d: %v", from, to, nth, err)
		return nil, &net.OpError{Op: "dial", Net: "sim", Err: err}
	}
	l := n.listening(to)
	if l == nil {
		n.cfg.Trace("dial %s %s #%d: refused", from, to, nth)
		return nil, &net.OpError{Op: "dial", Net: "sim", Err: errRefused}
	}
	return n.connect(l, from, to, nth, rng), nil
}

func (n *Network) listening(address string) *listener {
	for _, l := range n.listeners {
		if l.address == address && !l.closed {
			return l
		}
	}
	return nil
}

// connect makes both ends. The network is locked.
func (n *Network) connect(l *listener, from, to string, nth int, rng *rand.Rand) *Conn {
	n.ports++
	id := n.made
	n.made++
	n.conns = slices.DeleteFunc(n.conns, func(c *Conn) bool { return c.closed })
	addr := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: n.ports}
	far := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 9092}
	up, down := newStream(n, from, to, rng), newStream(n, to, from, n.random(to, from, nth))
	client := &Conn{n: n, id: id, on: n.host(from), host: from, peer: to, dialed: true, in: down, out: up, local: addr, remote: far}
	server := &Conn{n: n, id: id, on: n.host(to), host: to, peer: from, in: up, out: down, local: far, remote: addr}
	n.conns = append(n.conns, client, server)
	l.queue = append(l.queue, server)
	l.wake.Signal()
	n.cfg.Trace("conn %d %s %s #%d", id, from, to, nth)
	return client
}

// delay draws how long something takes on a link.
func (n *Network) delay(rng *rand.Rand, l *linkState) time.Duration {
	d := n.cfg.MinDelay + l.slow
	if spread := n.cfg.MaxDelay - n.cfg.MinDelay; spread > 0 {
		d += time.Duration(rng.Int64N(int64(spread)))
	}
	return d
}
