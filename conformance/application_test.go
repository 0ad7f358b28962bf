package conformance_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	memorystore "github.com/weirstream/weir/stores/memory"
	"github.com/weirstream/weir/stores/pebble"
	"github.com/weirstream/weir/transports/memory/memorytest"
)

// onMemory is a transport in memory with a store.
func onMemory(name string, place func(conformance.TB) conformance.StorePlace, can ...conformance.Capability) conformance.ApplicationFactory {
	f := conformance.ApplicationFactory{
		Name:      name,
		Transport: memorytest.New,
		Store:     place, Can: can,
	}
	if os.Getenv("WEIR_TEST_LOG") != "" {
		f.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return f
}

func newKept() *memorystore.Store { return memorystore.New() }

func memoryPlace(conformance.TB) conformance.StorePlace {
	return conformance.StorePlace{Open: func() (store.Store, error) { return memorystore.New(), nil }}
}

func pebblePlace(tb conformance.TB) conformance.StorePlace {
	fs := vfs.NewMem()
	return conformance.StorePlace{Open: func() (store.Store, error) {
		return pebble.Open(pebble.Config{Dir: "store", FS: fs, MemoryBytes: 4 << 20, MemTableBytes: 256 << 10})
	}}
}

func TestApplicationMemory(t *testing.T) {
	t.Parallel()
	conformance.Application(t, onMemory("memory and memory", memoryPlace))
}

func TestApplicationPebble(t *testing.T) {
	t.Parallel()
	conformance.Application(t, onMemory("memory and pebble", pebblePlace, conformance.Reopens))
}
