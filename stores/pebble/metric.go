package pebble

import (
	"github.com/weirstream/weir/core/store"
)

var _ store.Meter = (*Store)(nil)

// Metrics implements store.Meter.
func (s *Store) Metrics() []store.Metric {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil
	}
	m := s.db.Metrics()
	total := m.Total()
	number := func(name, help string, v float64) store.Metric { return store.Metric{Name: name, Help: help, Value: v} }
	counter := func(name, help string, v float64) store.Metric {
		return store.Metric{Name: name, Help: help, Counter: true, Value: v}
	}
	return []store.Metric{
		number("block_cache_bytes", "Memory of cached blocks, indexes and filters.", float64(m.BlockCache.Size)),
		number("memtable_bytes", "Memory of memtables.", float64(m.MemTable.Size+m.MemTable.ZombieSize)),
		number("disk_bytes", "Size of all files.", float64(m.DiskSpaceUsage())),
		number("level0_files", "Sorted tables in level 0: many of them slow writes.", float64(m.Levels[0].TablesCount)),
		number("compaction_debt_bytes", "Bytes that compactions have to rewrite.", float64(m.Compact.EstimatedDebt)),
		number("compactions_running", "Compactions under way.", float64(m.Compact.NumInProgress)),
		counter("block_cache_hit_total", "Blocks that were found in the cache.", float64(m.BlockCache.Hits)),
		counter("block_cache_miss_total", "Blocks that were read from the disk.", float64(m.BlockCache.Misses)),
		counter("bloom_filter_useful_total", "Tables that a filter kept from being read.", float64(m.Filter.Hits)),
		counter("compactions_total", "Compactions that were done.", float64(m.Compact.Count)),
		counter("flushes_total", "Memtables that were written as tables.", float64(m.Flush.Count)),
		counter("ingested_bytes_total", "Bytes of tables that loads brought.", float64(total.TableBytesIngested)),
		counter("log_bytes_total", "Bytes written to the log.", float64(m.WAL.BytesWritten)),
	}
}

// Report returns Pebble's own report, for people: levels, cache, compactions,
// write-ahead log. It is empty after Close.
func (s *Store) Report() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ""
	}
	return s.db.Metrics().String()
}
