package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWriteBetween(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + markBegin + "old\n" + markEnd + "after\n")
	for range 2 {
		if err := writeBetween(path, "new\n"); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != "before\n"+markBegin+"new\n"+markEnd+"after\n" {
			t.Errorf("the page is %q", got)
		}
	}
	for _, text := range []string{"no marks", markBegin + "no end", markEnd + markBegin} {
		write(text)
		if err := writeBetween(path, "new"); err == nil || !strings.Contains(err.Error(), markEnd) {
			t.Errorf("%q: %v", text, err)
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	full := row{
		store: "full", suite: suite{run: 3, crashes: 4, missing: []string{"a", "b"}},
		ops:     figures{Get: 1500, Many: 200, Put: 300, Commit: 2 * time.Millisecond},
		restore: figures{Records: 300, Bytes: 3e6, Wall: time.Second, CPU: 300 * time.Microsecond},
		plain:   figures{Records: 100, Bytes: 1e6, Wall: time.Second, CPU: time.Millisecond},
		memory:  figures{RSS: 5 << 20, Bound: 6 << 20},
	}
	lines := strings.Split(table([]row{full, {store: "none"}}), "\n")
	if want := "| full | 3 | a, b | 4 | 1.5 | 0.2 | 0.3 | 2.0 | 300 | 3 | 1.00 | 100 | 10.00 | 3.0 | 5 | 6 |"; lines[2] != want {
		t.Errorf("a row is\n%s\nwant\n%s", lines[2], want)
	}
	for _, l := range lines[:4] {
		if n := strings.Count(l, "|"); n != len(columns())+1 {
			t.Errorf("%d columns in %q", n-1, l)
		}
	}
}
