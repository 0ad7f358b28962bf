package rocksdb_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
	"github.com/weirstream/weir/stores/rocksdb/internal/faultdisk"
)

// onFailingDisk makes the directory of a place a disk that can be made to fail.
func onFailingDisk(tb conformance.TB, dir string, p *conformance.StorePlace) {
	disk, err := faultdisk.New(dir)
	if err != nil {
		tb.Fatalf("watching the directory: %v", err)
	}
	tb.Cleanup(disk.Close)
	p.OnWrite = disk.OnWrite
	p.Fail = func(err error) {
		if err == nil {
			disk.Fail(0)
		} else {
			disk.Fail(syscall.EIO)
		}
	}
}

func failingDisk() []conformance.Capability {
	return []conformance.Capability{conformance.ReportsFailingDisk}
}

// TestOneChangeFails has a disk that refuses one change while a space is loaded
// in bulk, each in turn, and is well again at once. What was reported as done is
// there afterwards, and nothing that was not. RocksDB 7.8 can be left with a
// MANIFEST that names tables it removed: it could not sync it, and could remove
// them. Then the store says that it is damaged, so that it is rebuilt.
func TestOneChangeFails(t *testing.T) {
	t.Parallel()
	damaged, reported := 0, 0
	at := 1
	for ; ; at++ {
		dir := filepath.Join(t.TempDir(), "store")
		disk, err := faultdisk.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		var n atomic.Int64
		said := loadBeside(t, dir, func() {
			disk.OnWrite(func() {
				if n.Add(1) == int64(at) {
					disk.FailOnce(syscall.EIO)
				}
			})
		})
		disk.Close()
		if said != nil {
			reported++
		}
		s, err := openSmall(dir)
		switch {
		case err == nil:
			checkLoadBeside(t, s, said)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		case said != nil && errors.Is(err, store.ErrCorrupt):
			damaged++
		default:
			t.Fatalf("change %d failed, and the load said %v: opening says %v", at, said, err)
		}
		if n.Load() < int64(at) {
			break
		}
	}
	if reported == 0 {
		t.Fatal("no change that failed was ever reported")
	}
	t.Logf("each of %d changes failed once; calls said so in %d cases, the store is damaged after %d", at-1, reported, damaged)
}

const besideEntries = 400

var (
	besideSpace = store.Space{Table: "beside"}
	loadedSpace = store.Space{Table: "loaded"}
)

// loadBeside applies a batch to one space, calls fail, and loads another. It
// returns what the load said.
func loadBeside(t *testing.T, dir string, fail func()) error {
	t.Helper()
	s, err := rocksdb.Open(small(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, sp := range []store.Space{besideSpace, loadedSpace} {
		if _, _, err := s.Open(sp, 1); err != nil {
			t.Fatal(err)
		}
	}
	var b store.Batch
	p := b.Part(besideSpace, 1)
	p.Put([]byte("k"), []byte("v"))
	p.Position = store.Position{Changelog: 1, Exists: true}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	fail()
	defer func() { _ = s.Close() }()
	l, err := s.Load(loadedSpace, 1, 128<<10)
	if err != nil {
		return err
	}
	defer l.Abort()
	for i := range besideEntries {
		if err := l.Add(fmt.Appendf(nil, "%04d", i*7919%besideEntries), make([]byte, 1000)); err != nil {
			return err
		}
	}
	return l.Commit(store.Position{Changelog: besideEntries, Exists: true})
}

// checkLoadBeside checks a store that a load said something about.
func checkLoadBeside(t *testing.T, s store.Store, said error) {
	t.Helper()
	r, pos, err := s.Open(besideSpace, 1)
	if err != nil || pos.Changelog != 1 {
		t.Fatalf("the load said %v: the space beside it is at %+v: %v", said, pos, err)
	}
	if v, found, err := r.Get([]byte("k"), nil); err != nil || !found || string(v) != "v" {
		t.Fatalf("the load said %v: the space beside it has %q, %t, %v", said, v, found, err)
	}
	r, pos, err = s.Open(loadedSpace, 1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range r.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	whole := pos.Exists && n == besideEntries
	if !whole && (said == nil || pos.Exists || n > 0) {
		t.Fatalf("the load said %v: %d entries, position %+v", said, n, pos)
	}
}
