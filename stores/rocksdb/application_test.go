package rocksdb_test

import (
	"path/filepath"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/transports/memory/memorytest"
)

// TestApplication runs the applications of the suite with RocksDB.
func TestApplication(t *testing.T) {
	t.Parallel()
	conformance.Application(t, conformance.ApplicationFactory{
		Name:      "memory and rocksdb",
		Transport: memorytest.New,
		Store: func(tb conformance.TB) conformance.StorePlace {
			dir := filepath.Join(tb.TempDir(), "store")
			return conformance.StorePlace{Open: func() (store.Store, error) { return openSmall(dir) }}
		},
		Can: []conformance.Capability{conformance.Reopens},
	})
}
