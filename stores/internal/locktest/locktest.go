// Package locktest opens the directory of a store in two processes, for the tests
// of stores that keep other processes out.
package locktest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/weirstream/weir/core/store"
)

const dirVariable = "WEIR_TEST_LOCK_DIR"

// ByAnotherProcess is a whole test: it opens a directory, and opens it in a
// child, which is the same test again, before and after it closes it.
func ByAnotherProcess(t *testing.T, open func(dir string) (store.Store, error)) {
	t.Helper()
	if dir := os.Getenv(dirVariable); dir != "" {
		s, err := open(dir)
		if err == nil {
			_ = s.Close()
		}
		fmt.Printf("locked: %v; %v\n", errors.Is(err, store.ErrLocked), err)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	s, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"locked: true; ", "locked: false; <nil>"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // this test
		cmd.Env = append(os.Environ(), dirVariable+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("the child says %q, %v; want %q", out, err, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
