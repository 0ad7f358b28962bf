package integration_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
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

// aerospikeSuite is the suite over servers, of which each place has a part.
func aerospikeSuite(name string, cfg aerospike.Config) conformance.StoreFactory {
	return conformance.StoreFactory{
		Name: name,
		Can:  []conformance.Capability{conformance.Reopens, conformance.Shared},
		New:  aerospikePlaces(cfg),
	}
}

// aerospikePlaces makes places that are parts of one server.
func aerospikePlaces(cfg aerospike.Config) func(tb conformance.TB) conformance.StorePlace {
	var n atomic.Int64
	run := time.Now().UnixNano()
	return func(conformance.TB) conformance.StorePlace {
		c := cfg
		c.Prefix = fmt.Sprintf("weir-%d-%d", run, n.Add(1))
		return conformance.StorePlace{Open: func() (store.Store, error) { return aerospike.Open(c) }}
	}
}

// TestStoreAerospikeFake runs the store suite on the fake server, through the
// official client. The fake dies with its process: what survives kills is in
// the store's own tests.
func TestStoreAerospikeFake(t *testing.T) {
	conformance.Store(t, aerospikeSuite("aerospike on the fake", fakeAerospike(t)))
}

// TestStoreAerospike runs the store suite on a real server, and kills
// processes that write to it.
func TestStoreAerospike(t *testing.T) {
	cfg := realAerospike(t)
	f := aerospikeSuite("aerospike on a server", cfg)
	f.Can = append(f.Can, conformance.SurvivesKill)
	f.OpenDir = func(dir string) (store.Store, error) {
		c, sum := cfg, sha256.Sum256([]byte(dir)) // a process and its child know the directory
		c.Prefix = "weir-kill-" + hex.EncodeToString(sum[:8])
		return aerospike.Open(c)
	}
	conformance.Store(t, f)
}

// fakeAerospike starts a fake server.
func fakeAerospike(t *testing.T) aerospike.Config {
	t.Helper()
	s, err := asfake.Start(asfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return aerospike.Config{Hosts: []string{s.Addr()}, Namespace: "test", RetryFor: 5 * time.Second}
}

// realAerospike is a real server; without one the test is skipped.
func realAerospike(t *testing.T) aerospike.Config {
	t.Helper()
	hosts := integration.Aerospike(t)
	return aerospike.Config{Hosts: hosts, Namespace: cmp.Or(os.Getenv("AEROSPIKE_NAMESPACE"), "test"), RetryFor: 5 * time.Second}
}
