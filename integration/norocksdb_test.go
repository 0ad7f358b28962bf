//go:build !rocksdb

package integration_test

import "testing"

// TestStoreRocksDB says why it is not run.
func TestStoreRocksDB(t *testing.T) {
	t.Skip("RocksDB is not compiled in: make integration does it (-tags rocksdb) where the headers of RocksDB are (Debian: librocksdb-dev)")
}
