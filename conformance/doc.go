// Package conformance holds the suites that adapters must pass: Store,
// Transport, and Application for both together. It imports no adapter: an
// adapter's test names itself with a factory and runs the suite.
//
//	func TestConformance(t *testing.T) {
//		conformance.Store(t, conformance.StoreFactory{
//			Name: "mystore",
//			New:  func(tb conformance.TB) conformance.StorePlace { … },
//			Can:  []conformance.Capability{conformance.Reopens},
//		})
//	}
//
// What not every adapter can do is a capability. Checks that need one which
// the factory does not declare are skipped by name, and the suite ends by
// listing what was not declared. docs/conformance.md says what each means.
package conformance
