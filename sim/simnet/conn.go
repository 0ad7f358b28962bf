package simnet

import (
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// A Conn is one end of a connection.
type Conn struct {
	n             *Network
	id            int
	on            *hostState
	host, peer    string
	dialed        bool
	in, out       *stream
	local, remote net.Addr
	closed        bool
	reading       sync.Mutex // held by the one reader
}

var _ net.Conn = (*Conn)(nil)

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	n := c.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		c.on.breathe()
		if k, err, ok := c.in.take(p); ok {
			return k, c.wrap("read", err)
		}
		c.in.await()
	}
}

// Write implements net.Conn. It returns once the data is on its way.
func (c *Conn) Write(p []byte) (int, error) {
	n := c.n
	n.mu.Lock()
	defer n.mu.Unlock()
	c.on.breathe()
	for c.out.writeErr == nil && c.out.bytes > 0 && c.out.bytes+len(p) > window {
		if !c.out.writeBy.IsZero() && !time.Now().Before(c.out.writeBy) {
			return 0, c.wrap("write", os.ErrDeadlineExceeded)
		}
		n.wait(c.out.room, c.out.writeBy)
		c.on.breathe()
	}
	if c.out.writeErr != nil {
		return 0, c.wrap("write", c.out.writeErr)
	}
	data := slices.Clone(p)
	var v Verdict
	if n.cfg.Tap != nil {
		v = n.cfg.Tap(Write{Conn: c.id, From: c.host, To: c.peer, Dialed: c.dialed, Data: data})
	}
	if v.Reset {
		n.cfg.Trace("conn %d cut after %d of %d bytes from %s", c.id, v.Keep, len(data), c.host)
		c.out.put(data[:min(v.Keep, len(data))], v.Delay, true)
		c.out.writeErr = errReset
		c.in.fail(errReset, errReset)
		return len(p), nil
	}
	c.out.put(data, v.Delay, false)
	return len(p), nil
}

// Close implements net.Conn. What was written before still arrives.
func (c *Conn) Close() error {
	n := c.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return c.wrap("close", errClosed)
	}
	c.closed = true
	c.out.over = true
	c.out.fail(nil, errClosed)
	c.in.fail(errClosed, errReset)
	return nil
}

// reset breaks this end.
func (c *Conn) reset() {
	c.in.fail(errReset, nil)
	c.out.fail(nil, errReset)
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err.Error() == "EOF" {
		return err
	}
	return &net.OpError{Op: op, Net: "sim", Source: c.local, Addr: c.remote, Err: err}
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.deadline(t, t, true, true)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline(t, time.Time{}, true, false)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.deadline(time.Time{}, t, false, true)
	return nil
}

func (c *Conn) deadline(r, w time.Time, read, write bool) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if read {
		c.in.readBy = r
		if c.in.waiting {
			c.in.arm()
		}
	}
	if write {
		c.out.writeBy = w
		c.out.room.Broadcast()
	}
}

// A listener is a server's end of the network.
type listener struct {
	n       *Network
	address string
	addr    *net.TCPAddr
	queue   []*Conn
	wake    *sync.Cond
	closed  bool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.wake.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "sim", Err: net.ErrClosed}
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.closed = true
	l.wake.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }
