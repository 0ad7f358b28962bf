package rocksdb_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/linxGnu/grocksdb"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
)

const damagedKeys = 3000

var (
	damagedSpace = store.Space{Table: "damaged"}
	soundSpace   = store.Space{Table: "sound"}
)

// writeRound writes all keys of a space.
func writeRound(s store.Store, sp store.Space, gen store.Generation, round int) error {
	var b store.Batch
	p := b.Part(sp, gen)
	for i := range damagedKeys {
		p.Put(fmt.Appendf(nil, "key %d", i*7919%damagedKeys), fmt.Appendf(nil, "%0100d", i*round))
	}
	p.Position = store.Position{Changelog: int64(round), Exists: true}
	return s.Apply(&b)
}

// calm has no compaction before stopStore.
func calm(dir string) rocksdb.Config {
	cfg := small(dir) // a round makes half a dozen tables
	cfg.Options = func(o *grocksdb.Options) {
		o.SetLevel0FileNumCompactionTrigger(20)
		o.SetLevel0SlowdownWritesTrigger(1000)
		o.SetLevel0StopWritesTrigger(1000)
	}
	return cfg
}

// damagedStore opens a store in which entries of one of two spaces are damaged.
func damagedStore(t *testing.T, cfg rocksdb.Config) *rocksdb.Store {
	t.Helper()
	open := func() *rocksdb.Store {
		s, err := rocksdb.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, sp := range []store.Space{damagedSpace, soundSpace} {
			if _, _, err := s.Open(sp, 1); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	s := open()
	if err := writeRound(s, damagedSpace, 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := damageEntries(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	s = open()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// stopStore writes until a flush or a compaction has met the damage.
func stopStore(t *testing.T, s *rocksdb.Store) {
	t.Helper()
	for round := range 400 {
		err := writeRound(s, damagedSpace, 1, round)
		if errors.Is(err, store.ErrCorrupt) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no compaction met the damage")
}

// A store that damage has stopped says so at the next start.
func TestDamageStopsTheStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s := damagedStore(t, calm(dir))
	stopStore(t, s)
	if err := writeRound(s, soundSpace, 1, 1); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("writing another space: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("closing a store that damage has stopped says nothing")
	}
	if _, err := rocksdb.Open(small(dir)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("at the next start: %v", err)
	}
}

// A store that damage has stopped is begun anew when a space is opened: what
// was open before is lost and says so until it is opened, too.
func TestBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s := damagedStore(t, calm(dir))
	if err := writeRound(s, soundSpace, 1, 1); err != nil {
		t.Fatal(err)
	}
	before, _, err := s.Open(soundSpace, 1)
	if err != nil {
		t.Fatal(err)
	}
	load, err := s.Load(store.Space{Table: "loaded"}, 1, 1<<20)
	if !errors.Is(err, store.ErrClosed) {
		t.Fatalf("loading a space that is not open: %v, %v", load, err)
	}
	if _, _, err := s.Open(store.Space{Table: "loaded"}, 1); err != nil {
		t.Fatal(err)
	}
	if load, err = s.Load(store.Space{Table: "loaded"}, 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	stopStore(t, s)
	if _, _, err := s.Open(damagedSpace, 1); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("the opening that begins the store anew: %v", err)
	}
	if _, err := rocksdb.Open(small(dir)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the directory of a store that was begun anew: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir+".damaged", "DAMAGED")); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"a reader of before": readOne(before),
		"a batch":            writeRound(s, soundSpace, 1, 2),
		"a drop":             s.Drop(soundSpace, 1),
		"a load":             load.Commit(store.Position{Changelog: 1, Exists: true}),
	} {
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s of a space that was not opened since: %v", what, err)
		}
	}
	for _, sp := range []store.Space{damagedSpace, soundSpace} {
		checkWritable(t, s, sp)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := rocksdb.Open(small(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if _, pos, err := again.Open(soundSpace, 1); err != nil || pos.Changelog != 3 {
		t.Errorf("after a restart the space is at %+v: %v", pos, err)
	}
}

func readOne(r store.Reader) error {
	_, _, err := r.Get([]byte("key 1"), nil)
	return err
}

// checkWritable expects a space without position that takes writes.
func checkWritable(t *testing.T, s *rocksdb.Store, sp store.Space) {
	t.Helper()
	r, pos, err := s.Open(sp, 1)
	if err != nil || pos.Exists {
		t.Fatalf("opening %s: %+v, %v", sp, pos, err)
	}
	if err := writeRound(s, sp, 1, 3); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range r.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != damagedKeys {
		t.Errorf("%s has %d entries, want %d", sp, n, damagedKeys)
	}
}

// A drop that damage is in the way of begins the store anew and keeps its space
// open, with its reader.
func TestDropBeginsAnew(t *testing.T) {
	t.Parallel()
	s := damagedStore(t, calm(filepath.Join(t.TempDir(), "store")))
	r, _, err := s.Open(damagedSpace, 1)
	if err != nil {
		t.Fatal(err)
	}
	stopStore(t, s)
	if err := s.Drop(damagedSpace, 1); err != nil {
		t.Fatal(err)
	}
	if _, found, err := r.Get([]byte("key 1"), nil); found || err != nil {
		t.Fatalf("a dropped space has the key: %t, %v", found, err)
	}
	checkWritable(t, s, damagedSpace)
	if _, found, err := r.Get([]byte("key 1"), nil); !found || err != nil {
		t.Fatalf("the reader of before finds what was written: %t, %v", found, err)
	}
}

// A damaged store whose directory cannot be put aside yet is unavailable, and
// begun anew when it can.
func TestBeginsAnewLater(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sub", "store")
	s := damagedStore(t, calm(dir))
	stopStore(t, s)
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(damagedSpace, 1); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a directory that cannot be put aside: %v", err)
	}
	if err := writeRound(s, damagedSpace, 1, 1); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("writing meanwhile: %v", err)
	}
	if err := s.Flush(); err != nil || s.Metrics() != nil || s.Report() != "" {
		t.Errorf("without an engine: flush says %v, and there are numbers", err)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(damagedSpace, 1); !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
	checkWritable(t, s, damagedSpace)
}

// The store is begun anew while others read, scan, load, apply and open.
func TestBeginsAnewUnderUse(t *testing.T) {
	t.Parallel()
	s := damagedStore(t, small(filepath.Join(t.TempDir(), "store")))
	done := make(chan struct{})
	var users sync.WaitGroup
	for i, use := range []func(store.Space, store.Reader) error{
		func(_ store.Space, r store.Reader) error { return readOne(r) },
		func(_ store.Space, r store.Reader) error {
			return r.(store.MultiReader).GetMulti([][]byte{[]byte("key 1"), []byte("key 2")}, func(int, []byte, bool) {})
		},
		func(_ store.Space, r store.Reader) error {
			for _, err := range r.Scan(nil, nil) {
				if err == nil {
					err = readOne(r) // within the scan
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
		func(sp store.Space, _ store.Reader) error { return writeRound(s, sp, 1, 1) },
		func(sp store.Space, _ store.Reader) error { return loadRound(s, sp) },
		func(store.Space, store.Reader) error { s.Metrics(); return s.Flush() },
	} {
		sp := store.Space{Table: "used", Partition: int32(i)}
		users.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, _, err := s.Open(sp, 1)
				for err == nil {
					select {
					case <-done:
						return
					default:
						err = use(sp, r)
					}
				}
				if !errors.Is(err, store.ErrCorrupt) && i < 5 { // a flush has no kind of error
					t.Errorf("user %d: %v", i, err)
					return
				}
			}
		})
	}
	stopStore(t, s)
	checkBegun(t, s)
	close(done)
	users.Wait()
}

// checkBegun opens the space until it can be written.
func checkBegun(t *testing.T, s *rocksdb.Store) {
	t.Helper()
	for range 100 {
		_, _, err := s.Open(damagedSpace, 1)
		if err == nil {
			err = writeRound(s, damagedSpace, 1, 1)
		}
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrCorrupt) {
			t.Fatal(err)
		}
	}
	t.Fatal("the store is not begun anew")
}

func loadRound(s *rocksdb.Store, sp store.Space) error {
	l, err := s.Load(sp, 1, 64<<10)
	if err != nil {
		return err
	}
	defer l.Abort()
	for i := range damagedKeys {
		if err := l.Add(fmt.Appendf(nil, "key %d", i*7919%damagedKeys), make([]byte, 100)); err != nil {
			return err
		}
	}
	return l.Commit(store.Position{Changelog: 1, Exists: true})
}
