// Package pebble is the default store: tables on local disk, in pure Go, on
// github.com/cockroachdb/pebble. One worker has one store, which is one Pebble
// instance in one directory.
//
// # What survives what
//
// Apply returns when the batch is in the operating system's hands: it survives
// the end of the process, SIGKILL included. Flush returns when everything
// applied is on the disk: it survives power loss. After power loss without
// Flush a suffix of batches may be missing, each as a whole, and the changelog
// supplies it. What is on disk is a prefix of the batches in the order in
// which they were applied, and a position is in the batch of its data.
//
// Pebble itself offers two kinds of commit. With NoSync a batch stays in a
// 32 KiB block of the process's memory until the block is full (record.LogWriter
// in its source), so SIGKILL loses it; with Sync each commit waits for fsync.
// This package commits with Sync over a file system that leaves fsync of the
// write-ahead log out until Flush asks for it or the log is finished: the log
// is written at each commit and costs a system call, not a disk's latency.
// For the same reason the store stays below the format in which Pebble records
// in the log how far it was synced (FormatWALSyncChunks): recovery would take
// an unsynced tail for corruption.
//
// # When the disk fails
//
// Pebble panics when it cannot write its log. Here the store fails instead:
// the failing write and everything after it return the error, nothing more
// is written, and what was applied before is intact for the next process. A
// disk that is full while tables are flushed in the background is logged, and
// Apply waits for room once the memtables are full.
//
// # Damage
//
// A read of a damaged block fails with store.ErrCorrupt. Whether a read met it or a
// compaction, the store finds out which spaces of the table cannot be read and
// cuts them out of all tables (Excise): compactions would go on failing over it, and
// what is written would pile up before them. Everything that the owner of such
// a space does fails with store.ErrCorrupt until it drops the space; in one that
// has no owner there is no position any more. Either way its changelog
// rebuilds it, and other spaces go on. Damage of the catalog makes the store as
// a whole fail.
//
// For the same reason writes wait here, and not in Pebble, while compactions are
// behind (12 layers of tables that are not merged yet): Pebble waits with locks that
// cutting out needs.
//
// # Memory
//
// MemoryBytes bounds memtables and block cache together: Pebble reserves the
// memory of its memtables in the cache, so that blocks get what is left.
package pebble
