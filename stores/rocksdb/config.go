package rocksdb

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/linxGnu/grocksdb"
)

// Config says how to open a store.
type Config struct {
	// Dir is the directory of the store, made when missing. It belongs to
	// one process at a time. Required.
	Dir string
	// MemoryBytes bounds what RocksDB holds outside the Go heap: memtables,
	// and the block cache, in which indexes and filters are, too, get what
	// memtables leave. Default (0): 128 MiB. At least 8 MiB.
	MemoryBytes int64
	// MemTableBytes is how much is collected before it is written as a
	// sorted table; up to two such are held. Default (0): an eighth of
	// MemoryBytes, at most 64 MiB. At most a quarter of MemoryBytes.
	MemTableBytes int64
	// MaxOpenFiles limits the files kept open. Default (0): 1000.
	MaxOpenFiles int
	// Background is how many flushes and compactions may run at once.
	// Default (0): the number of CPUs, at most 4.
	Background int
	// Statistics counts hits, misses and the like for Metrics, which costs
	// some percent of the speed.
	Statistics bool
	// Options, when set, may change RocksDB's options after the package has
	// set its own. The write-ahead log must stay on, and all files in Dir. It
	// is called again when a damaged store is begun anew.
	Options func(*grocksdb.Options)
}

const (
	defaultMemoryBytes  = 128 << 20
	minMemoryBytes      = 8 << 20
	memTables           = 2
	maxMemTableBytes    = 64 << 20
	defaultMaxOpenFiles = 1000
	bloomBits           = 10 // one absent key in a hundred costs a read
	// A table is compacted when so many of so many entries in a row are
	// tombstones: scans of windows and timers pass over them until then.
	tombstones, tombstoneWindow = 5_000, 10_000
)

// withDefaults returns the config with defaults filled in, or all its
// mistakes at once.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("rocksdb.Config: "+format, args...))
		}
	}
	wrong(c.Dir == "", "Dir is empty: name a directory for the store")
	wrong(c.MemoryBytes != 0 && c.MemoryBytes < minMemoryBytes, "MemoryBytes is %d: use 0 for the default or at least %d", c.MemoryBytes, minMemoryBytes)
	if c.MemoryBytes == 0 {
		c.MemoryBytes = defaultMemoryBytes
	}
	wrong(c.MemTableBytes < 0 || c.MemTableBytes > c.MemoryBytes/4, "MemTableBytes is %d: use 0 for the default or at most a quarter of MemoryBytes, %d", c.MemTableBytes, c.MemoryBytes/4)
	wrong(c.MaxOpenFiles < 0, "MaxOpenFiles is negative")
	wrong(c.Background < 0, "Background is negative")
	if c.MemTableBytes == 0 {
		c.MemTableBytes = min(c.MemoryBytes/8, maxMemTableBytes)
	}
	if c.MaxOpenFiles == 0 {
		c.MaxOpenFiles = defaultMaxOpenFiles
	}
	if c.Background == 0 {
		c.Background = min(runtime.NumCPU(), 4)
	}
	return c, errors.Join(errs...)
}

// An engine is RocksDB's own objects, which nobody but us frees.
type engine struct {
	db    *grocksdb.DB
	opts  *grocksdb.Options
	table *grocksdb.BlockBasedTableOptions
	cache *grocksdb.Cache
	read  *grocksdb.ReadOptions
	scan  *grocksdb.ReadOptions
	write *grocksdb.WriteOptions

	statistics bool
}

func newEngine(c Config) *engine {
	e := &engine{
		opts:  grocksdb.NewDefaultOptions(),
		table: grocksdb.NewDefaultBlockBasedTableOptions(),
		cache: grocksdb.NewLRUCache(uint64(c.MemoryBytes - memTables*c.MemTableBytes)),
		read:  grocksdb.NewDefaultReadOptions(),
		scan:  grocksdb.NewDefaultReadOptions(),
		write: grocksdb.NewDefaultWriteOptions(),

		statistics: c.Statistics,
	}
	e.table.SetBlockCache(e.cache)
	e.table.SetFilterPolicy(grocksdb.NewBloomFilter(bloomBits))
	e.table.SetCacheIndexAndFilterBlocks(true)
	e.table.SetPinL0FilterAndIndexBlocksInCache(true)
	e.table.SetFormatVersion(5)
	e.opts.SetCreateIfMissing(true)
	e.opts.SetBlockBasedTableFactory(e.table)
	e.opts.SetCompression(grocksdb.LZ4Compression)
	e.opts.SetWriteBufferSize(uint64(c.MemTableBytes))
	e.opts.SetMaxWriteBufferNumber(memTables)
	e.opts.SetDbWriteBufferSize(uint64(memTables * c.MemTableBytes)) // RocksDB makes its write buffer manager of it
	e.opts.SetMaxOpenFiles(c.MaxOpenFiles)
	e.opts.SetMaxBackgroundJobs(c.Background)
	e.opts.SetLevelCompactionDynamicLevelBytes(true)
	e.opts.SetBytesPerSync(1 << 20)
	// RocksDB writes its LOG to the same disk, about trouble with that disk
	// above all; built with assertions, as Debian's is, it aborts the process
	// when the LOG cannot be written (crash/failing-disk of TestConformance). So there is
	// next to nothing in it, and no file of it is begun while the store is
	// open: errors come from calls, numbers from Metrics and Report.
	e.opts.SetInfoLogLevel(grocksdb.FatalInfoLogLevel)
	e.opts.SetKeepLogFileNum(2)
	e.opts.SetStatsDumpPeriodSec(0)
	e.opts.AddCompactOnDeletionCollectorFactory(tombstoneWindow, tombstones)
	// What is on disk is checked whenever it is read, and compactions check
	// what they write; damage stops writes instead of spreading.
	e.opts.SetParanoidChecks(true)
	e.read.SetVerifyChecksums(true)
	e.scan.SetVerifyChecksums(true)
	if c.Statistics {
		e.opts.EnableStatistics()
	}
	// A tail of the log that was not synced before power loss ends the log;
	// it is not corruption.
	e.opts.SetWALRecoveryMode(grocksdb.PointInTimeRecovery)
	if c.Options != nil {
		c.Options(e.opts)
	}
	// Scans must not push hot blocks out.
	e.scan.SetFillCache(false)
	return e
}

func (e *engine) close() {
	if e.db != nil {
		e.db.Close()
	}
	e.write.Destroy()
	e.scan.Destroy()
	e.read.Destroy()
	e.opts.Destroy()
	e.table.Destroy()
	e.cache.Destroy()
}
