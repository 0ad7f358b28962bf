package pebble_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/internal/locktest"
	"github.com/weirstream/weir/stores/pebble"
)

func space() store.Space { return store.Space{Table: "counts", Partition: 2} }

func TestConfigReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := pebble.Open(pebble.Config{MemoryBytes: -1, MemTableBytes: 1, MaxOpenFiles: -1, Compactions: -1})
	if err == nil {
		t.Fatal("a wrong config opens")
	}
	for _, field := range []string{"Dir", "MemoryBytes", "MemTableBytes", "MaxOpenFiles", "Compactions"} {
		if !strings.Contains(err.Error(), "pebble.Config: "+field) {
			t.Errorf("nothing is said about %s: %v", field, err)
		}
	}
}

func TestLockedByAnotherProcess(t *testing.T) {
	locktest.ByAnotherProcess(t, func(dir string) (store.Store, error) { return pebble.Open(pebble.Config{Dir: dir}) })
}

func TestDirectoryThatCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := pebble.Open(pebble.Config{Dir: filepath.Join(file, "store")})
	if err == nil || errors.Is(err, store.ErrLocked) || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("opening below a file gives %v", err)
	}
}

// TestDamagedSpace damages the data of one space and nothing else: its reads
// fail, the other space is well, and a drop makes it usable.
func TestDamagedSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, r := filled(t, dir, 20_000)
	other := store.Space{Table: "other"}
	if _, _, err := s.Open(other, 1); err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	p := b.Part(other, 1)
	p.Put([]byte("k"), []byte("v"))
	p.Position = store.Position{Changelog: 1, Exists: true}
	if err := errors.Join(s.Apply(&b), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, r = reopen(t, dir) // the log becomes a table
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damageMiddle(t, dir)
	s, r = reopen(t, dir)
	defer func() { _ = s.Close() }()
	if err := readAll(r); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("scanning damaged data gives %v", err)
	}
	refused := 0
	for i := range 20_000 {
		v, found, err := r.Get(key(i), nil)
		switch {
		case errors.Is(err, store.ErrCorrupt):
			refused++
		case err != nil || !found || string(v) != string(value(i)):
			t.Fatalf("key %d is %.20q, %v, %v", i, v, found, err)
		}
	}
	if refused == 0 {
		t.Errorf("no get of damaged data was refused")
	}
	or, pos, err := s.Open(other, 2)
	if err != nil || pos.Changelog != 1 {
		t.Fatal(pos, err)
	}
	if v, _, err := or.Get([]byte("k"), nil); string(v) != "v" {
		t.Errorf("the other space is damaged too: %q, %v", v, err)
	}
	if err := s.Drop(space(), 2); err != nil {
		t.Fatal(err)
	}
	if err := readAll(r); err != nil {
		t.Errorf("after a drop: %v", err)
	}
	write(t, s, 2, 20_000)
	if err := readAll(r); err != nil {
		t.Errorf("after a rebuild: %v", err)
	}
}

// TestDamageThatNobodyReads: a space is written and never read while
// compactions meet damage in it. Writes must not wait for them for ever: the owner
// hears of it, a rebuild makes all well, and the space beside it never knows.
func TestDamageThatNobodyReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := filled(t, dir, 20_000)
	if err := errors.Join(s.Close(), intoTables(dir)); err != nil {
		t.Fatal(err)
	}
	damageMiddle(t, dir)
	s, err := pebble.Open(small(dir, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	beside := store.Space{Table: "beside"}
	r, _, err := s.Open(space(), 2)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := s.Open(beside, 2)
	if err != nil {
		t.Fatal(err)
	}
	refused := false
	for i := 0; i < 2000 && !refused; i++ {
		if err := s.Apply(updates(beside, 0)); err != nil {
			t.Fatal(err)
		}
		err := s.Apply(updates(space(), i))
		if refused = errors.Is(err, store.ErrCorrupt); err != nil && !refused {
			t.Fatal(err)
		}
	}
	if !refused {
		t.Fatal("2000 rounds were written over a damaged table, and nobody was told")
	}
	if _, _, err := r.Get(key(1), nil); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("reading what was damaged gives %v", err)
	}
	if err := s.Drop(space(), 2); err != nil {
		t.Fatal(err)
	}
	write(t, s, 2, 20_000)
	for i := range 200 {
		if err := s.Apply(updates(space(), i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := readAll(r); err != nil {
		t.Errorf("after a rebuild: %v", err)
	}
	if v, found, err := other.Get(key(37), nil); err != nil || string(v) != string(value(1)) {
		t.Errorf("the space beside holds %.20q, %v, %v", v, found, err)
	}
}

// updates changes some keys all over a space.
func updates(sp store.Space, round int) *store.Batch {
	var b store.Batch
	p := b.Part(sp, 2)
	for i := range 500 {
		p.Put(key((i*37+round)%20_000), value(i+round))
	}
	return &b
}

func damageMiddle(t *testing.T, dir string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables to damage: %v", err)
	}
	for _, name := range tables {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < 100_000 {
			continue
		}
		for i := len(b) / 3; i < len(b)/2; i += 1000 {
			b[i] ^= 1
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func readAll(r store.Reader) error {
	for _, err := range r.Scan(nil, nil) {
		if err != nil {
			return err
		}
	}
	return nil
}

func key(i int) []byte { return fmt.Appendf(nil, "%08d", i) }

func value(i int) []byte { return fmt.Appendf(nil, "%0100d", i*i) }

func write(t testing.TB, s store.Store, gen store.Generation, keys int) {
	t.Helper()
	var b store.Batch
	for from := 0; from < keys; from += 50_000 {
		b.Reset()
		p := b.Part(space(), gen)
		for i := from; i < min(from+50_000, keys); i++ {
			p.Put(key(i), value(i))
		}
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
}

func filled(t testing.TB, dir string, keys int) (*pebble.Store, store.Reader) {
	t.Helper()
	s, err := pebble.Open(pebble.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(space(), 1)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 1, keys)
	return s, r
}

func reopen(t testing.TB, dir string) (*pebble.Store, store.Reader) {
	t.Helper()
	s, err := pebble.Open(pebble.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(space(), 2)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// TestGetAllocations: Pebble itself makes one slice of 16 bytes for each table
// it looks into after the Bloom filter; nothing else is made.
func TestGetAllocations(t *testing.T) {
	dir := t.TempDir()
	s, r := filled(t, dir, 10_000)
	allocates(t, "from the memtable", r, 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, r = reopen(t, dir)
	defer func() { _ = s.Close() }()
	allocates(t, "from a table", r, 1)
}

func allocates(t *testing.T, what string, r store.Reader, most float64) {
	t.Helper()
	present, absent, buf := key(5000), []byte("none"), make([]byte, 0, 128)
	n := testing.AllocsPerRun(200, func() {
		if v, found, err := r.Get(present, buf); !found || err != nil || len(v) != 100 {
			t.Fatal(len(v), found, err)
		}
		if _, found, err := r.Get(absent, buf); found || err != nil {
			t.Fatal(found, err)
		}
	})
	if n > most && !raceEnabled {
		t.Errorf("a get %s and one of an absent key allocate %v times, want at most %v", what, n, most)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s, _ := filled(t, t.TempDir(), 10)
	if m := s.Report(); !strings.Contains(m, "Block cache") {
		t.Errorf("metrics say nothing of the block cache:\n%s", m)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if m := s.Report(); m != "" {
		t.Errorf("metrics after Close: %s", m)
	}
}

func BenchmarkGet(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			dir := b.TempDir()
			s, _ := filled(b, dir, keys)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			s, r := reopen(b, dir)
			defer func() { _ = s.Close() }()
			var k, buf []byte
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k = fmt.Appendf(k[:0], "%08d", i*7919%keys)
				buf, _, _ = r.Get(k, buf[:0])
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	const keys = 1_000_000
	for _, perBatch := range []int{1, 100, 10_000, 100_000} {
		b.Run(fmt.Sprint(perBatch), func(b *testing.B) {
			s, _ := filled(b, b.TempDir(), 1)
			defer func() { _ = s.Close() }()
			var batch store.Batch
			n := 0
			b.ReportAllocs()
			v := value(1)
			var k []byte
			for b.Loop() {
				batch.Reset()
				p := batch.Part(space(), 1)
				for range perBatch {
					n++
					k = fmt.Appendf(k[:0], "%08d", n*7919%keys)
					p.Put(k, v)
				}
				if err := s.Apply(&batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/put")
		})
	}
}
