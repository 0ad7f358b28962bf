package simnet

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"
)

// Errors as a real network has them.
var (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
	errClosed  = errors.New("use of closed network connection")
)

// window is how many bytes may be on their way in one stream.
const window = 1 << 20

// A stream is one direction of a connection. All of it is under the
// network's lock.
type stream struct {
	n        *Network
	link     *linkState
	rng      *rand.Rand
	room     *sync.Cond // writers wait here for the window
	segments []segment
	bytes    int
	last     time.Time // when the newest segment arrives
	// broken is what the reader meets after what arrived, once it is over.
	over   bool
	broken error
	// readErr and writeErr end either side at once.
	readErr, writeErr error
	readBy, writeBy   time.Time
	// The one reader waits for its timer, which goes off when there is
	// something for it by itself, or for wake.
	waiting bool
	timer   *time.Timer
	wake    chan struct{}
}

type segment struct {
	data []byte
	at   time.Time
	// breaks says that the connection is reset after data.
	breaks bool
}

func newStream(n *Network, from, to string, rng *rand.Rand) *stream {
	s := &stream{n: n, link: n.link(from, to), rng: rng, room: sync.NewCond(&n.mu), timer: time.NewTimer(time.Hour), wake: make(chan struct{}, 1)}
	s.timer.Stop()
	return s
}

// put sends data; delay is beyond the usual one.
func (s *stream) put(data []byte, delay time.Duration, breaks bool) {
	at := time.Now().Add(s.n.delay(s.rng, s.link) + delay)
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	s.segments = append(s.segments, segment{data, at, breaks})
	s.bytes += len(data)
	if s.waiting && len(s.segments) == 1 {
		s.arm()
	}
}

// await lets the reader wait until it should look again. The network is
// locked.
func (s *stream) await() {
	s.arm()
	s.waiting = true
	s.n.mu.Unlock()
	select {
	case <-s.timer.C:
	case <-s.wake:
	}
	s.n.mu.Lock()
	s.waiting = false
}

// arm sets the timer of the reader.
func (s *stream) arm() {
	if t := s.next(); t.IsZero() {
		s.timer.Stop()
	} else {
		s.timer.Reset(time.Until(t))
	}
}

// stir makes a reader that waits look again.
func (s *stream) stir() {
	if s.waiting {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// due reports whether the first segment has arrived.
func (s *stream) due() bool {
	return len(s.segments) > 0 && !s.link.held && !time.Now().Before(s.segments[0].at)
}

// take reads what has arrived. ok is false when the reader must wait.
func (s *stream) take(p []byte) (k int, err error, ok bool) {
	switch {
	case s.readErr != nil:
		return 0, s.readErr, true
	case s.due():
		seg := &s.segments[0]
		k = copy(p, seg.data)
		seg.data = seg.data[k:]
		s.bytes -= k
		if len(seg.data) == 0 {
			if seg.breaks {
				s.readErr = errReset
			}
			s.segments = s.segments[1:]
		}
		s.room.Broadcast()
		if k == 0 && s.readErr != nil {
			return 0, s.readErr, true
		}
		return k, nil, k > 0 || len(p) == 0
	case s.over && len(s.segments) == 0 && !s.link.held:
		if s.broken != nil {
			return 0, s.broken, true
		}
		return 0, io.EOF, true
	case !s.readBy.IsZero() && !time.Now().Before(s.readBy):
		return 0, os.ErrDeadlineExceeded, true
	}
	return 0, nil, false
}

// next is when the reader should look again by itself.
func (s *stream) next() time.Time {
	t := s.readBy
	if len(s.segments) > 0 && !s.link.held {
		t = earliest(t, s.segments[0].at)
	}
	return t
}

// fail ends both sides of the stream at once.
func (s *stream) fail(reader, writer error) {
	if s.readErr == nil {
		s.readErr = reader
	}
	if s.writeErr == nil {
		s.writeErr = writer
	}
	s.stir()
	s.room.Broadcast()
}

// wait waits on c, until t at the latest unless that is zero. The network is
// locked.
func (n *Network) wait(c *sync.Cond, t time.Time) {
	if !t.IsZero() {
		timer := time.AfterFunc(time.Until(t), func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			c.Broadcast()
		})
		defer timer.Stop()
	}
	c.Wait()
}

// earliest returns the earlier of two times, of which zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
