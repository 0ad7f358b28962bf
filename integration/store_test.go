package integration_test

import (
	"path/filepath"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/pebble"
)

// TestStorePebble runs the store suite on this machine's disk. Those of
// RocksDB and of Aerospike servers are in their modules; make conformance
// runs them.
func TestStorePebble(t *testing.T) {
	open := func(dir string) (store.Store, error) {
		return pebble.Open(pebble.Config{Dir: dir, MemoryBytes: 8 << 20})
	}
	conformance.Store(t, conformance.StoreFactory{
		Name: "pebble",
		New: func(tb conformance.TB) conformance.StorePlace {
			dir := filepath.Join(tb.TempDir(), "store")
			return conformance.StorePlace{Open: func() (store.Store, error) { return open(dir) }}
		},
		Can:     []conformance.Capability{conformance.Reopens, conformance.LocksOut, conformance.SurvivesKill},
		OpenDir: open,
	})
}
