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
// CacheBytes bounds everything: the block cache, into which index and filter
// blocks go too, and the memtables, which are charged to it.
package rocksdb
