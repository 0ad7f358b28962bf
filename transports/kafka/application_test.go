package kafka_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/pebble"
)

// TestApplication runs the applications of the suite on kfake with Pebble.
func TestApplication(t *testing.T) {
	t.Parallel()
	conformance.Application(t, conformance.ApplicationFactory{
		Name:      "kafka on kfake and pebble",
		Transport: kfakePlace,
		Store: func(conformance.TB) conformance.StorePlace {
			fs := vfs.NewMem()
			return conformance.StorePlace{Open: func() (store.Store, error) {
				return pebble.Open(pebble.Config{Dir: "store", FS: fs, MemoryBytes: 4 << 20, MemTableBytes: 256 << 10})
			}}
		},
		Can: []conformance.Capability{conformance.Reopens},
	})
}
