package devbroker

import (
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// listenFunc is net.Listen, or that of a test's network.
type listenFunc func(network, address string) (net.Listener, error)

// watch makes listeners whose connections show the attendant what passes.
func (a *attendant) watch(listen listenFunc) listenFunc {
	return func(network, address string) (net.Listener, error) {
		l, err := listen(network, address)
		if err != nil {
			return nil, err
		}
		return watchedListener{l, a}, nil
	}
}

type watchedListener struct {
	net.Listener
	a *attendant
}

// Accept implements net.Listener.
func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &watched{Conn: c, a: l.a, asked: make(map[int32]*question)}
	w.in = splitter{want: w.wantsRequest, take: w.request}
	w.out = splitter{want: w.wantsAnswer, take: w.answer}
	return w, nil
}

// A watched connection changes nothing that passes. It looks at JoinGroup and
// SyncGroup requests and their answers.
type watched struct {
	net.Conn
	a       *attendant
	in, out splitter // used by kfake's reader and writer alone

	mu    sync.Mutex
	asked map[int32]*question // by correlation ID
}

// A question is a request that waits for its answer.
type question struct {
	req  kmsg.Request
	m    member
	turn int
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.in.feed(p[:n])
	if err != nil {
		w.lost()
	}
	return n, err
}

// Write implements net.Conn. The attendant knows of an answer before the client
// can ask the next question.
func (w *watched) Write(p []byte) (int, error) {
	w.out.feed(p)
	return w.Conn.Write(p)
}

// Close implements net.Conn.
func (w *watched) Close() error {
	w.lost()
	return w.Conn.Close()
}

func (w *watched) lost() {
	w.mu.Lock()
	asked := w.asked
	w.asked = nil
	w.mu.Unlock()
	for _, q := range asked {
		_, joining := q.req.(*kmsg.JoinGroupRequest)
		w.a.lost(q.m, q.turn, joining)
	}
}

// wantsRequest looks at a request's key and version.
func (w *watched) wantsRequest(head uint32) bool {
	key := int16(head >> 16)
	return key == int16(kmsg.JoinGroup) || key == int16(kmsg.SyncGroup)
}

// request takes a whole request; one that cannot be read is left to kfake.
func (w *watched) request(frame []byte) {
	r := kbin.Reader{Src: frame}
	req := kmsg.RequestForKey(r.Int16())
	req.SetVersion(r.Int16())
	correlation := r.Int32()
	r.NullableString() // the client's ID
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if r.Complete() != nil || req.ReadFrom(r.Src) != nil {
		return
	}
	q := &question{req: req}
	switch req := req.(type) {
	case *kmsg.JoinGroupRequest:
		if req.MemberID == "" { // it is answered at once with an ID
			return
		}
		q.m = member{req.Group, req.MemberID}
		q.turn = w.a.joins(q.m, time.Duration(req.SessionTimeoutMillis)*time.Millisecond)
	case *kmsg.SyncGroupRequest:
		q.m = member{req.Group, req.MemberID}
		q.turn = w.a.syncs(q.m, req.Generation)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked != nil {
		w.asked[correlation] = q
	}
}

// wantsAnswer looks at an answer's correlation ID.
func (w *watched) wantsAnswer(head uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[int32(head)] != nil
}

func (w *watched) answer(frame []byte) {
	r := kbin.Reader{Src: frame}
	correlation := r.Int32()
	w.mu.Lock()
	q := w.asked[correlation]
	delete(w.asked, correlation)
	w.mu.Unlock()
	if q == nil {
		return
	}
	resp := q.req.ResponseKind()
	if resp.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	generation := int32(0)
	if join, ok := resp.(*kmsg.JoinGroupResponse); ok && join.ReadFrom(r.Src) == nil && join.ErrorCode == 0 {
		generation = join.Generation
	}
	w.a.answered(q.m, q.turn, generation)
}

// A splitter finds the frames in a stream: a length and four bytes more, which
// say whether anybody wants to see it, and the rest.
type splitter struct {
	want func(head uint32) bool
	take func(frame []byte) // without the length; not kept

	buf  []byte
	skip int
}

const headSize = 8

func (s *splitter) feed(p []byte) {
	for len(p) > 0 {
		if n := min(s.skip, len(p)); n > 0 {
			s.skip -= n
			p = p[n:]
			continue
		}
		end := headSize
		if len(s.buf) >= headSize {
			end = s.frameEnd()
		}
		n := min(end-len(s.buf), len(p))
		s.buf = append(s.buf, p[:n]...)
		p = p[n:]
		if len(s.buf) == headSize && (s.frameEnd() < headSize || !s.want(binary.BigEndian.Uint32(s.buf[4:]))) {
			s.skip = max(0, s.frameEnd()-headSize)
			s.buf = s.buf[:0]
		} else if len(s.buf) >= headSize && len(s.buf) == s.frameEnd() {
			s.take(s.buf[4:])
			s.buf = s.buf[:0]
		}
	}
}

// frameEnd is where the frame whose length is known ends.
func (s *splitter) frameEnd() int { return 4 + int(binary.BigEndian.Uint32(s.buf)) }
