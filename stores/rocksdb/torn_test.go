package rocksdb_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
)

// A tornDir is a directory of which a power loss keeps tables, which RocksDB
// syncs, and logs as far as they were synced and some of what follows, torn or
// garbled at its end. RocksDB lets nobody between itself and the file system, so
// that power is lost between calls only, in the middle of flushes and compactions.
type tornDir struct {
	dir string
	tb  conformance.TB

	mu     sync.Mutex
	before func()
	synced map[string]int64 // sizes of logs at the last Flush
}

func tornPlace(tb conformance.TB) conformance.StorePlace {
	return (&tornDir{dir: filepath.Join(tb.TempDir(), "store"), tb: tb}).place()
}

func (d *tornDir) place() conformance.StorePlace {
	return conformance.StorePlace{
		Open: func() (store.Store, error) {
			s, err := rocksdb.Open(small(d.dir))
			if err != nil {
				return nil, err
			}
			d.flushed()
			return &tornStore{s, d}, nil
		},
		OnWrite: func(before func()) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.before = before
		},
		Crash: d.crash,
	}
}

func (d *tornDir) writing() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.before != nil {
		d.before()
	}
}

func (d *tornDir) files(pattern string) []string {
	names, err := filepath.Glob(filepath.Join(d.dir, pattern))
	if err != nil {
		d.tb.Fatalf("%v", err)
	}
	slices.Sort(names)
	return names
}

// flushed notes how long the logs are.
func (d *tornDir) flushed() {
	d.synced = make(map[string]int64)
	for _, name := range d.files("*.log") {
		if info, err := os.Stat(name); err == nil {
			d.synced[filepath.Base(name)] = info.Size()
		}
	}
}

// crash copies the directory as it is at one moment, and tears its logs.
func (d *tornDir) crash(seed uint64) conformance.StorePlace {
	to := &tornDir{dir: filepath.Join(d.tb.TempDir(), "store"), tb: d.tb}
	for !d.copy(to.dir) {
		if err := os.RemoveAll(to.dir); err != nil {
			d.tb.Fatalf("%v", err)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	for _, name := range to.files("*.log") {
		if rng.IntN(3) > 0 {
			d.tear(name, rng)
		}
	}
	return to.place()
}

// copy reports whether no table and no log came or went meanwhile.
func (d *tornDir) copy(dir string) bool {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.tb.Fatalf("%v", err)
	}
	before := append(d.files("*.sst"), d.files("*.log")...)
	for _, name := range d.files("*") {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue // of loads: what is in them is not in use
		}
		to := filepath.Join(dir, filepath.Base(name))
		if filepath.Ext(name) == ".sst" {
			if os.Link(name, to) != nil {
				return false
			}
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return false
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			d.tb.Fatalf("copying the store: %v", err)
		}
	}
	return slices.Equal(before, append(d.files("*.sst"), d.files("*.log")...))
}

func (d *tornDir) tear(name string, rng *rand.Rand) {
	b, err := os.ReadFile(name)
	if err != nil {
		d.tb.Fatalf("reading the log: %v", err)
	}
	kept := int(d.synced[filepath.Base(name)])
	if len(b) > kept {
		end := kept + rng.IntN(len(b)-kept+1)
		if b = b[:end]; rng.IntN(3) == 0 { // the last sectors were not written
			clear(b[max(kept, end-rng.IntN(600)):])
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		d.tb.Fatalf("tearing the log: %v", err)
	}
}

// A tornStore says when it writes.
type tornStore struct {
	*rocksdb.Store

	d *tornDir
}

func (s *tornStore) Apply(b *store.Batch) error {
	s.d.writing()
	return s.Store.Apply(b)
}

func (s *tornStore) Drop(sp store.Space, gen store.Generation) error {
	s.d.writing()
	err := s.Store.Drop(sp, gen)
	s.d.flushed() // it syncs the log
	return err
}

func (s *tornStore) Flush() error {
	s.d.writing()
	err := s.Store.Flush()
	s.d.flushed()
	return err
}

func (s *tornStore) Load(sp store.Space, gen store.Generation, memory int) (store.Loader, error) {
	s.d.writing()
	l, err := s.Store.Load(sp, gen, memory)
	s.d.flushed() // it drops the space
	if err != nil {
		return nil, err
	}
	return &tornLoader{Loader: l, d: s.d}, nil
}

type tornLoader struct {
	store.Loader

	d *tornDir
	n int
}

func (l *tornLoader) Add(key, value []byte) error {
	if l.n++; l.n%20 == 0 {
		l.d.writing()
	}
	return l.Loader.Add(key, value)
}

func (l *tornLoader) Commit(p store.Position) error {
	l.d.writing()
	err := l.Loader.Commit(p)
	l.d.writing()
	return err
}
