package memory_test

import (
	"fmt"
	"testing"

	"github.com/weirstream/weir/conformance"
	"github.com/weirstream/weir/core/store"
	"github.com/weirstream/weir/stores/memory"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	conformance.Store(t, conformance.StoreFactory{
		Name: "memory",
		New: func(conformance.TB) conformance.StorePlace {
			return conformance.StorePlace{Open: func() (store.Store, error) { return memory.New(), nil }}
		},
	})
}

func filled(t testing.TB, keys int) (*memory.Store, store.Reader) {
	t.Helper()
	s := memory.New()
	r, _, err := s.Open(store.Space{Table: "t"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	p := b.Part(store.Space{Table: "t"}, 1)
	for i := range keys {
		p.Put(fmt.Appendf(nil, "%08d", i), make([]byte, 100))
	}
	p.Position = store.Position{Changelog: int64(keys), Exists: true}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	return s, r
}

func TestGetAllocatesNothing(t *testing.T) {
	_, r := filled(t, 1000)
	key, absent, buf := []byte("00000500"), []byte("none"), make([]byte, 0, 128)
	n := testing.AllocsPerRun(100, func() {
		if _, found, err := r.Get(key, buf); !found || err != nil {
			t.Fatal(found, err)
		}
		if _, found, err := r.Get(absent, buf); found || err != nil {
			t.Fatal(found, err)
		}
	})
	if n > 0 {
		t.Errorf("Get allocates %v times", n)
	}
}

func TestSnapshotIsApart(t *testing.T) {
	t.Parallel()
	s, r := filled(t, 100)
	c := s.Snapshot()
	sp := store.Space{Table: "t"}
	var b store.Batch
	p := b.Part(sp, 1)
	p.Put([]byte("00000001"), []byte("new"))
	p.Position = store.Position{Changelog: 101, Exists: true}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	// No generation is known in the snapshot: it is another process's start.
	cr, pos, err := c.Open(sp, 0)
	if err != nil || pos.Changelog != 100 {
		t.Fatalf("the snapshot's position is %+v, %v", pos, err)
	}
	b.Reset()
	b.Part(sp, 0).Delete([]byte("00000002"))
	if err := c.Apply(&b); err != nil {
		t.Fatal(err)
	}
	if v, _, _ := cr.Get([]byte("00000001"), nil); len(v) != 100 {
		t.Errorf("a write to the store shows in the snapshot: %q", v)
	}
	if _, found, _ := r.Get([]byte("00000002"), nil); !found {
		t.Error("a write to the snapshot shows in the store")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, found, err := cr.Get([]byte("00000003"), nil); !found || err != nil {
		t.Errorf("the snapshot ended with the store: %v, %v", found, err)
	}
}

func BenchmarkGet(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			_, r := filled(b, keys)
			var key, buf []byte
			for i := 0; b.Loop(); i++ {
				key = fmt.Appendf(key[:0], "%08d", i*7919%keys)
				buf, _, _ = r.Get(key, buf[:0])
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	const perBatch = 10_000
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			s, _ := filled(b, keys)
			var batch store.Batch
			n := 0
			for b.Loop() {
				batch.Reset()
				p := batch.Part(store.Space{Table: "t"}, 1)
				for range perBatch {
					n++
					p.Put(fmt.Appendf(nil, "%08d", n*7919%keys), make([]byte, 100))
				}
				if err := s.Apply(&batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/put")
		})
	}
}
