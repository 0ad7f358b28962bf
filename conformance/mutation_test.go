package conformance_test

import (
	"bytes"
	"flag"
	"fmt"
	"iter"
	"os"
	"slices"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
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

func every(store.Op) bool { return true }

// mutations returns faulty stores by name, each with checks that must find it.
func mutations() map[string]struct {
	does mutation
	by   []string
} {
	type m = struct {
		does mutation
		by   []string
	}
	return map[string]m{
		"batch without position": {mutation{apply: func(s *mutant, b *store.Batch) error {
			return s.write(rewrite(b, func(from store.Part, to *store.Part) { copyOps(from, to, every) }))
		}}, []string{"write/position", "crash/power-loss", "random/model"}},

		"lost delete": {mutation{apply: func(s *mutant, b *store.Batch) error {
			return s.write(rewrite(b, func(from store.Part, to *store.Part) {
				to.Position = from.Position
				copyOps(from, to, func(op store.Op) bool { return op.Value != nil })
			}))
		}}, []string{"read/get", "write/order-in-part", "random/model"}},

		"empty value as delete": {mutation{apply: func(s *mutant, b *store.Batch) error {
			return s.write(rewrite(b, func(from store.Part, to *store.Part) {
				to.Position = from.Position
				for _, op := range from.Ops {
					if len(op.Value) == 0 {
						to.Delete(op.Key)
					} else {
						to.Put(op.Key, op.Value)
					}
				}
			}))
		}}, []string{"read/get", "read/get-large"}},

		"bytes compared as signed": {mutation{reader: func(_ *mutant, r store.Reader) store.Reader {
			return scanner{Reader: r, scan: signedScan}
		}}, []string{"read/scan-order", "read/scan-ranges", "random/model"}},

		"older generation accepted": {mutation{apply: func(s *mutant, b *store.Batch) error {
			return s.write(rewrite(b, func(from store.Part, to *store.Part) {
				s.mu.Lock()
				defer s.mu.Unlock()
				to.Generation = max(s.newest[from.Space], from.Generation)
				to.Position = from.Position
				copyOps(from, to, every)
			}))
		}}, []string{"owner/fencing", "owner/fenced-batch-is-atomic", "random/model"}},

		"position ahead of data": {mutation{apply: func(s *mutant, b *store.Batch) error {
			first := rewrite(b, func(from store.Part, to *store.Part) { to.Position = from.Position })
			if err := s.write(first); err != nil {
				return err
			}
			return s.write(b)
		}}, []string{"crash/power-loss"}},

		"spaces of a batch apart": {mutation{apply: func(s *mutant, b *store.Batch) error {
			if len(b.Parts()) == 0 {
				return s.write(b)
			}
			for _, p := range b.Parts() {
				var one store.Batch
				to := one.Part(p.Space, p.Generation)
				to.Position = p.Position
				copyOps(p, to, every)
				if err := s.write(&one); err != nil {
					return err
				}
			}
			return nil
		}}, []string{"crash/power-loss", "owner/fenced-batch-is-atomic", "write/not-open"}},

		"nothing kept at close": {mutation{apply: func(s *mutant, b *store.Batch) error {
			return s.write(b)
		}, close: func(s *mutant) error {
			s.disk.mu.Lock()
			s.disk.open = nil
			s.disk.mu.Unlock()
			return s.Store.Close()
		}}, []string{"life/reopen", "random/model"}},

		"drop keeps the position": {mutation{drop: func(s *mutant, sp store.Space, gen store.Generation) error {
			_, pos, err := s.Store.Open(sp, gen)
			if err != nil {
				return err
			}
			s.disk.writing()
			if err := s.Store.Drop(sp, gen); err != nil {
				return err
			}
			var b store.Batch
			b.Part(sp, gen).Position = pos
			return s.Store.Apply(&b)
		}}, []string{"write/drop", "random/model"}},

		"scan sees later writes": {mutation{reader: func(_ *mutant, r store.Reader) store.Reader {
			return scanner{Reader: r, scan: liveScan}
		}}, []string{"read/scan-moment"}},

		"upper bound included": {mutation{reader: func(_ *mutant, r store.Reader) store.Reader {
			return scanner{Reader: r, scan: func(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error] {
				if to != nil {
					to = append(bytes.Clone(to), 0)
				}
				return r.Scan(from, to)
			}}
		}}, []string{"read/scan-ranges", "random/model"}},

		"Get replaces dst": {mutation{reader: func(_ *mutant, r store.Reader) store.Reader {
			return scanner{Reader: r, get: func(r store.Reader, key, dst []byte) ([]byte, bool, error) {
				v, found, err := r.Get(key, nil)
				if !found {
					return dst, found, err
				}
				return v, found, err
			}}
		}}, []string{"read/get", "read/get-owns"}},

		"use after close": {mutation{close: func(s *mutant) error {
			s.disk.closed(s)
			return nil
		}}, []string{"life/close", "life/reopen"}},
	}
}

// signedScan orders keys as C's signed chars would.
func signedScan(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		var all []store.Entry
		for e, err := range r.Scan(from, to) {
			if err != nil {
				yield(e, err)
				return
			}
			all = append(all, e)
		}
		slices.SortStableFunc(all, func(a, b store.Entry) int {
			return slices.CompareFunc(a.Key, b.Key, func(x, y byte) int { return int(int8(x)) - int(int8(y)) })
		})
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// liveScan begins anew behind each key, as a cursor without a snapshot does.
func liveScan(r store.Reader, from, to []byte) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for {
			more := false
			for e, err := range r.Scan(from, to) {
				if !yield(e, err) || err != nil {
					return
				}
				from, more = append(bytes.Clone(e.Key), 0), true
				break
			}
			if !more {
				return
			}
		}
	}
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

// TestMutations shows that the suite finds each of these faults.
func TestMutations(t *testing.T) {
	t.Parallel()
	for name, m := range mutations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := run(factory(m.does))
			for _, want := range m.by {
				messages, found := failed[want]
				if !found {
					t.Errorf("%s does not find it; found by %d checks", want, len(failed))
					continue
				}
				t.Logf("%s: %.300s", want, messages[len(messages)-1])
			}
		})
	}
}

// TestNoMutation is the other half: without a mutation nothing is found.
func TestNoMutation(t *testing.T) {
	t.Parallel()
	conformance.Store(t, factory(mutation{}))
	for name, messages := range run(factory(mutation{})) {
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
