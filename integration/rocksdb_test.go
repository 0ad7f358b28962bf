//go:build rocksdb

package integration_test

import (
	"testing"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
)

func openRocksDB(dir string) (store.Store, error) {
	return rocksdb.Open(rocksdb.Config{Dir: dir, MemoryBytes: 8 << 20, MemTableBytes: 256 << 10})
}

// TestStoreRocksDB runs the store suite on RocksDB.
func TestStoreRocksDB(t *testing.T) { onDisk(t, "rocksdb", openRocksDB) }

// TestApplicationRocksDB runs the applications of the suite with RocksDB on a
// real Kafka.
func TestApplicationRocksDB(t *testing.T) {
	onKafka(t, "kafka and rocksdb", inDirectories(openRocksDB))
}
