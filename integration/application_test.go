package integration_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/stores/pebble"
)

// TestApplicationPebble runs the applications of the suite on a real Kafka
// with Pebble on this machine's disk.
func TestApplicationPebble(t *testing.T) {
	brokers, loopback := integration.Kafka(t)
	conformance.Application(t, conformance.ApplicationFactory{
		Name:      "kafka and pebble",
		Transport: realPlaces(brokers, loopback),
		Store: func(tb conformance.TB) conformance.StorePlace {
			dir := filepath.Join(tb.TempDir(), "store")
			return conformance.StorePlace{Open: func() (store.Store, error) {
				return pebble.Open(pebble.Config{Dir: dir, MemoryBytes: 8 << 20})
			}}
		},
		Can:      []conformance.Capability{conformance.Reopens},
		Patience: 5 * time.Minute,
	})
}
