package rocksdb_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/internal/tabledamage"
	"github.com/weirstream/weir/stores/rocksdb"
)

// small makes memtables so small that sorted tables and compactions happen
// within a test.
func small(dir string) rocksdb.Config {
	return rocksdb.Config{Dir: dir, MemoryBytes: 8 << 20, MemTableBytes: 64 << 10}
}

func openSmall(dir string) (store.Store, error) { return rocksdb.Open(small(dir)) }

func factory() conformance.StoreFactory {
	return conformance.StoreFactory{
		Name: "rocksdb",
		New: func(tb conformance.TB) conformance.StorePlace {
			dir := filepath.Join(tb.TempDir(), "store")
			p := conformance.StorePlace{
				Open:   func() (store.Store, error) { return openSmall(dir) },
				Damage: func() error { return damage(dir) },

				DamageEntries: func() error { return damageEntries(dir) },
			}
			onFailingDisk(tb, dir, &p)
			return p
		},
		Can: append(failingDisk(),
			conformance.Reopens, conformance.LocksOut, conformance.SurvivesKill, conformance.ReportsFullDisk,
			conformance.DetectsDamage, conformance.HealsDamage),
		OpenDir: openSmall,
	}
}

// damage moves everything into sorted tables, which opening does with the log,
// and flips bits in all of them.
func damage(dir string) error { return errors.Join(intoTables(dir), tabledamage.All(dir)) }

// damageEntries is damage that leaves catalog and indexes alone.
func damageEntries(dir string) error { return errors.Join(intoTables(dir), tabledamage.Entries(dir)) }

func intoTables(dir string) error {
	s, err := openSmall(dir)
	if err != nil {
		return err
	}
	return s.Close()
}

func TestConformance(t *testing.T) { conformance.Store(t, factory()) }

// TestFaults shows what the suite finds.
func TestFaults(t *testing.T) {
	t.Parallel()
	f := factory()
	f.New = tornPlace
	f.Can = []conformance.Capability{conformance.Reopens, conformance.SurvivesPowerLoss, conformance.ReportsFullDisk}
	conformance.StoreFaults(t, f)
}

// TestConformanceTorn runs on directories whose log lost its tail.
func TestConformanceTorn(t *testing.T) {
	conformance.Store(t, conformance.StoreFactory{
		Name: "rocksdb with a torn log",
		New:  tornPlace,
		Can:  []conformance.Capability{conformance.Reopens, conformance.LocksOut, conformance.SurvivesPowerLoss},
	})
}
