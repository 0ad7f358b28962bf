package conformance

import (
	"slices"

	"github.com/weirstream/weir/runtime"
)

// A trouble is what happens to the workers of an application while it runs.
type trouble struct {
	name string
	play func(a *stage)
}

func troubles() []trouble {
	return []trouble{
		{"none", playNone},
		{"crash", playCrash},
		{"crash-and-empty-store", playEmptied},
		{"two-workers", playTwo},
		{"fenced", playFenced},
	}
}

// playNone runs one worker, and restarts it in good order.
func playNone(a *stage) {
	place := a.f.Store(a)
	a.send()
	w := a.start("w", place)
	a.settle()
	a.rest()
	w.stop()
	a.start("w", a.kept(place))
}

// kept is what a worker finds when it comes back: its place, if that keeps
// what it had.
func (a *stage) kept(place StorePlace) StorePlace {
	if slices.Contains(a.f.Can, Reopens) {
		return place
	}
	return a.f.Store(a)
}

// playCrash crashes a worker at every kind of moment, and lets it come back to
// its store.
func playCrash(a *stage) {
	place := a.f.Store(a)
	a.crashes(func() StorePlace { place = a.kept(place); return place })
}

// playEmptied crashes a worker at every kind of moment, and lets it come back
// to nothing: all comes from the changelogs.
func playEmptied(a *stage) {
	a.crashes(func() StorePlace { return a.f.Store(a) })
}

// crashes crashes a worker at every kind of moment; each life finds the next
// place.
func (a *stage) crashes(next func() StorePlace) {
	for m := range moments {
		a.send()
		w := a.enter("w", next())
		w.crashAt(m)
		w.run()
		w.crash()
		w = a.start("w", next())
		a.settle()
		w.stop()
	}
	a.start("w", next())
}

// playTwo runs two workers; one crashes and comes back to the store that it
// had, which is behind by then, the other leaves.
func playTwo(a *stage) {
	first, second := a.f.Store(a), a.f.Store(a)
	v := a.start("v", first)
	w := a.start("w", second)
	a.send()
	a.settle()
	receive(a.wire, v.assigned, "the first assignment of v")
	receive(a.wire, w.assigned, "the first assignment of w")
	v.crashAt(afterCommit)
	a.send()
	v.crash()
	a.settle()
	a.start("v", a.kept(first))
	w.stop()
	a.rest()
}

// playFenced: a worker stands still in the middle of its commits, another
// takes its name and its work, and then the first goes on.
func playFenced(a *stage) {
	old := a.start("w", a.f.Store(a))
	a.send()
	a.settle()
	old.hang()
	a.send()
	receive(a.wire, old.stuck, "the commit of a worker that has work")
	young := a.start("w", a.f.Store(a))
	for range lanes {
		receive(a.wire, young.producing, "a producer of the new worker")
	}
	old.open()
	res := receive(a.wire, old.results, "the commit that was held up")
	if a.run.Guarantee == runtime.ExactlyOnce && res.Outcome == runtime.Committed {
		a.Errorf("a worker committed after another had taken its name")
	}
	old.die()
	old.stop()
	a.settle()
}
