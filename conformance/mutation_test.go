package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/weirstream/weir/conformance"
)

// TestMain tells rapid that failures are expected here: no files of them, and
// no time spent on making them small.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "1ms"} {
		if err := flag.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// run runs the checks of the suite that need no more than the factory has,
// without the large restore, and returns those that failed.
func run(f conformance.StoreFactory) (failed map[string][]string) {
	failed = make(map[string][]string)
	for _, c := range conformance.StoreChecks() {
		if c.Name == "bulk/restore" || slices.ContainsFunc(c.Needs, func(n conformance.Capability) bool { return !f.Has(n) }) {
			continue
		}
		if r := conformance.Record(c.Name, func(tb conformance.TB) { c.Run(tb, f) }); r.Failed() {
			failed[c.Name] = r.Messages()
		}
	}
	return failed
}

// TestMutations shows that the suite finds each of the bugs that StoreFaults
// plants, by each of the checks that are for it.
func TestMutations(t *testing.T) {
	t.Parallel()
	conformance.FindStoreFaults(t, factory(mutation{}))
}

// TestServerMutations does so for those that only a server can show.
func TestServerMutations(t *testing.T) {
	t.Parallel()
	f := serverFactory(mutation{})
	f.Can = []conformance.Capability{conformance.Reopens, conformance.LosesWrites}
	conformance.FindStoreFaults(t, f)
}

// TestNothingKept has a store that forgets everything when it is closed.
func TestNothingKept(t *testing.T) {
	t.Parallel()
	failed := run(factory(mutation{close: func(s *mutant) error {
		s.disk.mu.Lock()
		s.disk.open = nil
		s.disk.mu.Unlock()
		return s.Store.Close()
	}}))
	for _, want := range []string{"life/reopen", "random/model"} {
		if failed[want] == nil {
			t.Errorf("%s does not find it; found by %d checks", want, len(failed))
		}
	}
}

// TestNoMutation is the other half: without a bug nothing is found.
func TestNoMutation(t *testing.T) {
	t.Parallel()
	conformance.Store(t, factory(mutation{}))
	for name, messages := range run(serverFactory(mutation{})) {
		t.Errorf("%s: %s", name, messages)
	}
}

// TestRecorder checks the stand-in itself.
func TestRecorder(t *testing.T) {
	t.Parallel()
	reached := false
	r := conformance.Record("check", func(tb conformance.TB) {
		dir := tb.TempDir()
		tb.Cleanup(func() {
			if _, err := os.Stat(dir); err != nil {
				tb.Errorf("the directory went before the cleanup: %v", err)
			}
			tb.Log("cleaned")
		})
		tb.Fatalf("stop %d", 1)
		reached = true
	})
	if reached || !r.Failed() || r.Skipped() || !slices.Equal(r.Messages(), []string{"stop 1", "cleaned"}) {
		t.Errorf("reached %v, failed %v, messages %q", reached, r.Failed(), r.Messages())
	}
	if r := conformance.Record("panics", func(conformance.TB) { panic("oh") }); !r.Failed() {
		t.Error("a panic is no failure")
	}
	if r := conformance.Record("skips", func(tb conformance.TB) { tb.Skipf("why") }); r.Failed() || !r.Skipped() {
		t.Error("a skip is not recorded as one")
	}
}
