package aerospike

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
)

// A history is a changelog made up from a seed: step i writes all spaces and
// moves their positions to i.
type history struct {
	seed   uint64
	spaces []store.Space
	keys   int
	ops    int // in a step, for a space
}

func someHistory(seed uint64) history {
	return history{seed: seed, spaces: []store.Space{{Table: "a"}, {Table: "a", Partition: 1}, {Table: "b"}}, keys: 30, ops: 6}
}

// each calls f with the writes of step i to space j.
func (h history) each(i, j int, f func(key, value []byte)) {
	r := rand.New(rand.NewPCG(h.seed, uint64(i)<<8|uint64(j)))
	for range h.ops {
		key := fmt.Appendf(nil, "key-%d", r.IntN(h.keys))
		if r.IntN(3) == 0 {
			f(key, nil)
		} else {
			f(key, fmt.Appendf(nil, "%d-%d-%0*d", i, j, r.IntN(50), 0))
		}
	}
}

func (h history) batch(i int, gen store.Generation) *store.Batch {
	b := new(store.Batch)
	for j, sp := range h.spaces {
		p := b.Part(sp, gen)
		h.each(i, j, func(key, value []byte) {
			if value == nil {
				p.Delete(key)
			} else {
				p.Put(key, value)
			}
		})
		p.Position = store.Position{Changelog: int64(i), StreamTime: -1, Exists: true}
	}
	return b
}

// at returns what space j holds after step i.
func (h history) at(i, j int) map[string]string {
	m := make(map[string]string)
	for step := 1; step <= i; step++ {
		h.each(step, j, func(key, value []byte) {
			if value == nil {
				delete(m, string(key))
			} else {
				m[string(key)] = string(value)
			}
		})
	}
	return m
}

// open opens all spaces.
func (h history) open(tb conformance.TB, s *Store, gen store.Generation) (rs []store.Reader, ps []store.Position) {
	tb.Helper()
	for _, sp := range h.spaces {
		r, p, err := s.Open(sp, gen)
		if err != nil {
			tb.Fatalf("opening %s in generation %d: %v", sp, gen, err)
		}
		rs, ps = append(rs, r), append(ps, p)
	}
	return rs, ps
}

// run makes steps that must succeed.
func (h history) run(tb conformance.TB, s *Store, gen store.Generation, from, to int) {
	tb.Helper()
	for i := from; i <= to; i++ {
		if err := s.Apply(h.batch(i, gen)); err != nil {
			tb.Fatalf("step %d: %v", i, err)
		}
	}
}

// holds fails unless space j is as after step i: by scan, and by reading each
// key.
func (h history) holds(tb conformance.TB, r store.Reader, i, j int) {
	tb.Helper()
	if err := h.compare(r, i, j); err != nil {
		tb.Fatalf("%s after step %d: %v", h.spaces[j], i, err)
	}
}

func (h history) compare(r store.Reader, i, j int) error {
	want := h.at(i, j)
	var keys []string
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			return err
		}
		keys = append(keys, string(e.Key))
		if v, ok := want[string(e.Key)]; !ok || v != string(e.Value) {
			return fmt.Errorf("scan: %q is %q, want %q", e.Key, e.Value, v)
		}
	}
	if len(keys) != len(want) || !slices.IsSorted(keys) {
		return fmt.Errorf("a scan gave %d entries, want %d in order", len(keys), len(want))
	}
	for k := range h.keys {
		key := fmt.Sprintf("key-%d", k)
		v, found, err := r.Get([]byte(key), nil)
		if err != nil {
			return err
		}
		if w, ok := want[key]; ok != found || w != string(v) {
			return fmt.Errorf("%q is %q, %t; want %q, %t", key, v, found, w, ok)
		}
	}
	return nil
}

func openWith(cfg Config, hs ...func(*hooks)) (*Store, error) {
	var all hooks
	for _, h := range hs {
		if h != nil {
			h(&all)
		}
	}
	return open(cfg, all)
}

// openStore opens a store that the test closes.
func openStore(tb conformance.TB, cfg Config, hs ...func(*hooks)) *Store {
	tb.Helper()
	s, err := openWith(cfg, hs...)
	if err != nil {
		tb.Fatalf("opening the store: %v", err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func closeStore(tb conformance.TB, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatalf("closing: %v", err)
	}
}

// A check is run on the store as it is, and on stores with mistakes, of which
// it must find those it is for.
type check func(tb conformance.TB, hs ...func(*hooks))

func pass(t *testing.T, c check) {
	t.Helper()
	t.Parallel()
	c(t)
}
