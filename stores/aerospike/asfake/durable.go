package asfake

import (
	"maps"
	"slices"
	"time"
)

// A version is a record as it was written to the device at a time. The device
// keeps older versions until it needs the room, which the fake never does
// except for those that no restart could bring back.
type version struct {
	at     time.Time
	record *record
}

// put writes a record to memory and to the device. The lock is held.
func (s *Server) put(d digest, r *record) {
	s.live[d] = r
	s.stats.Writes++
	now := s.opts.Now()
	versions := s.device[d]
	// Only the newest of the versions that are safe can come back.
	for len(versions) > 1 && now.Sub(versions[1].at) >= keepFor {
		versions = versions[1:]
	}
	s.device[d] = append(versions, version{now, r})
}

// keepFor is the longest loss that Restart can be asked for.
const keepFor = time.Minute

// A Restart says how the server stops.
type Restart struct {
	// Lose is how far back acknowledged writes may be lost, at most a
	// minute. A server stopped in an orderly way loses nothing.
	Lose time.Duration
	// Keep decides which of the writes that may be lost are not, each by
	// itself: blocks of the device are written independently. nil keeps
	// none.
	Keep func(Lost) bool
}

// A Lost write is one that a restart may lose.
type Lost struct {
	Set  string
	Bins map[string][]byte // not to be changed
}

func (r *record) lost() Lost {
	l := Lost{Set: r.set, Bins: make(map[string][]byte, len(r.bins))}
	for name, v := range r.bins {
		l.Bins[name] = []byte(v.data)
	}
	return l
}

// Restart stops the server and starts it again with what its device holds:
// connections end, plain deletes and truncates come back, and some of the last
// writes may be gone.
func (s *Server) Restart(how Restart) {
	s.dropConnections()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	cut := now.Add(-min(how.Lose, keepFor))
	clear(s.live)
	for d, versions := range s.device {
		kept := versions[:0:0]
		for _, v := range versions {
			lost := how.Lose > 0 && !v.at.Before(cut)
			if !lost || how.Keep != nil && how.Keep(v.record.lost()) {
				kept = append(kept, v)
			}
		}
		if len(kept) == 0 {
			delete(s.device, d)
			continue
		}
		s.device[d] = kept
		if last := kept[len(kept)-1].record; !last.expired(now) {
			s.live[d] = last
		}
	}
}

// CloneInHook starts another server that holds what this one holds now, in
// memory and on the device. It is for the function given to OnWrite, which runs
// inside the server: what a worker leaves behind that dies at this write.
func (s *Server) CloneInHook() (*Server, error) {
	c, err := Start(s.opts)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.live, s.live)
	for d, versions := range s.device {
		c.device[d] = slices.Clone(versions)
	}
	return c, nil
}

// Wipe is a server that lost its device: it comes back empty.
func (s *Server) Wipe() {
	s.dropConnections()
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.live)
	clear(s.device)
}
