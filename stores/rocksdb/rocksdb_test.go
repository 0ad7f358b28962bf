package rocksdb_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/rocksdb"
)

// A lock that another process has is told from one that cannot be made.
func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := rocksdb.Open(small(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rocksdb.Open(small(dir)); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory that is in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "LOCK"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := rocksdb.Open(small(dir)); err == nil || errors.Is(err, store.ErrLocked) {
		t.Errorf("a lock that cannot be made: %v", err)
	}
}

// A directory is free once its store is closed, also while child processes are
// being started, which have the files of this one for a moment.
func TestLockIsNotInherited(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	var children sync.WaitGroup
	children.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := exec.Command(os.Args[0], "-test.run=^$").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	dir := t.TempDir()
	for range 100 {
		s, err := rocksdb.Open(small(dir))
		if err != nil {
			t.Error(err)
			break
		}
		if err := s.Close(); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	children.Wait()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	cfg := small(t.TempDir())
	cfg.Statistics = true
	s, err := rocksdb.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(store.Space{Table: "t"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Get([]byte("key"), nil); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]store.Metric)
	for _, m := range s.Metrics() {
		if _, twice := got[m.Name]; twice || strings.ToLower(m.Name) != m.Name || strings.ContainsAny(m.Name, ".- ") {
			t.Errorf("metric %q comes twice or has no proper name", m.Name)
		}
		got[m.Name] = m
	}
	if got["memtable_bytes"].Value <= 0 || !got["number_keys_read_total"].Counter || got["number_keys_read_total"].Value <= 0 {
		t.Errorf("metrics are %v", got)
	}
	if !strings.Contains(s.Report(), "DB Stats") {
		t.Errorf("the report is %q", s.Report())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.Metrics() != nil || s.Report() != "" {
		t.Error("a closed store has numbers")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := rocksdb.Open(rocksdb.Config{MemoryBytes: 1, MemTableBytes: 1 << 30, MaxOpenFiles: -1, Background: -1})
	for _, want := range []string{"Dir is empty", "MemoryBytes is 1", "MemTableBytes is", "MaxOpenFiles", "Background"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mistakes are reported as %v, without %q", err, want)
		}
	}
}
