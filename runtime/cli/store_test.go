package cli

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
)

// threeTables has a table that chose its store, one that did not, and a global
// one.
func threeTables(t *testing.T) *Env {
	t.Helper()
	app := weir.NewApp("app")
	weir.NewTable[string, int](app, "chosen", weir.Store("memory"))
	weir.NewTable[string, int](app, "open")
	weir.NewGlobalTable(app, weir.NewTopic[string, int](app, "places"))
	e := newEnv(app)
	e.Settings.StateDir, e.Log = t.TempDir(), slog.New(slog.DiscardHandler)
	return e
}

func TestTablesAreKeptWhereItIsSaid(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]map[string]string{
		"pebble":                              {"chosen": "memory", "open": "pebble", "places": "pebble", "timers": "pebble"},
		"memory":                              {"chosen": "memory", "open": "memory", "places": "memory", "timers": "memory"},
		"pebble, chosen=pebble, open=memory":  {"chosen": "pebble", "open": "memory", "places": "pebble", "timers": "pebble"},
		"open=pebble,memory":                  {"chosen": "memory", "open": "pebble", "places": "memory", "timers": "memory"},
		"shared":                              {"chosen": "memory", "open": "shared", "places": "pebble", "timers": "shared"},
		"pebble,open=shared":                  {"chosen": "memory", "open": "shared", "places": "pebble", "timers": "pebble"},
		"shared,places=memory":                {"chosen": "memory", "open": "shared", "places": "memory", "timers": "shared"},
		"shared,chosen=shared,places=memory":  {"chosen": "shared", "open": "shared", "places": "memory", "timers": "shared"},
		"memory,open=memory,chosen=memory":    {"chosen": "memory", "open": "memory", "places": "memory", "timers": "memory"},
		"shared,places=shared,open=pebble":    {"chosen": "memory", "open": "pebble", "places": "pebble", "timers": "shared"},
		"pebble,places=shared,chosen=pebble":  {"chosen": "pebble", "open": "pebble", "places": "pebble", "timers": "pebble"},
		"memory,places=pebble,chosen=memory ": {"chosen": "memory", "open": "memory", "places": "pebble", "timers": "memory"},
	} {
		e := threeTables(t)
		kinds := make(map[string]*spy)
		for _, kind := range []string{"memory", "pebble", "shared"} {
			WithStore(kind, func(cfg StoreConfig) (store.Store, error) {
				if want := filepath.Join(e.Settings.StateDir, kind); cfg.Dir != want || cfg.App != "app" {
					t.Errorf("the store of %s has directory %s, application %q", kind, cfg.Dir, cfg.App)
				}
				kinds[kind] = &spy{Store: memory.New(), shared: kind == "shared", tables: make(map[string]bool)}
				return kinds[kind], nil
			})(e)
		}
		e.Settings.Store = setting
		s, _, err := e.openStore()
		if err != nil {
			t.Errorf("%s: %v", setting, err)
			continue
		}
		for table := range want {
			if _, _, err := s.Open(store.Space{Table: table}, 1); err != nil {
				t.Fatal(err)
			}
		}
		got := make(map[string]string)
		for kind, s := range kinds {
			for table := range s.tables {
				got[table] = kind
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: tables are in %v, want %v", setting, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for kind, s := range kinds {
			if !s.closed {
				t.Errorf("%s: the store of %s was not closed", setting, kind)
			}
		}
	}
}

// TestMemoryBesideTheHeap: the Go heap is given what stores do not take beside it.
func TestMemoryBesideTheHeap(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]struct {
		offHeap int
		shares  map[string]int
	}{
		"pebble":           {600, map[string]int{"pebble": 600}},
		"memory":           {0, map[string]int{"memory": 600}},
		"pebble,open=tape": {600, map[string]int{"pebble": 300, "tape": 300}},
		"memory,open=tape": {300, map[string]int{"memory": 300, "tape": 300}},
		"shared":           {300, map[string]int{"shared": 600, "pebble": 300}}, // its global table is on pebble
		"shared,open=tape": {300 + 200, map[string]int{"shared": 300, "tape": 300, "pebble": 200}},
	} {
		app := weir.NewApp("app")
		weir.NewTable[string, int](app, "open")
		weir.NewGlobalTable(app, weir.NewTopic[string, int](app, "places"))
		e := newEnv(app)
		e.Settings.StateDir, e.Log = t.TempDir(), slog.New(slog.DiscardHandler)
		e.Settings.Store, e.Settings.StoreMemory = setting, 600
		shares := make(map[string]int)
		for _, kind := range []string{"memory", "pebble", "shared", "tape"} {
			WithStore(kind, func(cfg StoreConfig) (store.Store, error) {
				shares[kind] = cfg.MemoryBytes
				return &spy{Store: memory.New(), shared: kind == "shared", inHeap: kind == "memory" || kind == "shared"}, nil
			})(e)
		}
		s, offHeap, err := e.openStore()
		if err != nil {
			t.Errorf("%s: %v", setting, err)
			continue
		}
		if offHeap != want.offHeap || !maps.Equal(shares, want.shares) {
			t.Errorf("%s: stores get %v, %d of it beside the heap; want %v and %d", setting, shares, offHeap, want.shares, want.offHeap)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A spy notes which tables are opened.
type spy struct {
	store.Store

	shared, inHeap bool
	closed         bool
	tables         map[string]bool
}

func (s *spy) Open(sp store.Space, gen store.Generation) (store.Reader, store.Position, error) {
	s.tables[sp.Table] = true
	return s.Store.Open(sp, gen)
}

func (s *spy) Shared() bool { return s.shared }

func (s *spy) InHeap() bool { return s.inHeap }

func (s *spy) Close() error { s.closed = true; return s.Store.Close() }

func TestStoresThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for setting, says := range map[string]string{
		"floppy":               `store "floppy" is not known: use memory, pebble`,
		"pebble,open=floppy":   `store "floppy" is not known`,
		"pebble,opne=memory":   `there is no table "opne": use chosen, open, places`,
		"pebble,memory":        "name one kind for all tables",
		"open=memory":          "name the kind for all other tables as well",
		"floppy,a=b,open=tape": `"tape" is not known`,
	} {
		e := threeTables(t)
		e.Settings.Store = setting
		if _, _, err := e.openStore(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s gives %v, want %q in it", setting, err, says)
		}
	}
	// What was opened before a store that cannot be opened is closed again.
	e := threeTables(t)
	first := &spy{Store: memory.New(), tables: make(map[string]bool)}
	WithStore("memory", func(StoreConfig) (store.Store, error) { return first, nil })(e)
	WithStore("pebble", func(StoreConfig) (store.Store, error) { return nil, errors.New("no room") })(e)
	if _, _, err := e.openStore(); err == nil || !strings.Contains(err.Error(), "no room") || !first.closed {
		t.Errorf("after %v the first store is closed: %t", err, first.closed)
	}
}

func TestStateDirectoryIsForOneWorker(t *testing.T) {
	t.Parallel()
	e := threeTables(t)
	s, _, err := e.openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := e.openStore(); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("a second worker on the store: %v", err)
	}
}

// A store that cannot be read is put aside and begun anew.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	e := newEnv(weir.NewApp("app"))
	e.Log = slog.New(slog.DiscardHandler)
	e.Settings.StateDir, e.Settings.Store = t.TempDir(), "floppy"
	dir := filepath.Join(e.Settings.StateDir, "floppy")
	WithStore("floppy", func(cfg StoreConfig) (store.Store, error) {
		if want := e.Settings.Memory / 3; cfg.MemoryBytes != want {
			t.Errorf("the store gets %d bytes, want %d", cfg.MemoryBytes, want)
		}
		if _, err := os.Stat(filepath.Join(cfg.Dir, "data")); err == nil {
			return nil, store.ErrCorrupt
		}
		return openMemory(cfg)
	})(e)
	for range 2 {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.openStore(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir+".damaged", "data")); err != nil {
			t.Errorf("what was damaged is gone: %v", err)
		}
	}
}

// TestSettingsOfStores: a flag wins over the environment, which wins over the
// default; secrets come from the environment alone.
func TestSettingsOfStores(t *testing.T) {
	t.Parallel()
	e := threeTables(t)
	WithStore("floppy", openMemory,
		store.Setting{Name: "floppy-drive", Default: "a", Doc: "Letter of the drive."},
		store.Setting{Name: "floppy-side", Default: "upper", Doc: "Side."},
		store.Setting{Name: "floppy-label", Doc: "Label."},
		store.Setting{Name: "floppy-key", Doc: "Key.", Secret: true})(e)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	bind(fs, e.settings(), &e.Settings, workerOnly)
	if fs.Lookup("floppy-key") != nil {
		t.Error("a secret has a flag")
	}
	if f := fs.Lookup("floppy-drive"); f == nil || f.DefValue != "a" || !strings.Contains(f.Usage, "WEIR_FLOPPY_DRIVE") {
		t.Errorf("the flag of a store is %+v", f)
	}
	if err := fs.Parse([]string{"--floppy-drive", "b", "--floppy-label=x"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"WEIR_FLOPPY_DRIVE": "c", "WEIR_FLOPPY_SIDE": "lower", "WEIR_FLOPPY_KEY": "brass"}
	if err := readEnv(fs, e.settings(), &e.Settings, func(name string) (string, bool) { v, ok := env[name]; return v, ok }); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"floppy-drive": "b", "floppy-side": "lower", "floppy-label": "x", "floppy-key": "brass"}
	if !maps.Equal(e.storeSettings, want) {
		t.Errorf("settings are %v, want %v", slices.Sorted(maps.Keys(e.storeSettings)), want)
	}
}
