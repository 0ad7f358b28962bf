package integration_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/integration"
)

// onKafka runs the applications of the suite on a real Kafka, with a store.
func onKafka(t *testing.T, name string, place func(tb conformance.TB) conformance.StorePlace) {
	t.Helper()
	brokers, loopback := integration.Kafka(t)
	conformance.Application(t, conformance.ApplicationFactory{
		Name:      name,
		Transport: realPlaces(brokers, loopback),
		Store:     place,
		Can:       []conformance.Capability{conformance.Reopens},
		Patience:  5 * time.Minute,
	})
}

// inDirectories makes places on this machine's disk.
func inDirectories(open func(dir string) (store.Store, error)) func(tb conformance.TB) conformance.StorePlace {
	return func(tb conformance.TB) conformance.StorePlace {
		dir := filepath.Join(tb.TempDir(), "store")
		return conformance.StorePlace{Open: func() (store.Store, error) { return open(dir) }}
	}
}

// TestApplicationPebble runs them with Pebble.
func TestApplicationPebble(t *testing.T) { onKafka(t, "kafka and pebble", inDirectories(openPebble)) }

// TestApplicationAerospikeFake runs them with the fake Aerospike.
func TestApplicationAerospikeFake(t *testing.T) {
	onKafka(t, "kafka and the fake aerospike", aerospikePlaces(fakeAerospike(t)))
}

// TestApplicationAerospike runs them with a real Aerospike.
func TestApplicationAerospike(t *testing.T) {
	onKafka(t, "kafka and aerospike", aerospikePlaces(realAerospike(t)))
}
