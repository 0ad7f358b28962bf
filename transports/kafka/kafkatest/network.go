package kafkatest

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// refused is what dialing a broker that is not there gives.
func refused(network string) error {
	return &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// reset is what reading from and writing to a connection gives that the other
// side dropped.
func reset(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, syscall.ECONNRESET)}
}

// network is between transports and their cluster.
type network struct {
	dialer dialer

	mu    sync.Mutex
	down  bool
	conns map[*conn]bool
	// lose, when set, waits for the end of a transaction, to lose its answer.
	lose *loss
}

// loss is an answer to be lost: once the request was answered, or instead of
// the request.
type loss struct {
	applied bool
	gone    func()
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, refused(network)
	}
	c, err := n.dialer(ctx, network, address)
	if err != nil {
		return nil, err
	}
	wrapped := &conn{Conn: c, n: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		_ = c.Close()
		return nil, refused(network)
	}
	if n.conns == nil {
		n.conns = make(map[*conn]bool)
	}
	n.conns[wrapped] = true
	return wrapped, nil
}

// cut cuts all connections and lets no new ones through.
func (n *network) cut() {
	n.mu.Lock()
	conns := n.conns
	n.down, n.conns = true, nil
	n.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
}

func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down, n.lose = false, nil
}

// loseEnd implements conformance.TransportPlace.
func (n *network) loseEnd(applied bool, gone func()) (mend func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose = &loss{applied: applied, gone: gone}
	return n.mend
}

// due returns the loss, once, if it is one of the kind.
func (n *network) due(applied bool) *loss {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lose
	if l == nil || l.applied != applied {
		return nil
	}
	n.lose = nil
	return l
}

// conn looks for requests to end a transaction. A client writes a request at
// once: four bytes of size, two of the kind.
type conn struct {
	net.Conn

	n *network

	mu    sync.Mutex
	ended *loss // the answer that comes next is to be lost
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b[4:])) != kmsg.EndTxn.Int16() {
		return c.Conn.Write(b)
	}
	if l := c.n.due(false); l != nil {
		c.n.cut()
		l.gone()
		return 0, reset("write")
	}
	if l := c.n.due(true); l != nil {
		c.mu.Lock()
		c.ended = l
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	l := c.ended
	c.ended = nil
	c.mu.Unlock()
	if l == nil || n == 0 {
		return n, err
	}
	c.n.cut()
	l.gone()
	return 0, reset("read")
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.n.mu.Lock()
	delete(c.n.conns, c)
	c.n.mu.Unlock()
	return c.Conn.Close()
}
