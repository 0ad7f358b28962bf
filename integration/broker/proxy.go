package broker

import (
	"context"
	"net"
	"sync"
)

// A proxy stands between clients and one broker.
type proxy struct {
	l      net.Listener
	target string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

func newProxy(target string) (*proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{l: l, target: target, conns: make(map[net.Conn]struct{})}
	go p.accept()
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		if !p.add(c) {
			continue // it waits for an answer that never comes
		}
		go p.serve(c)
	}
}

// add remembers a connection and reports whether there is a network.
func (p *proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return !p.cut
}

func (p *proxy) remove(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) serve(c net.Conn) {
	b, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		p.remove(c)
		return
	}
	p.add(b)
	go p.copy(b, c)
	p.copy(c, b)
}

// copy moves bytes one way until either end is closed, and closes both. What
// arrives while the network is cut is lost, and nothing may pass after it.
func (p *proxy) copy(to, from net.Conn) {
	defer p.remove(to)
	defer p.remove(from)
	buf := make([]byte, 64<<10)
	lost := false
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if lost = lost || p.isCut(); !lost {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// setCut cuts the network, or mends it and resets what was open.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	was := p.cut
	p.cut = cut
	var reset []net.Conn
	if was && !cut {
		for c := range p.conns {
			reset = append(reset, c)
		}
	}
	p.mu.Unlock()
	for _, c := range reset {
		p.remove(c)
	}
}

func (p *proxy) close() {
	_ = p.l.Close()
	p.setCut(true)
	p.setCut(false)
}
