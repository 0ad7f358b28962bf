package zoo_test

import (
	"testing"

	"github.com/weirstream/weir/sim/zoo"
)

// TestFits tells of each mutant on its own whether its edits fit the sources.
func TestFits(t *testing.T) {
	t.Parallel()
	for _, m := range zoo.Mutants() {
		if _, err := zoo.Overlay(root(t), t.TempDir(), []zoo.Mutant{m}); err != nil {
			t.Error(err)
		}
	}
}
