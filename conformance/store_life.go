package conformance

import (
	"fmt"
	"slices"

	"github.com/weirstream/weir/core/store"
)

func lifeChecks() []StoreCheck {
	return []StoreCheck{
		{Name: "life/close", Run: checkClose},
		{Name: "life/reopen", Needs: []Capability{Reopens}, Run: checkReopen},
		{Name: "life/lists", Run: checkLists},
		{Name: "life/locked", Needs: []Capability{LocksOut}, Run: checkLocked},
	}
}

func checkClose(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 1)
	fx.put(spaceA(), 1, "key", "value")
	if err := fx.store.Flush(); err != nil {
		tb.Fatalf("flushing: %v", err)
	}
	for range 2 {
		if err := fx.store.Close(); err != nil {
			tb.Fatalf("closing: %v", err)
		}
	}
	_, _, err := fx.store.Open(spaceB(), 1)
	mustFail(tb, "Open after Close", err, store.ErrClosed)
	mustFail(tb, "Apply after Close", fx.store.Apply(putBatch(spaceA(), 1, "key", "v")), store.ErrClosed)
	mustFail(tb, "Apply of nothing after Close", fx.store.Apply(&store.Batch{}), store.ErrClosed)
	mustFail(tb, "Drop after Close", fx.store.Drop(spaceA(), 1), store.ErrClosed)
	mustFail(tb, "Flush after Close", fx.store.Flush(), store.ErrClosed)
	mustFailReading(tb, "a reader after Close", r, store.ErrClosed)
	if err := fx.store.Release(spaceA(), 1); err != nil {
		tb.Fatalf("Release after Close: %v", err)
	}
}

// checkReopen closes and opens the place several times, with and without
// Flush, and writes in between.
func checkReopen(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	for round := range 6 {
		gen := store.Generation(round + 1)
		a, b := fx.space(spaceA(), gen), fx.space(spaceB(), gen)
		fx.apply(func(batch *store.Batch) {
			putAll(batch, spaceA(), gen, awkwardKeys())
			for i := range 50 {
				batch.Part(spaceB(), gen).Put(fmt.Appendf(nil, "%d", i*round), pattern(i*100))
				batch.Part(spaceB(), gen).Delete(fmt.Appendf(nil, "%d", i))
			}
			batch.Part(spaceA(), gen).Position = store.Position{
				Changelog: int64(round), StreamTime: -1, At: 77, Exists: true,
				Inputs: []store.InputOffset{{Topic: "in", Partition: 1, Offset: int64(round)}},
			}
		})
		if round == 3 {
			if err := fx.store.Drop(spaceA(), gen); err != nil {
				tb.Fatalf("dropping: %v", err)
			}
			fx.model.drop(spaceA())
		}
		if round%2 == 0 {
			if err := fx.store.Flush(); err != nil {
				tb.Fatalf("flushing: %v", err)
			}
		}
		if err := fx.store.Close(); err != nil {
			tb.Fatalf("closing: %v", err)
		}
		fx.open()
		mustFailReading(tb, "a reader of the store that was closed", a, store.ErrClosed)
		mustFailReading(tb, "a reader of the store that was closed", b, store.ErrClosed)
	}
	fx.space(spaceA(), 100)
	fx.space(spaceB(), 100)
}

func checkLocked(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	fx.space(spaceA(), 1)
	fx.put(spaceA(), 1, "key", "value")
	for range 2 {
		s, err := fx.place.Open()
		if err == nil {
			_ = s.Close()
		}
		mustFail(tb, "opening a place that is open", err, store.ErrLocked)
	}
	fx.put(spaceA(), 1, "key", "value 2")
	fx.unchanged("after others tried to open it", spaceA(), 1)
	if !f.Has(Reopens) {
		return
	}
	if err := fx.store.Close(); err != nil {
		tb.Fatalf("closing: %v", err)
	}
	fx.open()
	fx.space(spaceA(), 1)
}

// checkLists: a store that lists its spaces lists all that have data, open or
// not, also after it was opened again.
func checkLists(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	if _, ok := fx.store.(store.Lister); !ok {
		tb.Skipf("%s has no Lister", f.Name)
	}
	lists := func(when string, want ...store.Space) {
		tb.Helper()
		got := fx.store.(store.Lister).Spaces()
		for _, sp := range want {
			if !slices.Contains(got, sp) {
				tb.Fatalf("%s: %v lacks %s", when, got, sp)
			}
		}
	}
	fx.space(spaceA(), 1)
	fx.space(spaceB(), 1)
	fx.put(spaceA(), 1, "key", "value")
	fx.put(spaceB(), 1, "key", "value")
	lists("both open", spaceA(), spaceB())
	if err := fx.store.Release(spaceA(), 1); err != nil {
		tb.Fatalf("releasing: %v", err)
	}
	lists("one released", spaceA(), spaceB())
	if f.Has(Reopens) {
		if err := fx.store.Close(); err != nil {
			tb.Fatalf("closing: %v", err)
		}
		fx.open()
		lists("after opening the store again", spaceA(), spaceB())
	}
}
