package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
	"github.com/weirstream/weir/stores/pebble"
)

// A StoreConfig is what a store is opened with.
type StoreConfig struct {
	// Dir is a directory for this store alone; it may not exist yet.
	Dir string
	// MemoryBytes is for the store's own cache.
	MemoryBytes int
	Logger      *slog.Logger
}

// A StoreOpener opens a store. The worker closes it.
type StoreOpener func(cfg StoreConfig) (store.Store, error)

func openMemory(StoreConfig) (store.Store, error) { return memory.New(), nil }

func openPebble(cfg StoreConfig) (store.Store, error) {
	return pebble.Open(pebble.Config{Dir: cfg.Dir, MemoryBytes: int64(cfg.MemoryBytes), Logger: cfg.Logger})
}

// openStore opens the store that the settings name.
func (e *Env) openStore() (store.Store, error) {
	kind := e.Settings.Store
	open, ok := e.stores[kind]
	if !ok {
		return nil, fmt.Errorf("store %q is not known: use %s", kind, strings.Join(slices.Sorted(maps.Keys(e.stores)), ", "))
	}
	s, err := open(StoreConfig{Dir: filepath.Join(e.stateDir(), kind), MemoryBytes: e.Settings.StoreMemory, Logger: e.Log})
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("another worker uses the state directory %s; give each its own with --state-dir: %w", e.stateDir(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the %s store in %s: %w", kind, e.stateDir(), err)
	}
	return s, nil
}

// checkStores refuses tables that ask for another kind of store than the one
// that the worker has.
func (e *Env) checkStores() error {
	var errs []error
	for _, t := range e.App.Tables() {
		if t.Store != "" && t.Store != e.Settings.Store {
			errs = append(errs, fmt.Errorf("table %q wants store %q, but the worker keeps all tables in %q: start it with --store %s, or change the declaration",
				t.Name, t.Store, e.Settings.Store, t.Store))
		}
	}
	return errors.Join(errs...)
}

// makeStateDir makes the directory of local state.
func (e *Env) makeStateDir() error {
	if err := os.MkdirAll(e.stateDir(), 0o750); err != nil {
		return fmt.Errorf("making the state directory: %w; choose another with --state-dir", err)
	}
	return nil
}
