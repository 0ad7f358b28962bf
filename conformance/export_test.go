package conformance

import (
	"slices"
	"testing"
)

// What the suite's own tests share with the bugs that it plants.
var (
	PartsOf = partsOf
	AddOps  = addOps
)

// FindStoreFaults is StoreFaults, but each check that is for a bug has to find it.
func FindStoreFaults(t *testing.T, f StoreFactory) {
	t.Helper()
	for _, fault := range storeFaults() {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range fault.by {
				if !slices.ContainsFunc(StoreChecks(), func(c StoreCheck) bool { return c.Name == name }) {
					t.Errorf("there is no check %s", name)
				}
			}
			fault.mustBeFound(t, f, len(fault.by))
		})
	}
}
