package rocksdb_test

import (
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/internal/locktest"
	"github.com/weirstream/weir/stores/rocksdb"
)

const entries, valueBytes = 20_000, 200

func spaceOf(table string) store.Space { return store.Space{Table: table, Partition: 1} }

// opened opens a store and some spaces.
func opened(t *testing.T, cfg rocksdb.Config, tables ...string) *rocksdb.Store {
	t.Helper()
	s, err := rocksdb.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, table := range tables {
		if _, _, err := s.Open(spaceOf(table), 1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// inTables returns a store on a directory in which a table has been written,
// all of it in sorted tables.
func inTables(t *testing.T, cfg rocksdb.Config, table string) *rocksdb.Store {
	t.Helper()
	s := opened(t, cfg, table)
	fill(t, s, table, func(i int) []byte { return noise(i) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return opened(t, cfg, table) // the log becomes a table
}

// noise is a value that cannot be compressed.
func noise(i int) []byte {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	v := make([]byte, valueBytes)
	for j := range v {
		v[j] = byte(rng.Uint32())
	}
	return v
}

func fill(t *testing.T, s *rocksdb.Store, table string, value func(i int) []byte) {
	t.Helper()
	for from := 0; from < entries; from += 1000 {
		var b store.Batch
		p := b.Part(spaceOf(table), 1)
		for i := from; i < from+1000; i++ {
			if v := value(i); v != nil {
				p.Put(fmt.Appendf(nil, "%08d", i), v)
			} else {
				p.Delete(fmt.Appendf(nil, "%08d", i))
			}
		}
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
}

func metric(t *testing.T, s *rocksdb.Store, name string) float64 {
	t.Helper()
	for _, m := range s.Metrics() {
		if m.Name == name {
			return m.Value
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// await asks until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); goruntime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// Absent keys cost no read of a table.
func TestBloomFilters(t *testing.T) {
	t.Parallel()
	cfg := small(t.TempDir())
	cfg.Statistics = true
	s := inTables(t, cfg, "t")
	r, _, err := s.Open(spaceOf("t"), 1)
	if err != nil {
		t.Fatal(err)
	}
	const gets = 1000
	for i := range gets {
		if _, found, err := r.Get(fmt.Appendf(nil, "%08d absent", i), nil); found || err != nil {
			t.Fatal(found, err)
		}
	}
	if n := metric(t, s, "bloom_filter_useful_total"); n < gets*9/10 {
		t.Errorf("filters kept %v of %d gets of absent keys from a table", n, gets)
	}
}

// Deletions in a row, such as those of windows that are over, are compacted
// without anything else being written.
func TestCompactionOfDeletions(t *testing.T) {
	t.Parallel()
	cfg := small(t.TempDir())
	cfg.MemTableBytes = cfg.MemoryBytes / 4 // all deletions in one table
	cfg.Options = func(o *grocksdb.Options) { o.SetLevel0FileNumCompactionTrigger(20) }
	s := inTables(t, cfg, "t")
	if n := metric(t, s, "disk_bytes"); n < entries*valueBytes {
		t.Fatalf("%v bytes on disk before anything is deleted", n)
	}
	fill(t, s, "t", func(int) []byte { return nil })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, cfg, "t")
	await(t, "room of what was deleted", func() bool { return metric(t, s, "disk_bytes") < entries*valueBytes/10 })
}

// A drop gives its room back, and takes nothing from others.
func TestRoomAfterADrop(t *testing.T) {
	t.Parallel()
	cfg := small(t.TempDir())
	cfg.Options = func(o *grocksdb.Options) { o.SetTargetFileSizeBase(64 << 10) }
	s := inTables(t, cfg, "dropped")
	if _, _, err := s.Open(spaceOf("kept"), 1); err != nil {
		t.Fatal(err)
	}
	fill(t, s, "kept", func(i int) []byte { return noise(i)[:20] })
	// What compactions are at when it is dropped goes with the next ones.
	await(t, "rest", func() bool {
		return metric(t, s, "compactions_running")+metric(t, s, "flushes_running") == 0 && metric(t, s, "level0_files") < 4
	})
	before := metric(t, s, "disk_bytes")
	if err := s.Drop(spaceOf("dropped"), 1); err != nil {
		t.Fatal(err)
	}
	await(t, "room of what was dropped", func() bool { return metric(t, s, "disk_bytes") < before-entries*valueBytes*9/10 })
	r, _, err := s.Open(spaceOf("kept"), 1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range r.Scan(nil, nil) {
		if err != nil || string(e.Value) != string(noise(n)[:20]) {
			t.Fatalf("entry %d beside it is %q, %v", n, e.Value, err)
		}
		n++
	}
	if n != entries {
		t.Errorf("%d entries beside it are left", n)
	}
}

// What the application sets comes after what the package sets.
func TestOptions(t *testing.T) {
	t.Parallel()
	cfg := small(t.TempDir())
	cfg.Options = func(o *grocksdb.Options) { o.SetCreateIfMissing(false) }
	s, err := rocksdb.Open(cfg)
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a store that must not be made: %v", err)
	}
}

func TestLockedByAnotherProcess(t *testing.T) { locktest.ByAnotherProcess(t, openSmall) }
