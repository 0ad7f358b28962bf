package zoo_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/zoo"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBuilds applies all edits to the sources as they are and compiles them.
func TestBuilds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	replace, err := zoo.Overlay(root(t), dir, zoo.Mutants())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", file, "./core/...", "./runtime/...", "./transports/kafka/...", "./sim/simdisk/...")
	cmd.Dir = root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestMutants(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, in := range check.Invariants() {
		known[in.Name] = true
	}
	seen := make(map[string]bool)
	for _, m := range zoo.Mutants() {
		if seen[m.ID] {
			t.Errorf("%s is there twice", m.ID)
		}
		seen[m.ID] = true
		if m.Bug == "" || len(m.Trips) == 0 || len(m.Edits) == 0 {
			t.Errorf("%s is not complete", m.ID)
		}
		if i := slices.IndexFunc(m.Trips, func(s string) bool { return !known[s] }); i >= 0 {
			t.Errorf("%s must trip %s, which nobody checks", m.ID, m.Trips[i])
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d mutants", len(seen))
	}
}

// TestMisfit: an edit that does not fit is refused, never left out.
func TestMisfit(t *testing.T) {
	t.Parallel()
	const file = "core/task/journal.go"
	for name, e := range map[string]zoo.Edit{
		"nowhere":   {File: file, Old: "no such text", New: `zooOn("x")`},
		"ambiguous": {File: file, Old: "undo", New: `zooOn("x")`},
		"unasked":   {File: file, Old: "package task", New: "package other"},
		"no file":   {File: "core/task/none.go", Old: "a", New: `zooOn("x")`},
	} {
		_, err := zoo.Overlay(root(t), t.TempDir(), []zoo.Mutant{{ID: "x", Edits: []zoo.Edit{e}}})
		if err == nil || !strings.Contains(err.Error(), "mutant x") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAllows(t *testing.T) {
	t.Parallel()
	output, stores := zoo.Mutant{Trips: []string{"S1", "S7"}}, zoo.Mutant{Trips: []string{"S6"}}
	for invariant, want := range map[string][2]bool{
		"S1": {true, false}, "S7": {true, false}, "S2": {true, false}, "S16": {true, false},
		"S6": {false, true}, "S12": {false, true}, "S13": {false, true},
		"L1": {false, false}, "panic": {false, false},
	} {
		if got := [2]bool{output.Allows(invariant), stores.Allows(invariant)}; got != want {
			t.Errorf("%s: %t, want %t", invariant, got, want)
		}
	}
}
