package aerospike

import (
	"maps"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/weirstream/weir/core/store"
)

const (
	// callBytes is what the client makes of one record of a call beside the
	// bytes that it carries: its key and digest, its operations or bins, its
	// part of the message and of the answer; TestCallBytes measures it.
	callBytes = 1024

	// roomBytes bounds what the calls of all operations take at the same time,
	// when there is four times as much memory. A few large calls keep a network
	// busy; more of them only take memory. Values that are read count as what
	// is typical in their space.
	roomBytes = 16 << 20

	// entryBytes is what an entry takes in the index beside the bytes of its
	// key; TestMemoryOfABatch measures it.
	entryBytes = 64
)

// A room is for what is on its way to the servers, in bytes.
type room struct {
	*semaphore.Weighted

	size int64
}

func newRoom(size int64) room { return room{semaphore.NewWeighted(size), size} }

// indexed says how many entries the open spaces have, and what keeping their
// keys takes.
func (s *Store) indexed() (entries, bytes int64) {
	s.mu.Lock()
	spaces := slices.Collect(maps.Values(s.spaces))
	s.mu.Unlock()
	for _, p := range spaces {
		p.mu.RLock()
		n := int64(p.index.Len())
		entries, bytes = entries+n, bytes+n*entryBytes+p.keyBytes
		p.mu.RUnlock()
	}
	return entries, bytes
}

// heed warns when keys take more memory than the store should do with, and
// again when that has grown by a quarter.
func (s *Store) heed() {
	entries, bytes := s.indexed()
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.cfg.MemoryBytes - s.room.size; bytes <= max(left, s.warned/4*5) {
		return
	}
	s.warned = bytes
	s.cfg.Logger.Warn("the keys of the tables that this worker owns take more memory than the store has: raise the memory of stores or of the worker, or spread the tasks over more workers",
		"entries", entries, "bytes", bytes, "memory_bytes", s.cfg.MemoryBytes)
}

var _ store.Meter = (*Store)(nil)

// Metrics implements store.Meter.
func (s *Store) Metrics() []store.Metric {
	if s.begin() != nil {
		return nil
	}
	defer s.ops.Done()
	entries, bytes := s.indexed()
	return []store.Metric{
		{Name: "index_entries", Help: "Entries of the spaces that are open.", Value: float64(entries)},
		{Name: "index_bytes", Help: "Memory of their keys.", Value: float64(bytes)},
	}
}
