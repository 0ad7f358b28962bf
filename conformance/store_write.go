package conformance

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/core/store"
)

func writeChecks() []StoreCheck {
	return []StoreCheck{
		{Name: "write/position", Run: checkPosition},
		{Name: "write/order-in-part", Run: checkOrderInPart},
		{Name: "write/batch-not-kept", Run: checkBatchNotKept},
		{Name: "write/empty-batch", Run: checkEmptyBatch},
		{Name: "write/not-open", Run: checkWriteNotOpen},
		{Name: "write/drop", Run: checkDrop},
		{Name: "write/concurrent", Run: checkConcurrent},
	}
}

func checkPosition(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	fx.space(spaceA(), 1)
	fx.space(spaceB(), 1)
	full := store.Position{
		Log:       store.LogID{0: 1, 15: 255},
		Changelog: 1 << 40, StreamTime: 1700000000123, At: 1700000000456, Exists: true,
		Inputs: []store.InputOffset{{Topic: "in", Partition: 3, Offset: 99}, {Topic: "日本", Partition: 0, Offset: 0}},
	}
	fx.apply(func(b *store.Batch) {
		p := b.Part(spaceA(), 1)
		p.Put([]byte("k"), []byte("v"))
		p.Position = full
	})
	fx.unchanged("with a position", spaceA(), 1)
	fx.unchanged("without a position", spaceB(), 1)
	fx.put(spaceA(), 1, "k2", "v2")
	fx.unchanged("a batch without position keeps the old one", spaceA(), 1)
	fx.apply(func(b *store.Batch) {
		b.Part(spaceA(), 1).Position = store.Position{Changelog: 0, StreamTime: -1, At: -1, Exists: true}
		b.Part(spaceB(), 1).Position = full
	})
	fx.unchanged("positions without data", spaceA(), 1)
	fx.unchanged("positions without data", spaceB(), 1)
	// What Open returned must not change with the store, nor the store with it.
	_, pos, err := fx.store.Open(spaceB(), 1)
	if err != nil {
		tb.Fatalf("opening: %v", err)
	}
	pos.Inputs[0].Offset = 12345
	fx.unchanged("after the caller changed a position", spaceB(), 1)
}

func checkOrderInPart(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	fx.apply(func(b *store.Batch) {
		p := b.Part(spaceA(), 1)
		p.Put([]byte("deleted"), []byte("1"))
		p.Delete([]byte("deleted"))
		p.Delete([]byte("kept"))
		p.Put([]byte("kept"), []byte("1"))
		p.Put([]byte("written thrice"), []byte("1"))
		p.Put([]byte("written thrice"), []byte("2"))
		p.Put([]byte("written thrice"), nil)
		p.Delete([]byte("never there"))
	})
	mustLack(tb, r, "deleted")
	mustGet(tb, r, "kept", "1")
	mustGet(tb, r, "written thrice", "")
	fx.unchanged("after a batch that writes keys again", spaceA(), 1)
}

// checkBatchNotKept fills the same batch again and again; its memory is used
// anew, and a store that kept it would change.
func checkBatchNotKept(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	fx.space(spaceA(), 1)
	var b store.Batch
	for round := range 10 {
		b.Reset()
		p := b.Part(spaceA(), 1)
		for i := range 50 {
			p.Put(fmt.Appendf(nil, "%d-%d", round, i), fmt.Appendf(nil, "value %d of round %d", i, round))
		}
		p.Position = store.Position{Changelog: int64(round), Exists: true, Inputs: []store.InputOffset{{Topic: "in", Offset: int64(round)}}}
		if err := fx.store.Apply(&b); err != nil {
			tb.Fatalf("applying: %v", err)
		}
		fx.model.apply(&b)
		p.Position.Inputs[0].Offset = -7
		fx.unchanged("after the batch was used anew", spaceA(), 1)
	}
}

func checkEmptyBatch(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	fx.space(spaceA(), 1)
	fx.apply(func(*store.Batch) {})
	fx.apply(func(b *store.Batch) { b.Part(spaceA(), 1) })
	fx.unchanged("after empty batches", spaceA(), 1)
}

func checkWriteNotOpen(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	fx.space(spaceA(), 1)
	fx.put(spaceA(), 1, "k", "v")
	var b store.Batch
	b.Part(spaceA(), 1).Put([]byte("k"), []byte("half a batch"))
	b.Part(spaceB(), 1).Put([]byte("k"), []byte("v"))
	mustFail(tb, "a batch for a space that is not open", fx.store.Apply(&b), store.ErrClosed)
	fx.unchanged("after a refused batch", spaceA(), 1)
	fx.space(spaceB(), 1)
	mustFail(tb, "dropping a space that is not open", fx.store.Drop(store.Space{Table: "other"}, 1), store.ErrClosed)
	b.Reset()
	b.Part(spaceA(), 2).Put([]byte("k"), []byte("from a generation that did not open it"))
	mustFail(tb, "a batch of a generation to come", fx.store.Apply(&b), store.ErrClosed)
	fx.unchanged("after a refused batch", spaceA(), 1)
}

func checkDrop(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	a := fx.space(spaceA(), 1)
	fx.space(spaceB(), 1)
	for round := range 3 {
		fx.apply(func(b *store.Batch) {
			for _, sp := range []store.Space{spaceA(), spaceB()} {
				putAll(b, sp, 1, awkwardKeys())
				b.Part(sp, 1).Position = store.Position{Changelog: int64(round), Exists: true}
			}
		})
		if err := fx.store.Drop(spaceA(), 1); err != nil {
			tb.Fatalf("dropping: %v", err)
		}
		fx.model.drop(spaceA())
		for _, k := range awkwardKeys() {
			mustLack(tb, a, k)
		}
		fx.unchanged("after a drop", spaceA(), 1)
		fx.unchanged("after a drop of another space", spaceB(), 1)
		fx.put(spaceA(), 1, "k", "written after the drop")
		mustGet(tb, a, "k", "written after the drop")
		fx.unchanged("written after a drop", spaceA(), 1)
	}
}

// checkConcurrent writes two keys of each space always together, from one
// goroutine for each space, while others read: a scan must see both from the
// same batch, and batches must not go back.
func checkConcurrent(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	const spaces, rounds = 4, 60
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for i := range spaces {
		sp := store.Space{Table: "t", Partition: int32(i)}
		r := fx.space(sp, 1)
		writers.Go(func() { writePairs(tb, fx.store, sp, rounds) })
		readers.Go(func() {
			for last := 0; !done.Load() && !tb.Failed(); {
				last = readPair(tb, r, last)
			}
		})
	}
	readers.Go(func() {
		for !done.Load() {
			if err := fx.store.Flush(); err != nil {
				tb.Errorf("flushing beside writes: %v", err)
				return
			}
		}
	})
	writers.Wait()
	done.Store(true)
	readers.Wait()
	for i := range spaces {
		sp := store.Space{Table: "t", Partition: int32(i)}
		if _, pos, err := fx.store.Open(sp, 1); err != nil || pos.Changelog != rounds {
			tb.Errorf("%s ends at %d, %v; want %d", sp, pos.Changelog, err, rounds)
		}
	}
}

func writePairs(tb TB, s store.Store, sp store.Space, rounds int) {
	var b store.Batch
	for n := 1; n <= rounds; n++ {
		b.Reset()
		p := b.Part(sp, 1)
		p.Put([]byte("first"), fmt.Appendf(nil, "%06d", n))
		p.Put([]byte("second"), fmt.Appendf(nil, "%06d", n))
		p.Position = store.Position{Changelog: int64(n), Exists: true}
		if err := s.Apply(&b); err != nil {
			tb.Errorf("applying beside others: %v", err)
			return
		}
	}
}

func readPair(tb TB, r store.Reader, last int) int {
	var seen []int
	for e, err := range r.Scan(nil, nil) {
		if err != nil {
			tb.Errorf("scanning beside writes: %v", err)
			return last
		}
		n := 0
		if _, err := fmt.Sscanf(string(e.Value), "%06d", &n); err != nil {
			tb.Errorf("value %q: %v", e.Value, err)
		}
		seen = append(seen, n)
	}
	switch {
	case len(seen) == 0 && last == 0:
		return 0
	case len(seen) != 2 || seen[0] != seen[1]:
		tb.Errorf("a scan sees half a batch: %v", seen)
	case seen[0] < last:
		tb.Errorf("a scan sees batch %d after batch %d", seen[0], last)
	default:
		return seen[0]
	}
	return last
}
