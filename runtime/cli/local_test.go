package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/weirstream/weir/core/store"
)

func TestInstanceName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := instanceName(dir)
	if err != nil || first == "" {
		t.Fatal(first, err)
	}
	if again, err := instanceName(dir); err != nil || again != first {
		t.Errorf("the name was %q and is %q, %v", first, again, err)
	}
	if other, err := instanceName(t.TempDir()); err != nil || other == first {
		t.Errorf("two directories have the name %q, %v", other, err)
	}
	// A file that a crash left empty is not a name.
	if err := os.WriteFile(filepath.Join(dir, instanceFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := instanceName(dir); err != nil || name == "" {
		t.Errorf("an empty file gives %q, %v", name, err)
	}
	if name, err := instanceName(filepath.Join(dir, "none")); err == nil {
		t.Errorf("a directory that is not there gives %q", name)
	}
}

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the second lock: %v", err)
	}
	release()
	release, err = lockDir(dir)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	release()
}

func TestScreen(t *testing.T) {
	t.Parallel()
	var plain bytes.Buffer
	s := newScreen(&plain)
	if s.terminal {
		t.Fatal("a buffer is a terminal")
	}
	s.show("one")
	s.show("two") // too soon
	s.Write([]byte("log\n"))
	s.finish("end")
	if got := plain.String(); got != "one\nlog\nend\n" {
		t.Errorf("without a terminal it is %q", got)
	}
	var term bytes.Buffer
	s = &screen{w: &term, terminal: true}
	s.show("one")
	s.Write([]byte("log\n"))
	s.finish("end")
	if got, want := term.String(), eraseLine+"one"+eraseLine+"log\n"+"one"+eraseLine+"end\n"; got != want {
		t.Errorf("on a terminal it is %q, want %q", got, want)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error("the null device is a terminal")
	}
}
