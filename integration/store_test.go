package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/integration"
	"github.com/weirstream/weir/stores/aerospike"
	"github.com/weirstream/weir/stores/aerospike/asfake"
	"github.com/weirstream/weir/stores/pebble"
)

// onDisk is the suite over a store in a directory of this machine's disk.
// Faults of disks are in the stores' own tests.
func onDisk(t *testing.T, name string, open func(dir string) (store.Store, error)) {
	t.Helper()
	conformance.Store(t, conformance.StoreFactory{
		Name: name,
		New: func(tb conformance.TB) conformance.StorePlace {
			dir := filepath.Join(tb.TempDir(), "store")
			return conformance.StorePlace{Open: func() (store.Store, error) { return open(dir) }}
		},
		Can:     []conformance.Capability{conformance.Reopens, conformance.LocksOut, conformance.SurvivesKill, conformance.ReportsFullDisk},
		OpenDir: open,
	})
}

func openPebble(dir string) (store.Store, error) {
	return pebble.Open(pebble.Config{Dir: dir, MemoryBytes: 8 << 20})
}

// TestStorePebble runs the store suite on Pebble.
func TestStorePebble(t *testing.T) { onDisk(t, "pebble", openPebble) }

// onAerospike is the suite over servers, of which each place has a part.
func onAerospike(t *testing.T, name string, cfg aerospike.Config) {
	t.Helper()
	var n atomic.Int64
	prefix := time.Now().UnixNano()
	conformance.Store(t, conformance.StoreFactory{
		Name: name,
		Can:  []conformance.Capability{conformance.Reopens, conformance.Shared},
		New: func(conformance.TB) conformance.StorePlace {
			c := cfg
			c.Prefix = fmt.Sprintf("weir-%d-%d", prefix, n.Add(1))
			return conformance.StorePlace{Open: func() (store.Store, error) { return aerospike.Open(c) }}
		},
	})
}

// TestStoreAerospikeFake runs the store suite on the fake server, through the
// official client.
func TestStoreAerospikeFake(t *testing.T) {
	s, err := asfake.Start(asfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	onAerospike(t, "aerospike on the fake", aerospike.Config{Hosts: []string{s.Addr()}, Namespace: "test", RetryFor: 5 * time.Second})
}

// TestStoreAerospike runs the store suite on a real server.
func TestStoreAerospike(t *testing.T) {
	hosts := integration.Aerospike(t)
	namespace := os.Getenv("AEROSPIKE_NAMESPACE")
	if namespace == "" {
		namespace = "test"
	}
	onAerospike(t, "aerospike on a server", aerospike.Config{Hosts: hosts, Namespace: namespace, RetryFor: 5 * time.Second})
}
