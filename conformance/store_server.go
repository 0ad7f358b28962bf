package conformance

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/core/store"
)

func serverChecks() []StoreCheck {
	losing := []Capability{LosesWrites, Reopens}
	return []StoreCheck{
		{Name: "server/answer-lost", Needs: []Capability{LosesAnswers}, Run: func(tb TB, f StoreFactory) { checkAnswersLost(tb, f, false) }},
		{Name: "server/answers-lost", Needs: []Capability{LosesAnswers}, Run: func(tb TB, f StoreFactory) { checkAnswersLost(tb, f, true) }},
		{Name: "server/writes-lost", Needs: losing, Run: checkWritesLost},
		{Name: "server/writes-lost-while-open", Needs: losing, Run: checkWritesLostWhileOpen},
		{Name: "server/deletes-back", Needs: losing, Run: checkDeletesBack},
	}
}

// mostWrites is how many writes to its server a store may need for one step.
const mostWrites = 100

// checkAnswersLost loses the answer to the first, second, ... write of a batch
// and of a drop, once or from then on. Both may fail with store.ErrUnavailable
// and with nothing else, and then may have happened or not; the spaces tell
// which, all the same, and take more.
func checkAnswersLost(tb TB, f StoreFactory, lasts bool) {
	needHook(tb, f, "LoseAnswer", func(p StorePlace) bool { return p.LoseAnswer != nil })
	happened, not := 0, 0
	for _, step := range []int{6, firstDrop} {
		for _, applied := range []bool{true, false} {
			for after := 0; ; after++ {
				lost, did := loseAnswer(tb, f, step, LostAnswer{After: after, Applied: applied, Lasts: lasts})
				if !lost {
					break
				}
				if after == mostWrites {
					tb.Fatalf("step %d made more than %d writes: the place's LoseAnswer does not count, or does not say what it lost", step, mostWrites)
				}
				if did {
					happened++
				} else {
					not++
				}
			}
		}
	}
	if happened == 0 || lasts && not == 0 {
		tb.Fatalf("of the writes whose answers were lost %d happened and %d did not: the place's LoseAnswer does not do what it should", happened, not)
	}
	tb.Logf("of the writes whose answers were lost %d happened and %d did not", happened, not)
}

// loseAnswer makes the steps before one, and that one with a lost answer. It
// reports whether an answer was lost and whether the step happened.
func loseAnswer(tb TB, f StoreFactory, step int, l LostAnswer) (lost, happened bool) {
	tb.Helper()
	what := fmt.Sprintf("step %d, %+v", step, l)
	place := f.New(tb)
	s, err := place.openHasty()
	if err != nil {
		tb.Fatalf("%s: opening the store: %v", what, err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	h := failingHistory()
	mustMake(tb, what, s, &h, 0, step-1)
	mend := place.LoseAnswer(l)
	err = h.do(s, step)
	lost = mend()
	if err != nil && (!lost || !errors.Is(err, store.ErrUnavailable)) {
		tb.Fatalf("%s: it fails with %v; an answer was lost: %t, for which nil and %q are right", what, err, lost, store.ErrUnavailable)
	}
	low := step
	if err != nil {
		low--
	}
	k := mustHold(tb, what, s, &h, low, step)
	mustMake(tb, what, s, &h, k, step+4)
	mustHold(tb, what+", after more steps", s, &h, step+4, step+4)
	if err := s.Close(); err != nil {
		tb.Fatalf("%s: closing: %v", what, err)
	}
	if f.Has(Reopens) {
		mustHold(tb, what+", opened again", mustOpen(tb, place), &h, step+4, step+4)
	}
	return lost, k == step
}

func (p StorePlace) openHasty() (store.Store, error) {
	if p.OpenHasty != nil {
		return p.OpenHasty()
	}
	return p.Open()
}

// A store that gives up soon may do so on a busy machine, too. Its user asks
// again; this often is enough.
const patientTries = 1000

// mustHold finds out how many steps a store holds, among low to high.
func mustHold(tb TB, what string, s store.Store, h *history, low, high int) int {
	tb.Helper()
	for try := 0; ; try++ {
		k, err := h.prefix(s, low, high)
		if err == nil {
			return k
		}
		if !errors.Is(err, store.ErrUnavailable) || try == patientTries {
			tb.Fatalf("%s: %v", what, err)
		}
	}
}

// mustMake makes the steps behind from, up to and with to.
func mustMake(tb TB, what string, s store.Store, h *history, from, to int) {
	tb.Helper()
	for i, try := mustHold(tb, what, s, h, from, from)+1, 0; i <= to; try++ {
		err := h.do(s, i)
		if err == nil {
			i++
			continue
		}
		if !errors.Is(err, store.ErrUnavailable) || try == patientTries {
			tb.Fatalf("%s: step %d: %v", what, i, err)
		}
		i = mustHold(tb, what, s, h, i-1, i) + 1
	}
}

// A loss counts what restarts of a server did to spaces.
type loss struct{ damaged, behind, whole int }

func (l *loss) mustBeSome(tb TB, restarts int) {
	tb.Helper()
	if l.damaged+l.behind == 0 {
		tb.Fatalf("%d restarts lost nothing: the place's Restart does not do what it should", restarts)
	}
	tb.Logf("in %d restarts %d spaces were damaged, %d fell back and %d lost nothing", restarts, l.damaged, l.behind, l.whole)
}

func manyRestarts() int {
	if short() {
		return 15
	}
	return 40
}

// checkWritesLost restarts the server under a store that is closed, or whose
// worker died: each space is found as it once was, at the position of that
// moment, or damaged, and can be rebuilt. Half of the histories drop a space
// before.
func checkWritesLost(tb TB, f StoreFactory) {
	needHook(tb, f, "Restart", func(p StorePlace) bool { return p.Restart != nil })
	var l loss
	for seed := range manyRestarts() {
		what := fmt.Sprintf("restart %d", seed)
		place := f.New(tb)
		s := mustOpen(tb, place)
		h := failingHistory()
		last := []int{30, firstDrop + 1}[seed/2%2]
		mustMake(tb, what, s, &h, 0, last)
		if seed%2 == 0 || !f.Has(Shared) {
			if err := s.Close(); err != nil {
				tb.Fatalf("%s: closing: %v", what, err)
			}
		}
		place.Restart(uint64(seed))
		rebuildAll(tb, what, place, mustOpen(tb, place), &h, historyGeneration+1, last, last, &l)
	}
	l.mustBeSome(tb, manyRestarts())
}

// checkWritesLostWhileOpen restarts the server under an open store: what is
// read is right or damaged, what is written is written or refused, and a drop
// heals.
func checkWritesLostWhileOpen(tb TB, f StoreFactory) {
	needHook(tb, f, "Restart", func(p StorePlace) bool { return p.Restart != nil })
	var l loss
	for seed := range manyRestarts() {
		what := fmt.Sprintf("restart %d", seed)
		place := f.New(tb)
		s := mustOpen(tb, place)
		h := failingHistory()
		const last = 20
		mustMake(tb, what, s, &h, 0, last)
		rs, ps, err := openHistory(s)
		if err != nil {
			tb.Fatalf("%s: opening: %v", what, err)
		}
		place.Restart(uint64(seed))
		for j, sp := range historySpaces() {
			d, err := h.at(last, sp).difference(rs[j], ps[j])
			if d != "" {
				tb.Fatalf("%s: an open reader of %s serves something else: %s", what, sp, d)
			}
			if err != nil {
				mustFail(tb, what+": reading", err, store.ErrCorrupt)
			}
		}
		if err := h.do(s, last+1); err != nil {
			mustFail(tb, what+": writing", err, store.ErrCorrupt)
		}
		rebuildAll(tb, what, place, s, &h, historyGeneration, last, last+1, &l)
	}
	l.mustBeSome(tb, manyRestarts())
}

// rebuildAll does what a worker does with what it finds: damaged spaces are
// dropped, and all are brought to a later step and go on from there. At least
// low and at most high steps were made.
func rebuildAll(tb TB, what string, place StorePlace, s store.Store, h *history, gen store.Generation, low, high int, l *loss) {
	tb.Helper()
	last := high + 4
	for _, sp := range historySpaces() {
		k, found := mustRebuild(tb, fmt.Sprintf("%s, %s", what, sp), s, h, sp, gen, high, last)
		switch {
		case !found:
			l.damaged++
		case k < low:
			l.behind++
		default:
			l.whole++
		}
	}
	mustBeAt(tb, what+", rebuilt", s, h, gen, last)
	if err := s.Close(); err != nil {
		tb.Fatalf("%s: closing: %v", what, err)
	}
	mustBeAt(tb, what+", rebuilt and opened again", mustOpen(tb, place), h, gen+1, last)
}

func mustBeAt(tb TB, what string, s store.Store, h *history, gen store.Generation, step int) {
	tb.Helper()
	for _, sp := range historySpaces() {
		r, pos, err := s.Open(sp, gen)
		if err != nil {
			tb.Fatalf("%s: opening %s: %v", what, sp, err)
		}
		h.at(step, sp).mustEqual(tb, fmt.Sprintf("%s, %s", what, sp), r, pos)
	}
}

// mustRebuild brings one space to a step. It returns how many it held, unless
// it was damaged.
func mustRebuild(tb TB, what string, s store.Store, h *history, sp store.Space, gen store.Generation, high, to int) (k int, found bool) {
	tb.Helper()
	k, found = mustFind(tb, what, s, h, sp, gen, high)
	for i := k + 1; i <= to; i++ {
		err := h.doFor(s, i, sp, gen)
		switch {
		case err == nil:
		case found && errors.Is(err, store.ErrCorrupt): // of an open space only writing may find out
			mustEmpty(tb, what, s, sp, gen)
			i, found = 0, false
		default:
			tb.Fatalf("%s: doing step %d again: %v", what, i, err)
		}
	}
	return k, found
}

// mustFind opens a space and returns the number of steps it holds, at most
// high: it is as it was after those, or damaged and dropped now, or there is
// nothing and no position.
func mustFind(tb TB, what string, s store.Store, h *history, sp store.Space, gen store.Generation, high int) (k int, found bool) {
	tb.Helper()
	r, pos, err := s.Open(sp, gen)
	if pos.Changelog > int64(high) {
		tb.Fatalf("%s: position %+v, after %d steps", what, pos, high)
	}
	if err == nil {
		want := &modelSpace{}
		if pos.Exists {
			want = h.at(int(pos.Changelog), sp)
		}
		var d string
		if d, err = want.difference(r, pos); d != "" {
			tb.Fatalf("%s: at its position the space was never like this: %s", what, d)
		}
	}
	if err == nil {
		return int(pos.Changelog), true
	}
	mustFail(tb, what+": opening and reading", err, store.ErrCorrupt)
	mustEmpty(tb, what, s, sp, gen)
	return 0, false
}

// mustEmpty drops a damaged space.
func mustEmpty(tb TB, what string, s store.Store, sp store.Space, gen store.Generation) {
	tb.Helper()
	if err := s.Drop(sp, gen); err != nil {
		tb.Fatalf("%s: dropping what is damaged: %v", what, err)
	}
	r, pos, err := s.Open(sp, gen)
	if err != nil {
		tb.Fatalf("%s: opening what was dropped: %v", what, err)
	}
	(&modelSpace{}).mustEqual(tb, what+", dropped", r, pos)
}

// checkDeletesBack deletes everything before the server restarts. Nothing of it
// is served, unless all of it is, at the position before.
func checkDeletesBack(tb TB, f StoreFactory) {
	needHook(tb, f, "Restart", func(p StorePlace) bool { return p.Restart != nil })
	noticed := 0
	for seed := range manyRestarts() {
		what := fmt.Sprintf("restart %d", seed)
		fx := newFixture(tb, f)
		fx.space(spaceA(), 1)
		for at := range int64(2) {
			fx.apply(func(b *store.Batch) {
				p := b.Part(spaceA(), 1)
				for _, key := range awkwardKeys() {
					if at == 0 {
						p.Put([]byte(key), []byte("value of "+key))
					} else {
						p.Delete([]byte(key))
					}
				}
				p.Position = store.Position{Changelog: at, Exists: true}
			})
		}
		if err := fx.store.Close(); err != nil {
			tb.Fatalf("%s: closing: %v", what, err)
		}
		fx.place.Restart(uint64(seed))
		fx.open()
		if err := deletesBack(tb, what, fx.store); err != nil {
			mustFail(tb, what+": opening and reading", err, store.ErrCorrupt)
			noticed++
		}
	}
	tb.Logf("%d of %d restarts were noticed", noticed, manyRestarts())
}

func deletesBack(tb TB, what string, s store.Store) error {
	tb.Helper()
	r, pos, err := s.Open(spaceA(), 2)
	if err != nil {
		return err
	}
	want := modelSpace{position: pos, entries: make(map[string]string)}
	if pos.Exists && pos.Changelog == 0 {
		for _, key := range awkwardKeys() {
			want.entries[key] = "value of " + key
		}
	}
	d, err := want.difference(r, pos)
	if d != "" {
		tb.Fatalf("%s: everything was deleted: %s", what, d)
	}
	return err
}
