package simnet

import "time"

// Hold keeps everything that from sends to to on its way until Release, and
// connections between the two from being made.
func (n *Network) Hold(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).held = true
	n.cfg.Trace("hold %s %s", from, to)
}

// Release ends a Hold: what was held arrives now.
func (n *Network) Release(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).held = false
	n.cfg.Trace("release %s %s", from, to)
	n.stir()
}

// Jumble ends a Hold, too, but what was held arrives within spread, each
// connection at a moment of its own: the order within a connection is kept,
// that across connections is not.
func (n *Network) Jumble(from, to string, spread time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).held = false
	for _, c := range n.conns {
		if c.host != from || c.peer != to || len(c.out.segments) == 0 {
			continue
		}
		at := time.Now().Add(time.Duration(c.out.rng.Int64N(int64(spread))))
		for i := range c.out.segments {
			s := &c.out.segments[i]
			if s.at.Before(at) {
				s.at = at
			}
		}
		if c.out.last.Before(at) {
			c.out.last = at
		}
	}
	n.cfg.Trace("jumble %s %s", from, to)
	n.stir()
}

// Slow adds a delay to everything that from sends to to; zero ends it.
func (n *Network) Slow(from, to string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).slow = d
	n.cfg.Trace("slow %s %s %s", from, to, d)
}

// Reset breaks all connections between two hosts, on both sides. What was on
// its way is lost. It returns how many there were.
func (n *Network) Reset(a, b string) int { return n.breakConns(a, b, true) }

// HalfOpen breaks all connections between two hosts on a's side only: b hears
// nothing more.
func (n *Network) HalfOpen(a, b string) int { return n.breakConns(a, b, false) }

func (n *Network) breakConns(a, b string, both bool) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := 0
	for _, c := range n.conns {
		if c.host != a || c.peer != b || c.closed || c.in.readErr != nil {
			continue
		}
		k++
		c.reset()
		// What is on its way to b is lost, and b's writes go nowhere.
		c.out.segments, c.out.bytes = nil, 0
		if both {
			c.out.readErr, c.in.writeErr = errReset, errReset
			c.out.stir()
			c.in.room.Broadcast()
		}
	}
	n.cfg.Trace("reset %s %s both=%t: %d", a, b, both, k)
	return k
}

// Pause stops a host, as SIGSTOP stops a process.
func (n *Network) Pause(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host(host).paused = true
	n.cfg.Trace("pause %s", host)
}

// Resume lets a paused host go on.
func (n *Network) Resume(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(host)
	h.paused = false
	h.wake.Broadcast()
	n.cfg.Trace("resume %s", host)
	n.stir()
}

// Kill ends a host for good: its goroutines wait for ever in their next call
// of the network. The peers see resets, or, when silent, nothing at all.
func (n *Network) Kill(host string, silent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host(host).dead = true
	n.cfg.Trace("kill %s silent=%t", host, silent)
	for _, c := range n.conns {
		if c.host != host || c.closed {
			continue
		}
		c.closed = true
		if silent {
			continue
		}
		c.out.over, c.out.broken = true, errReset
		c.in.writeErr = errReset
		c.out.stir()
		c.in.room.Broadcast()
	}
}

// stir wakes everything that waits: a link or a host works again.
func (n *Network) stir() {
	n.dials.Broadcast()
	for _, c := range n.conns {
		c.in.stir()
	}
}
