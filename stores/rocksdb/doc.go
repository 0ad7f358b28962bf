// Package rocksdb keeps tables in RocksDB, for the biggest local state. It is
// a module of its own, because it needs cgo and the RocksDB library:
//
//	apt-get install librocksdb-dev    # Debian 12: RocksDB 7.8.3
//
// which is the version that the pinned grocksdb v1.7.14 fits. Elsewhere build
// RocksDB 7.8 from source, or take a newer grocksdb together with the RocksDB
// that it names; nothing in this package depends on the version.
//
// One worker has one store: one RocksDB instance in one directory. All tables
// are in one column family, each space under a number of its own in front of
// its keys, so that a batch over many tables is one atomic write, and dropping
// a space is one range tombstone.
//
// # What survives what
//
// Apply returns when the batch is in the write-ahead log and the log is in the
// operating system's hands: it survives the end of the process, SIGKILL
// included. Flush syncs the log: it survives power loss. After power loss
// without Flush a suffix of batches may be missing, each as a whole; the
// changelog supplies it.
//
// # Memory
//
// MemoryBytes bounds everything that grows: two memtables, whose sum RocksDB's
// write buffer manager keeps, and the block cache, which holds index and
// filter blocks, too, and gets the rest. (RocksDB 7.8 lets C programs give the
// manager a size, not a cache to share with; hence the sum.) Not counted are
// the readers of open tables, some KiB each, and what iterators pin.
//
// # Damage
//
// Every block has a checksum that each read verifies, and compactions do, too.
// A read of a damaged block fails with store.ErrCorrupt; then the space is
// dropped, which reads nothing, and rebuilt from its changelog. When a flush or
// a compaction meets damage RocksDB takes no more writes at all, and Apply fails
// with store.ErrCorrupt. The next Open or Drop of any space then moves all files
// to a directory beside, Dir with ".damaged" behind it, and begins with an empty
// store. So it does when reads of a space meet damage after a Drop. It waits for
// reads and scans under way, so neither must be called from the body of a scan.
// Spaces that were open fail with store.ErrCorrupt until they are opened again,
// when they have no position. After the end of the process it is the function Open
// that fails with store.ErrCorrupt: remove the directory. The command of
// applications does that by itself.
//
// # Defaults
//
// Bloom filters of 10 bits a key; LZ4; index and filter blocks in the cache,
// those of level 0 pinned; dynamic level sizes; point-in-time recovery of the
// log; tables full of tombstones compacted early; a dropped space is one range
// tombstone, and tables that hold nothing else are removed at once; 1000
// open files; next to nothing in RocksDB's own LOG, which a RocksDB with assertions,
// as Debian's is, does not survive when the disk refuses it. Change any of it in
// Config.Options.
package rocksdb
