package simhost

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPrune: of the compiled modules the newest stay.
func TestPrune(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "wazero"), 0o755); err != nil {
		t.Fatal(err)
	}
	name := func(i int) string { return filepath.Join(dir, "wazero", fmt.Sprint(i)) }
	const n = keepModules + 4
	for i := range n {
		at := time.Date(2026, 1, 1, 0, i, 0, 0, time.UTC)
		if err := os.WriteFile(name(i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name(i), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(dir); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := os.Stat(name(i)); (err == nil) != (i >= 4) {
			t.Errorf("module %d of %d: %v", i, n, err)
		}
	}
	if err := prune(filepath.Join(dir, "none")); err != nil {
		t.Errorf("a cache that is not there yet: %v", err)
	}
}
