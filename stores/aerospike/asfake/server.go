package asfake

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// Options say what server to be. The zero value is a namespace "test" without
// users.
type Options struct {
	// Namespace is the one namespace there is. Default: "test".
	Namespace string
	// ClusterName is what clients may ask for. Default: none.
	ClusterName string
	// User and Password, when set, are needed to log in.
	User, Password string
	// TLS, when set, is spoken instead of plain TCP.
	TLS *tls.Config
	// NoExpiry is a namespace without nsup-period: a write with a time to
	// live is refused.
	NoExpiry bool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Stats count what was done since the server was made.
type Stats struct {
	Requests int // messages, a batch being one
	Batches  int // those that were batches
	Writes   int // records written
	Deletes  int // records deleted
}

// A Server is one node. Its methods may be called from several goroutines at
// once.
type Server struct {
	opts     Options
	listener net.Listener
	done     sync.WaitGroup

	mu      sync.Mutex
	live    map[digest]*record
	device  map[digest][]version
	conns   map[net.Conn]struct{}
	faults  []*injected
	before  func()
	failing Code
	stats   Stats
	down    bool
	closed  bool
}

// Start starts a server on a free port of the loopback interface.
func Start(opts Options) (*Server, error) {
	if opts.Namespace == "" {
		opts.Namespace = "test"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("asfake: listening: %w", err)
	}
	s := &Server{
		opts: opts, listener: l,
		live: make(map[digest]*record), device: make(map[digest][]version), conns: make(map[net.Conn]struct{}),
	}
	s.done.Go(s.accept)
	return s, nil
}

// Addr is the host and port to connect to.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server and waits for what it does.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.listener.Close()
	s.dropConnections()
	s.done.Wait()
}

// Down makes the server unreachable, or reachable again: connections end and
// new ones are closed at once.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	s.down = down
	s.mu.Unlock()
	if down {
		s.dropConnections()
	}
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Records returns how many live records a set has; "" means all sets.
func (s *Server) Records(set string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for d, r := range s.live {
		if (set == "" || r.set == set) && s.find(d) != nil {
			n++
		}
	}
	return n
}

func (s *Server) dropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.opts.TLS != nil {
			c = tls.Server(c, s.opts.TLS)
		}
		s.mu.Lock()
		if s.down || s.closed {
			s.mu.Unlock()
			_ = c.Close()
			continue
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.done.Go(func() {
			s.serve(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// serve answers the frames of a connection until it ends.
func (s *Server) serve(c net.Conn) {
	loggedIn := s.opts.User == ""
	for {
		kind, body, err := readFrame(c)
		if err != nil {
			return
		}
		var answer []byte
		cut := false
		switch {
		case kind == frameAdmin:
			answer, loggedIn = s.admin(body)
		case !loggedIn && kind == frameInfo:
			answer = []byte("ERROR:80:not authenticated\n")
		case !loggedIn:
			answer = (&reply{code: notAuthenticated}).append(nil, 0, info3Last)
		case kind == frameInfo:
			answer = s.info(body)
		case kind == frameMessage:
			var f Fault
			if answer, f = s.message(body); f.DropBefore || f.DropAfter {
				return
			}
			cut = f.DropMiddle
		default:
			return
		}
		frame := appendFrame(nil, kind, answer)
		if cut {
			frame = frame[:len(frame)/2]
		}
		if _, err := c.Write(frame); err != nil || cut {
			return
		}
	}
}

// message answers one message, with the fault that it is to suffer.
func (s *Server) message(body []byte) (answer []byte, f Fault) {
	m, err := decodeMessage(body)
	if err != nil {
		return (&reply{code: ParameterError}).append(nil, 0, info3Last), f
	}
	s.mu.Lock()
	f = s.fault(m.request())
	s.mu.Unlock()
	if f.DropBefore {
		return nil, f
	}
	s.mu.Lock()
	s.stats.Requests++
	if m.batch != nil {
		s.stats.Batches++
	}
	answer = s.answer(m, &f)
	s.mu.Unlock()
	if f.Delay > 0 {
		<-time.After(f.Delay)
	}
	return answer, f
}

func (m *message) request() Request {
	r := Request{Set: m.set, Records: 1, Write: m.info2&info2Write != 0}
	if len(m.batch) > 0 {
		r.Set, r.Records = m.batch[0].set, len(m.batch)
		for i := range m.batch {
			r.Write = r.Write || m.batch[i].info2&info2Write != 0
		}
	}
	return r
}

func (s *Server) answer(m *message, f *Fault) []byte {
	if m.batch == nil {
		r := s.one(m, f, 0)
		return r.append(nil, 0, 0)
	}
	var out []byte
	for i := range m.batch {
		r := s.one(&m.batch[i].message, f, i)
		out = r.append(out, m.batch[i].index, 0)
	}
	return (&reply{}).append(out, 0, info3Last)
}

// one carries out a message unless the fault wants otherwise.
func (s *Server) one(m *message, f *Fault, i int) reply {
	if !f.hits(i) {
		return s.execute(m)
	}
	if f.Applied {
		s.execute(m)
	}
	return reply{code: f.Code}
}
