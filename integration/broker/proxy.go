package broker

import (
	"context"
	"net"
	"sync"
)

// stranger is who connects and is no broker.
const stranger = 0

// A proxy stands between who connects and one broker.
type proxy struct {
	l net.Listener
	// source says which broker a connection comes from; nil: none does.
	source func(net.Conn) int

	mu     sync.Mutex
	target string
	cut    map[int]bool // by source
	conns  map[net.Conn]int
}

func newProxy(source func(net.Conn) int) (*proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{l: l, source: source, cut: make(map[int]bool), conns: make(map[net.Conn]int)}
	go p.accept()
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

// to sets the address of the broker.
func (p *proxy) to(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		from := stranger
		if p.source != nil {
			from = p.source(c)
		}
		if !p.add(c, from) {
			continue // it waits for an answer that never comes
		}
		go p.serve(c, from)
	}
}

// add remembers a connection and reports whether there is a network.
func (p *proxy) add(c net.Conn, from int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = from
	return !p.cut[from]
}

func (p *proxy) remove(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) serve(c net.Conn, from int) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	b, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", target)
	if err != nil {
		p.remove(c)
		return
	}
	p.add(b, from)
	go p.copy(b, c, from)
	p.copy(c, b, from)
}

// copy moves bytes one way until either end is closed, and closes both. What
// arrives while the network is cut is lost, and nothing may pass after it.
func (p *proxy) copy(to, from net.Conn, source int) {
	defer p.remove(to)
	defer p.remove(from)
	buf := make([]byte, 64<<10)
	lost := false
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if lost = lost || p.isCut(source); !lost {
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

func (p *proxy) isCut(source int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut[source]
}

// setCut cuts the network to sources, or mends it and resets what was open.
func (p *proxy) setCut(cut bool, sources ...int) {
	p.mu.Lock()
	var reset []net.Conn
	for _, s := range sources {
		if was := p.cut[s]; was && !cut {
			for c, from := range p.conns {
				if from == s {
					reset = append(reset, c)
				}
			}
		}
		p.cut[s] = cut
	}
	p.mu.Unlock()
	for _, c := range reset {
		p.remove(c)
	}
}

func (p *proxy) close() {
	_ = p.l.Close()
	p.mu.Lock()
	var all []net.Conn
	for c := range p.conns {
		all = append(all, c)
	}
	p.mu.Unlock()
	for _, c := range all {
		p.remove(c)
	}
}
