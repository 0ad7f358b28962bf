package pebble

import "sync/atomic"

// Writes wait while there are this many layers of tables that no compaction has
// merged yet; Pebble's own limit, 12 by default, is out of reach. Pebble's
// own wait holds its locks, and who finds that damage keeps compactions from
// their work could not cut it out.
const (
	mostLayers = 12
	outOfReach = 1 << 20
)

// A stall makes writes wait for compactions.
type stall struct {
	stale atomic.Bool // tables were made or merged since the layers were counted
	full  atomic.Bool
	wake  chan struct{} // of one: look again
}

// changed says that tables were made or merged. It does not wait.
func (g *stall) changed() {
	g.stale.Store(true)
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// wait returns when there is room for a write, or when the store takes none
// any more. The caller holds no lock.
func (s *Store) wait() {
	g := s.stall
	waited := false
	for g.stale.CompareAndSwap(true, false) || g.full.Load() {
		full := s.layers() >= mostLayers
		g.full.Store(full)
		if !full || s.disk.err() != nil {
			break
		}
		if !waited {
			waited = true
			s.disk.log.Warn("writes wait for the store's background work", "reason", "many tables that are not merged yet")
		}
		select {
		case <-g.wake:
		case <-s.done:
			return
		}
	}
	if waited {
		g.changed() // there may be others
		s.disk.log.Info("writes go on")
	}
}

// layers counts them; zero when the store is closed.
func (s *Store) layers() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0
	}
	return int(s.db.Metrics().Levels[0].Sublevels)
}
