package check

import (
	"os"
	"strings"
	"testing"
)

// TestDocs: docs/simulation.md says of each invariant what it promises.
func TestDocs(t *testing.T) {
	t.Parallel()
	const file = "../../docs/simulation.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range Invariants() {
		if row := "| " + in.Name + " | " + in.Says + " | "; !strings.Contains(string(b), row) {
			t.Errorf("%s has no row %q", file, row)
		}
	}
}
