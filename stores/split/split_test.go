package split_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
	"github.com/weirstream/weir/stores/pebble"
	"github.com/weirstream/weir/stores/split"
)

// mixed keeps some of the suite's tables in another store than the others.
func mixed(stores map[string]store.Store) (store.Store, error) {
	return split.New(split.Config{Stores: stores, Default: "one", Tables: map[string]string{"counts": "two", "u": "two"}})
}

// TestConformance runs over two stores that keep nothing.
func TestConformance(t *testing.T) {
	conformance.Store(t, conformance.StoreFactory{
		Name: "split over memory",
		New: func(conformance.TB) conformance.StorePlace {
			return conformance.StorePlace{Open: func() (store.Store, error) {
				return mixed(map[string]store.Store{"one": memory.New(), "two": memory.New()})
			}}
		},
	})
}

// TestConformancePebble runs over two stores on disk.
func TestConformancePebble(t *testing.T) {
	conformance.Store(t, conformance.StoreFactory{
		Name: "split over Pebble",
		New: func(tb conformance.TB) conformance.StorePlace {
			dir := tb.TempDir()
			return conformance.StorePlace{Open: func() (store.Store, error) {
				stores := make(map[string]store.Store)
				for _, name := range []string{"one", "two"} {
					s, err := pebble.Open(pebble.Config{Dir: filepath.Join(dir, name), MemoryBytes: 1 << 20})
					if err != nil {
						return nil, err
					}
					stores[name] = s
				}
				return mixed(stores)
			}}
		},
		Can: []conformance.Capability{conformance.Reopens, conformance.LocksOut},
	})
}

// A full store takes no batches.
type fullStore struct{ store.Store }

var errFull = errors.New("full")

func (fullStore) Apply(*store.Batch) error { return errFull }

// When one store of a batch fails, each space still has data and position from
// one write.
func TestOneStoreFails(t *testing.T) {
	t.Parallel()
	s, err := mixed(map[string]store.Store{"one": memory.New(), "two": fullStore{memory.New()}})
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	for _, table := range []string{"orders", "counts"} {
		sp := store.Space{Table: table}
		if _, _, err := s.Open(sp, 1); err != nil {
			t.Fatal(err)
		}
		b.Part(sp, 1).Put([]byte("key"), []byte("value"))
		b.Part(sp, 1).Position = store.Position{Changelog: 7, Exists: true}
	}
	if err := s.Apply(&b); !errors.Is(err, errFull) {
		t.Fatalf("a batch that one store refuses gives %v", err)
	}
	for table, want := range map[string]bool{"orders": true, "counts": false} {
		r, pos, err := s.Open(store.Space{Table: table}, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, found, err := r.Get([]byte("key"), nil)
		if err != nil || found != want || pos.Exists != want {
			t.Errorf("%s: found %v, position %+v, %v", table, found, pos, err)
		}
	}
}

func TestBulkLoaderFor(t *testing.T) {
	t.Parallel()
	p, err := pebble.Open(pebble.Config{Dir: t.TempDir(), MemoryBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s, err := mixed(map[string]store.Store{"one": memory.New(), "two": p})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if b, ok := store.BulkLoaderFor(s, store.Space{Table: "counts"}); !ok || b != store.BulkLoader(p) {
		t.Error("the store of the table loads in bulk")
	}
	if _, ok := store.BulkLoaderFor(s, store.Space{Table: "orders"}); ok {
		t.Error("memory does not load in bulk")
	}
	for _, m := range s.(store.Meter).Metrics() {
		if !strings.HasPrefix(m.Name, "two_") {
			t.Errorf("metric %q is of neither store", m.Name)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := split.New(split.Config{Default: "a", Tables: map[string]string{"t": "b"}, Stores: map[string]store.Store{}})
	if err == nil || !strings.Contains(err.Error(), `Default is in store "a"`) || !strings.Contains(err.Error(), `table "t" is in store "b"`) {
		t.Errorf("mistakes are reported as %v", err)
	}
}
