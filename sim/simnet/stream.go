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
	link     link
	rng      *rand.Rand
	alarm    *alarm // readers and writers wait here
	segments []segment
	bytes    int
	last     time.Time // when the newest segment arrives
	// broken is what the reader meets after what arrived, once it is over.
	over   bool
	broken error
	// readErr and writeErr end either side at once.
	readErr, writeErr error
	readBy, writeBy   time.Time
}

type segment struct {
	data []byte
	at   time.Time
	// breaks says that the connection is reset after data.
	breaks bool
}

func newStream(n *Network, from, to string, rng *rand.Rand) *stream {
	return &stream{n: n, link: link{from, to}, rng: rng, alarm: newAlarm(&n.mu)}
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
	s.alarm.at(s.segments[0].at)
}

// due reports whether the first segment has arrived.
func (s *stream) due() bool {
	return len(s.segments) > 0 && !s.n.link(s.link.from, s.link.to).held && !time.Now().Before(s.segments[0].at)
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
		s.alarm.cond.Broadcast()
		if k == 0 && s.readErr != nil {
			return 0, s.readErr, true
		}
		return k, nil, k > 0 || len(p) == 0
	case s.over && len(s.segments) == 0 && !s.n.link(s.link.from, s.link.to).held:
		if s.broken != nil {
			return 0, s.broken, true
		}
		return 0, io.EOF, true
	case !s.readBy.IsZero() && !time.Now().Before(s.readBy):
		return 0, os.ErrDeadlineExceeded, true
	}
	return 0, nil, false
}

// fail ends both sides of the stream at once.
func (s *stream) fail(reader, writer error) {
	if s.readErr == nil {
		s.readErr = reader
	}
	if s.writeErr == nil {
		s.writeErr = writer
	}
	s.alarm.cond.Broadcast()
}

// An alarm is a condition that is also broadcast at a time.
type alarm struct {
	mu     *sync.Mutex
	cond   *sync.Cond
	timers []*time.Timer
	host   *hostState
}

func newAlarm(mu *sync.Mutex) *alarm { return &alarm{mu: mu, cond: sync.NewCond(mu)} }

func (a *alarm) broadcast() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cond.Broadcast()
}

// at makes the alarm ring then, too.
func (a *alarm) at(t time.Time) {
	d := time.Until(t)
	if d <= 0 {
		a.cond.Broadcast()
		return
	}
	for _, old := range a.timers {
		old.Stop()
	}
	a.timers = append(a.timers[:0], time.AfterFunc(d, a.broadcast))
}

func (a *alarm) stop() {
	for _, t := range a.timers {
		t.Stop()
	}
}
