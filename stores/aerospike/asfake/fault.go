package asfake

import (
	"slices"
	"time"
)

// A Request is what faults are chosen by.
type Request struct {
	// Set of the first record.
	Set string
	// Records is how many the request is about; a batch of one comes as a
	// single request.
	Records int
	// Write is set when the request writes or deletes anything.
	Write bool
}

// A Fault makes requests go wrong.
type Fault struct {
	// When chooses requests; nil means every one.
	When func(Request) bool
	// Times is how many requests go wrong; 0 means all, until removed.
	Times int

	// Delay is how long an answer waits.
	Delay time.Duration
	// DropBefore ends the connection and carries nothing out.
	DropBefore bool
	// DropAfter carries the request out and ends the connection instead of
	// answering: the client cannot know.
	DropAfter bool
	// DropMiddle carries the request out and ends the connection in the
	// middle of the answer.
	DropMiddle bool
	// Code is the answer instead of the right one, for every record or for
	// each Every-th of a batch.
	Code Code
	// Every chooses records of a batch for Code; 0 and 1 mean all.
	Every int
	// Applied carries out also what Code answers.
	Applied bool
}

// An injected fault counts down.
type injected struct {
	Fault

	left int // -1 for ever
}

// Inject adds a fault and returns what removes it. The fault that was added
// first and fits takes a request.
func (s *Server) Inject(f Fault) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &injected{f, f.Times}
	if f.Times == 0 {
		in.left = -1
	}
	s.faults = append(s.faults, in)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(i *injected) bool { return i == in })
	}
}

// fault takes the fault for a request, or a harmless one. The lock is held.
func (s *Server) fault(r Request) Fault {
	for i, f := range s.faults {
		if f.When != nil && !f.When(r) {
			continue
		}
		if f.left > 0 {
			if f.left--; f.left == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f.Fault
	}
	return Fault{}
}

// hits reports whether the i-th record of a request is answered with Code.
func (f *Fault) hits(i int) bool { return f.Code != OK && i%max(f.Every, 1) == max(f.Every, 1)-1 }

// OnWrite asks for before to be called before each record is written or
// deleted; nil ends that. Calls are not made at the same time; before must not
// call the server.
func (s *Server) OnWrite(before func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// Fail makes all writes fail with code until it is called with OK.
func (s *Server) Fail(code Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = code
}

// FailInHook is Fail for the function given to OnWrite, which runs inside the
// server: the write it was called for fails already.
func (s *Server) FailInHook(code Code) { s.failing = code }

// Damage changes one byte in a bin of each record for which which is true,
// like a device that rots, and returns how many it changed.
func (s *Server) Damage(which func(set string, bins map[string][]byte) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for d, r := range s.live {
		view := make(map[string][]byte, len(r.bins))
		for name, v := range r.bins {
			view[name] = []byte(v.data)
		}
		if !which(r.set, view) {
			continue
		}
		next := &record{set: r.set, generation: r.generation, expires: r.expires, bins: make(map[string]value)}
		for name, v := range r.bins {
			if data := []byte(v.data); len(data) > 0 {
				data[len(data)/2] ^= 0x10
				v.data = string(data)
			}
			next.bins[name] = v
		}
		s.live[d] = next
		s.device[d] = []version{{s.opts.Now(), next}}
		n++
	}
	return n
}
