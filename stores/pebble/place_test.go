package pebble_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/internal/tabledamage"
	"github.com/weirstream/weir/stores/pebble"
)

// A simDisk is a file system in memory that can fail, and of which a power
// loss keeps what was synced and some of what was not.
type simDisk struct {
	fs   *vfs.MemFS
	fail atomic.Pointer[error]

	mu     sync.Mutex
	before func()
}

func newSimDisk() *simDisk { return &simDisk{fs: vfs.NewCrashableMem()} }

// MaybeError is called before every operation.
func (d *simDisk) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	d.mu.Lock()
	if d.before != nil {
		d.before()
	}
	d.mu.Unlock()
	if err := d.fail.Load(); err != nil {
		return *err
	}
	return nil
}

func (d *simDisk) String() string { return "simulated disk" }

func (d *simDisk) place() conformance.StorePlace {
	return conformance.StorePlace{
		Open: func() (store.Store, error) { return pebble.Open(small("store", errorfs.Wrap(d.fs, d))) },
		OnWrite: func(before func()) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.before = before
		},
		Crash: func(seed uint64) conformance.StorePlace {
			return (&simDisk{fs: d.fs.CrashClone(vfs.CrashCloneCfg{
				UnsyncedDataPercent: []int{0, 20, 50, 80, 100}[seed%5],
				RNG:                 rand.New(rand.NewPCG(seed, 0)),
			})}).place()
		},
		Fail: func(err error) {
			if err == nil {
				d.fail.Store(nil)
				return
			}
			d.fail.Store(&err)
		},
	}
}

// small makes memtables so small that sorted tables, compactions and new logs
// happen within a test.
func small(dir string, fs vfs.FS) pebble.Config {
	return pebble.Config{Dir: dir, FS: fs, MemoryBytes: 1 << 20, MemTableBytes: 64 << 10}
}

func diskPlace(tb conformance.TB) conformance.StorePlace {
	dir := filepath.Join(tb.TempDir(), "store")
	return conformance.StorePlace{
		Open:   func() (store.Store, error) { return pebble.Open(small(dir, nil)) },
		Damage: func() error { return damage(dir) },

		DamageEntries: func() error { return damageEntries(dir) },
	}
}

// damage moves everything into sorted tables, which opening does with the log,
// and flips bits in all of them.
func damage(dir string) error { return errors.Join(intoTables(dir), tabledamage.All(dir)) }

// damageEntries is damage that leaves catalog and indexes alone.
func damageEntries(dir string) error { return errors.Join(intoTables(dir), tabledamage.Entries(dir)) }

func intoTables(dir string) error {
	s, err := pebble.Open(small(dir, nil))
	if err != nil {
		return err
	}
	return s.Close()
}

// TestConformance runs on the real file system.
func TestConformance(t *testing.T) {
	conformance.Store(t, conformance.StoreFactory{
		Name: "pebble on disk",
		New:  diskPlace,
		Can: []conformance.Capability{
			conformance.Reopens, conformance.LocksOut, conformance.SurvivesKill, conformance.ReportsFullDisk,
			conformance.DetectsDamage, conformance.HealsDamage,
		},
		OpenDir: func(dir string) (store.Store, error) { return pebble.Open(small(dir, nil)) },
	})
}

// TestConformanceSimulated runs on a disk that fails and loses power.
func TestConformanceSimulated(t *testing.T) {
	conformance.Store(t, conformance.StoreFactory{
		Name: "pebble on a simulated disk",
		New:  func(conformance.TB) conformance.StorePlace { return newSimDisk().place() },
		Can: []conformance.Capability{
			conformance.Reopens, conformance.LocksOut, conformance.SurvivesPowerLoss, conformance.ReportsFailingDisk,
		},
	})
}

// TestFaults shows what the suite finds.
func TestFaults(t *testing.T) {
	t.Parallel()
	conformance.StoreFaults(t, conformance.StoreFactory{
		Name: "pebble on a simulated disk",
		New:  func(conformance.TB) conformance.StorePlace { return newSimDisk().place() },
		Can:  []conformance.Capability{conformance.Reopens, conformance.SurvivesPowerLoss, conformance.ReportsFullDisk},

		OpenDir: func(dir string) (store.Store, error) { return pebble.Open(small(dir, nil)) },
	})
}
