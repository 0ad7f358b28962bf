//go:build !rocksdb

package integration_test

import "testing"

const noRocksDB = "RocksDB is not compiled in: make integration does it (-tags rocksdb) where the headers of RocksDB are (Debian: librocksdb-dev)"

// TestStoreRocksDB says why it is not run.
func TestStoreRocksDB(t *testing.T) { t.Skip(noRocksDB) }

// TestApplicationRocksDB says why it is not run.
func TestApplicationRocksDB(t *testing.T) { t.Skip(noRocksDB) }
