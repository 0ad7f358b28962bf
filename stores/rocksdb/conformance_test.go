package rocksdb_test

import (
	"path/filepath"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
)

// small makes memtables so small that sorted tables and compactions happen
// within a test.
func small(dir string) rocksdb.Config {
	return rocksdb.Config{Dir: dir, CacheBytes: 8 << 20, MemTableBytes: 256 << 10}
}

func TestConformance(t *testing.T) {
	conformance.Store(t, conformance.StoreFactory{
		Name: "rocksdb",
		New: func(tb conformance.TB) conformance.StorePlace {
			dir := filepath.Join(tb.TempDir(), "store")
			return conformance.StorePlace{Open: func() (store.Store, error) { return rocksdb.Open(small(dir)) }}
		},
		Can:     []conformance.Capability{conformance.Reopens, conformance.LocksOut, conformance.SurvivesKill},
		OpenDir: func(dir string) (store.Store, error) { return rocksdb.Open(small(dir)) },
	})
}
