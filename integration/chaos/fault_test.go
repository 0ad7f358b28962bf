package chaos

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDeckDealsEachKind sees that a short run knows all faults, and that
// isolating the only broker is none.
func TestDeckDealsEachKind(t *testing.T) {
	t.Parallel()
	for brokers, want := range map[int]int{0: 1, 1: 4, 3: 5} {
		orders := make(map[Kind]bool) // what came first
		for seed := range uint64(50) {
			kinds := Kinds(brokers)
			d := newDeck(rand.New(rand.NewPCG(seed, 1)), kinds)
			f := make(Faults)
			for i := range want {
				k := d.deal()
				f[k]++
				orders[k] = orders[k] || i == 0
			}
			if missing := f.Missing(kinds); len(missing) > 0 || len(f) != want {
				t.Fatalf("%d brokers, seed %d: %v, without %v", brokers, seed, f, missing)
			}
			for range 100 {
				if k := d.deal(); !slices.Contains(kinds, k) {
					t.Fatalf("%d brokers, seed %d: %s is dealt", brokers, seed, k)
				}
			}
		}
		for _, k := range Kinds(brokers) {
			if !orders[k] {
				t.Errorf("%d brokers: %s is never the first", brokers, k)
			}
		}
	}
}

// TestResultSaysWhatIsWrong sees each reason not to trust a run.
func TestResultSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := func() *Result {
		return &Result{Records: 1, Faults: Faults{KillWorker: 1, KillBroker: 1, StopBroker: 1, CutBroker: 1, IsolateBroker: 1}}
	}
	if wrong := good().Wrong(Kinds(3)); len(wrong) > 0 {
		t.Fatalf("a good run: %q", wrong)
	}
	for name, spoil := range map[string]func(*Result){
		"1 workers ended by themselves, which none should":     func(r *Result) { r.Ended = 1 },
		"nothing was checked: no record of the input was sent": func(r *Result) { r.Records = 0 },
		"a kind of fault never happened: isolations=0":         func(r *Result) { delete(r.Faults, IsolateBroker) },
		"a kind of fault never happened: kills=0":              func(r *Result) { r.Faults[KillWorker] = 0 },
	} {
		r := good()
		spoil(r)
		if wrong := r.Wrong(Kinds(3)); !slices.Equal(wrong, []string{name}) {
			t.Errorf("%q, not %q", wrong, name)
		}
	}
	if wrong := (&Result{Records: 1}).Wrong(nil); len(wrong) > 0 {
		t.Errorf("a short run has no need of faults: %q", wrong)
	}
}
