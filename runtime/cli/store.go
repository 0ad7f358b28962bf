package cli

import (
	"cmp"
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
	"github.com/weirstream/weir/stores/split"
)

// A StoreConfig is what a store is opened with.
type StoreConfig struct {
	// App is the name of the application.
	App string
	// Dir is a directory for this store alone; it may not exist yet.
	Dir string
	// MemoryBytes bounds what the store may hold: caches, memtables. One that
	// holds it in the Go heap should say so (store.InHeap).
	MemoryBytes int
	// Settings are the values of all settings of stores by name, defaults
	// included; see WithStore.
	Settings map[string]string
	Logger   *slog.Logger
}

// A StoreOpener opens a store. The worker closes it.
type StoreOpener func(cfg StoreConfig) (store.Store, error)

func openMemory(StoreConfig) (store.Store, error) { return memory.New(), nil }

func openPebble(cfg StoreConfig) (store.Store, error) {
	return pebble.Open(pebble.Config{Dir: cfg.Dir, MemoryBytes: int64(cfg.MemoryBytes), Logger: cfg.Logger})
}

// globalsKind keeps the global tables where tables are on servers that all
// workers share: each worker has a copy of its own.
const globalsKind = "pebble"

// A placement says which kind of store each table is kept in.
type placement struct {
	def    string
	tables map[string]string
}

// chooseStores reads the setting store: a kind, and after it exceptions as
// table=kind. What the operator says wins over what the application declares.
func (e *Env) chooseStores() (placement, error) {
	c := placement{tables: make(map[string]string)}
	names := make(map[string]bool)
	for _, t := range e.App.Tables() {
		if names[t.Name] = true; t.Store != "" {
			c.tables[t.Name] = t.Store
		}
	}
	var errs []error
	for _, word := range strings.Split(e.Settings.Store, ",") {
		table, kind, exception := strings.Cut(strings.TrimSpace(word), "=")
		switch {
		case !exception && c.def == "":
			c.def = table
		case !exception:
			errs = append(errs, fmt.Errorf("store %q: name one kind for all tables, and exceptions as table=kind", e.Settings.Store))
		case !names[table]:
			errs = append(errs, fmt.Errorf("store %q: there is no table %q: use %s", e.Settings.Store, table, strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
		default:
			c.tables[table] = kind
		}
	}
	if c.def == "" {
		errs = append(errs, fmt.Errorf("store %q: name the kind for all other tables as well, as in pebble,%s", e.Settings.Store, e.Settings.Store))
	}
	for _, kind := range c.kinds() {
		if _, ok := e.stores[kind]; !ok && kind != "" {
			errs = append(errs, fmt.Errorf("store %q is not known: use %s", kind, strings.Join(slices.Sorted(maps.Keys(e.stores)), ", ")))
		}
	}
	return c, errors.Join(errs...)
}

// kinds are the kinds that are used, in order.
func (c *placement) kinds() []string {
	kinds := append(slices.Collect(maps.Values(c.tables)), c.def)
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// openStore opens the stores that were chosen. offHeap is how much memory they
// may take beside the Go heap.
func (e *Env) openStore() (s store.Store, offHeap int, err error) {
	c, err := e.chooseStores()
	if err != nil {
		return nil, 0, err
	}
	stores := make(map[string]store.Store)
	ok, n := false, len(c.kinds())
	defer func() {
		for _, s := range stores {
			if !ok {
				e.closing("store", s.Close)
			}
		}
	}()
	open := func(kind string) error {
		share := e.Settings.storeMemory() / n
		s, err := e.openKind(kind, share)
		if err != nil {
			return err
		}
		if stores[kind] = s; !store.InHeap(s) {
			offHeap += share
		}
		return nil
	}
	for _, kind := range c.kinds() {
		if err := open(kind); err != nil {
			return nil, 0, err
		}
	}
	for _, t := range e.App.Tables() {
		kind := cmp.Or(c.tables[t.Name], c.def)
		if !t.Global() || !store.Shared(stores[kind]) {
			continue
		}
		c.tables[t.Name] = globalsKind
		if stores[globalsKind] == nil {
			n++ // in addition to what the others were given; the heap has to do with less
			if err := open(globalsKind); err != nil {
				return nil, 0, err
			}
		}
		e.Log.Info("a global table is kept by each worker", "table", t.Name, "store", globalsKind)
	}
	ok = true
	if len(stores) == 1 {
		return stores[c.def], offHeap, nil
	}
	s, err = split.New(split.Config{Stores: stores, Default: c.def, Tables: c.tables})
	return s, offHeap, err
}

// openKind opens the store of one kind. What cannot be read any more is put aside
// and begun anew: changelogs have it all.
func (e *Env) openKind(kind string, memory int) (store.Store, error) {
	cfg := StoreConfig{
		App: e.App.Name(), Dir: filepath.Join(e.stateDir(), kind), MemoryBytes: memory,
		Settings: e.storeSettings, Logger: e.Log,
	}
	s, err := e.stores[kind](cfg)
	if errors.Is(err, store.ErrCorrupt) {
		aside := cfg.Dir + ".damaged"
		e.Log.Error("the store is damaged; it is put aside, and its tables are rebuilt from changelogs", "store", kind, "aside", aside, "error", err)
		if err := errors.Join(os.RemoveAll(aside), os.Rename(cfg.Dir, aside)); err != nil {
			return nil, fmt.Errorf("putting the damaged %s store aside: %w", kind, err)
		}
		s, err = e.stores[kind](cfg)
	}
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("another worker uses the state directory %s; give each its own with --state-dir: %w", e.stateDir(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the %s store in %s: %w", kind, e.stateDir(), err)
	}
	return s, nil
}

// makeStateDir makes the directory of local state.
func (e *Env) makeStateDir() error {
	if err := os.MkdirAll(e.stateDir(), 0o750); err != nil {
		return fmt.Errorf("making the state directory: %w; choose another with --state-dir", err)
	}
	return nil
}
