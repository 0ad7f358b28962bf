package rocksdb

import (
	"fmt"
	"strings"

	"github.com/weirstream/weir/core/store"
)

var _ store.Meter = (*Store)(nil)

// properties are RocksDB's properties that are published.
func properties() []struct{ property, name, help string } {
	return []struct{ property, name, help string }{
		{"block-cache-usage", "block_cache_bytes", "Memory of cached blocks, indexes and filters."},
		{"block-cache-pinned-usage", "block_cache_pinned_bytes", "Memory of cached blocks that are in use."},
		{"cur-size-all-mem-tables", "memtable_bytes", "Memory of memtables."},
		{"estimate-table-readers-mem", "table_reader_bytes", "Memory of open tables outside of the block cache."},
		{"total-sst-files-size", "disk_bytes", "Size of all sorted tables."},
		{"estimate-live-data-size", "live_bytes", "Estimated size of what is not overwritten or deleted."},
		{"estimate-num-keys", "keys", "Estimated number of keys."},
		{"num-files-at-level0", "level0_files", "Sorted tables in level 0: many of them slow writes."},
		{"estimate-pending-compaction-bytes", "compaction_debt_bytes", "Bytes that compactions have to rewrite."},
		{"num-running-compactions", "compactions_running", "Compactions under way."},
		{"num-running-flushes", "flushes_running", "Flushes of memtables under way."},
		{"actual-delayed-write-rate", "write_delay_bytes_per_second", "Rate that writes are slowed to, 0 for not at all."},
		{"is-write-stopped", "write_stopped", "1 while writes wait for compactions."},
		{"background-errors", "background_errors_total", "Flushes and compactions that failed."},
	}
}

// Metrics implements store.Meter. With Config.Statistics RocksDB's tickers
// are among the numbers, under their own names.
func (s *Store) Metrics() []store.Metric {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed || s.e == nil {
		return nil
	}
	var ms []store.Metric
	for _, p := range properties() {
		v, _ := s.e.db.GetIntProperty("rocksdb." + p.property)
		ms = append(ms, store.Metric{Name: p.name, Help: p.help, Counter: strings.HasSuffix(p.name, "_total"), Value: float64(v)})
	}
	if s.e.statistics {
		ms = append(ms, tickers(s.e.opts.GetStatisticsString())...)
	}
	return ms
}

// tickers reads the counters from RocksDB's text, of lines such as
// "rocksdb.block.cache.miss COUNT : 17"; lines of histograms are longer.
func tickers(text string) []store.Metric {
	var ms []store.Metric
	for line := range strings.Lines(text) {
		var name string
		var v float64
		line = strings.TrimSpace(line)
		if strings.Contains(line, " P50 ") {
			continue
		}
		if n, _ := fmt.Sscanf(line, "%s COUNT : %g", &name, &v); n == 2 {
			name = strings.ReplaceAll(strings.TrimPrefix(name, "rocksdb."), ".", "_")
			name = strings.ReplaceAll(name, "-", "_") + "_total"
			ms = append(ms, store.Metric{Name: name, Help: "RocksDB's ticker of this name.", Counter: true, Value: v})
		}
	}
	return ms
}

// Report returns RocksDB's own report, for people. It is empty after Close.
func (s *Store) Report() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed || s.e == nil {
		return ""
	}
	return s.e.db.GetProperty("rocksdb.stats")
}
