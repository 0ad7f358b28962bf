package conformance

import (
	"fmt"

	"github.com/weirstream/weir/core/store"
)

func ownerChecks() []StoreCheck {
	return []StoreCheck{
		{Name: "owner/fencing", Run: checkFencing},
		{Name: "owner/fenced-batch-is-atomic", Run: checkFencedBatch},
		{Name: "owner/same-generation", Run: checkSameGeneration},
		{Name: "owner/release", Run: checkRelease},
		{Name: "owner/shared", Needs: []Capability{Shared}, Run: checkShared},
	}
}

func putBatch(sp store.Space, gen store.Generation, key, value string) *store.Batch {
	var b store.Batch
	p := b.Part(sp, gen)
	p.Put([]byte(key), []byte(value))
	p.Position = store.Position{Changelog: 666, Exists: true}
	return &b
}

// checkFencing: a newer generation takes a space over; the older one can do
// nothing to it any more, not even after the newer one released it.
func checkFencing(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	old := fx.space(spaceA(), 5)
	fx.put(spaceA(), 5, "key", "from 5")
	young := fx.space(spaceA(), 7)
	fencedOut(fx, "while 7 has it", old, 7)
	fx.put(spaceA(), 7, "key", "from 7")
	mustGet(tb, young, "key", "from 7")
	fencedOut(fx, "after 7 wrote", old, 7)
	// Releasing what is another's does nothing.
	for _, gen := range []store.Generation{5, 6, 8} {
		if err := fx.store.Release(spaceA(), gen); err != nil {
			tb.Fatalf("releasing in a generation that does not have the space: %v", err)
		}
	}
	mustGet(tb, young, "key", "from 7")
	if err := fx.store.Release(spaceA(), 7); err != nil {
		tb.Fatalf("releasing: %v", err)
	}
	_, _, err := fx.store.Open(spaceA(), 6)
	mustFail(tb, "an open of generation 6 after 7 released", err, store.ErrFenced)
	mustFail(tb, "a batch of generation 5 after 7 released", fx.store.Apply(putBatch(spaceA(), 5, "key", "zombie")), store.ErrFenced)
	fx.space(spaceA(), 7)
	fencedOut(fx, "after 7 opened again", old, 7)
}

// fencedOut tries everything in generations before 7.
func fencedOut(fx *fixture, what string, old store.Reader, owner store.Generation) {
	fx.tb.Helper()
	for _, gen := range []store.Generation{1, 5, 6} {
		what := fmt.Sprintf("generation %d %s", gen, what)
		_, _, err := fx.store.Open(spaceA(), gen)
		mustFail(fx.tb, "an open of "+what, err, store.ErrFenced)
		mustFail(fx.tb, "a batch of "+what, fx.store.Apply(putBatch(spaceA(), gen, "key", "zombie")), store.ErrFenced)
		mustFail(fx.tb, "a drop of "+what, fx.store.Drop(spaceA(), gen), store.ErrFenced)
	}
	mustFailReading(fx.tb, "the reader of 5 "+what, old, store.ErrFenced)
	fx.unchanged(what, spaceA(), owner)
}

// checkFencedBatch: one fenced part refuses the whole batch, wherever it is.
func checkFencedBatch(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	spaces := []store.Space{spaceA(), spaceB(), {Table: "third"}}
	for _, sp := range spaces {
		fx.space(sp, 1)
		fx.put(sp, 1, "key", "value")
	}
	for i, taken := range spaces {
		gen := store.Generation(i + 2)
		fx.space(taken, gen)
		var b store.Batch
		for _, sp := range spaces {
			p := b.Part(sp, gen)
			if sp == taken {
				p.Generation = 1
			}
			p.Put([]byte("key"), []byte("zombie"))
			p.Delete([]byte("key"))
			p.Position = store.Position{Changelog: 666, Exists: true}
		}
		for _, sp := range spaces {
			if sp != taken {
				fx.space(sp, gen)
			}
		}
		mustFail(tb, "a batch with one fenced part", fx.store.Apply(&b), store.ErrFenced)
		for _, sp := range spaces {
			fx.unchanged(fmt.Sprintf("after a batch whose part for %s was fenced", taken), sp, gen)
		}
	}
}

func checkSameGeneration(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	r := fx.space(spaceA(), 3)
	fx.put(spaceA(), 3, "key", "value")
	again := fx.space(spaceA(), 3)
	mustGet(tb, r, "key", "value")
	mustGet(tb, again, "key", "value")
	fx.put(spaceA(), 3, "key", "value 2")
	mustGet(tb, r, "key", "value 2")
}

func checkRelease(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	if err := fx.store.Release(spaceA(), 1); err != nil {
		tb.Fatalf("releasing a space that was never open: %v", err)
	}
	r := fx.space(spaceA(), 1)
	fx.apply(func(b *store.Batch) {
		putAll(b, spaceA(), 1, awkwardKeys())
		b.Part(spaceA(), 1).Position = store.Position{Changelog: 9, Exists: true}
	})
	var last error
	n := 0
	for _, err := range r.Scan(nil, nil) {
		if n++; n == 3 {
			if err := fx.store.Release(spaceA(), 1); err != nil {
				tb.Fatalf("releasing during a scan: %v", err)
			}
		}
		last = err
	}
	mustFail(tb, "a scan during which the space was released", last, store.ErrClosed)
	mustFailReading(tb, "a reader after Release", r, store.ErrClosed)
	mustFail(tb, "a batch after Release", fx.store.Apply(putBatch(spaceA(), 1, "key", "v")), store.ErrClosed)
	mustFail(tb, "a drop after Release", fx.store.Drop(spaceA(), 1), store.ErrClosed)
	if err := fx.store.Release(spaceA(), 1); err != nil {
		tb.Fatalf("releasing twice: %v", err)
	}
	fx.space(spaceA(), 1)
	mustFailReading(tb, "the old reader after the space was opened again", r, store.ErrClosed)
	if err := fx.store.Release(spaceA(), 1); err != nil {
		tb.Fatalf("releasing: %v", err)
	}
	fx.space(spaceA(), 4)
}

// checkShared: two stores on one place are two workers, one of them a zombie.
func checkShared(tb TB, f StoreFactory) {
	fx := newFixture(tb, f)
	zombie := fx.store
	old := fx.space(spaceA(), 5)
	fx.put(spaceA(), 5, "key", "from 5")
	fx.store = mustOpen(tb, fx.place)
	fx.space(spaceA(), 6)
	fx.put(spaceA(), 6, "key", "from 6")
	mustFail(tb, "a batch of the zombie", zombie.Apply(putBatch(spaceA(), 5, "key", "zombie")), store.ErrFenced)
	mustFail(tb, "a drop of the zombie", zombie.Drop(spaceA(), 5), store.ErrFenced)
	_, _, err := zombie.Open(spaceA(), 5)
	mustFail(tb, "an open of the zombie", err, store.ErrFenced)
	if v, found, err := old.Get([]byte("key"), nil); err == nil && found && string(v) == "from 6" {
		tb.Logf("the reader of a fenced worker still reads; it cannot write")
	}
	fx.unchanged("after a zombie tried", spaceA(), 6)
	for _, s := range []store.Store{zombie, fx.store} {
		if err := s.Close(); err != nil {
			tb.Fatalf("closing: %v", err)
		}
	}
	fx.open()
	_, _, err = fx.store.Open(spaceA(), 5)
	mustFail(tb, "an open of an older generation after all were closed", err, store.ErrFenced)
	fx.space(spaceA(), 7)
}
