package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A tally sums up all runs.
type tally struct {
	mu      sync.Mutex
	seeds   int // over all packages
	runs    int // of single tests
	failed  int // seeds
	other   int // seeds that went differently the second time
	virtual time.Duration
	cpu     time.Duration // of the cores, for all runs
	events  int64
	faults  map[string]int
	points  map[string]int
	broken  map[string]int // by signature
}

func newTally() *tally {
	return &tally{faults: make(map[string]int), points: make(map[string]int), broken: make(map[string]int)}
}

func (t *tally) add(os outcomes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seeds++
	if !os.ok() {
		t.failed++
	}
	for _, o := range os {
		t.runs++
		t.virtual += o.Virtual
		t.events += o.Size()
		if s := o.Signature(); s != "" && !ended(o) {
			t.broken[o.Test+" "+s]++
		}
		for _, r := range o.Reports {
			for _, k := range r.Kinds {
				t.faults[string(k)] += r.Injected[k]
			}
			for _, p := range r.AllPoints {
				t.points[p] += r.Points[p]
			}
		}
	}
}

// spent counts what the cores worked.
func (t *tally) spent(cpu time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cpu += cpu
}

// differs counts a seed that is not deterministic, which is a failure.
func (t *tally) differs() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.other++
	t.failed++
}

// progress says how far a package is.
func (t *tally) progress(seeds int, budget, took time.Duration) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := fmt.Sprintf("%d seeds", t.seeds)
	var left time.Duration
	switch {
	case budget > 0:
		left = budget - took
	case t.seeds > 0:
		s = fmt.Sprintf("%d of %d seeds", t.seeds, seeds)
		left = took / time.Duration(t.seeds) * time.Duration(max(seeds-t.seeds, 0))
	}
	return fmt.Sprintf("%s, %d failed, %s of virtual time in %s, about %s left", s, t.failed, t.virtual.Round(time.Second), took.Round(time.Second), max(left, 0).Round(time.Second))
}

// print prints the summary.
func (t *tally) print(s *screen, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.printf("%d seeds, %d failed; %d runs, %s of virtual time in %s, %d events", t.seeds, t.failed, t.runs, t.virtual.Round(time.Millisecond), took.Round(time.Millisecond), t.events)
	if t.cpu > 0 {
		s.printf("%.1f virtual seconds a second of one core", t.virtual.Seconds()/t.cpu.Seconds())
	}
	if t.other > 0 {
		s.printf("NOT DETERMINISTIC: %d seeds went differently the second time", t.other)
	}
	for _, k := range slices.Sorted(maps.Keys(t.broken)) {
		s.printf("failed: %s, %d times", k, t.broken[k])
	}
	reached(s, "faults injected", "kinds of faults never injected", t.faults)
	reached(s, "crash points reached", "crash points never reached", t.points)
}

// reached prints what was reached how often, and what was not.
func reached(s *screen, yes, no string, counts map[string]int) {
	var some, none []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[k]; n > 0 {
			some = append(some, fmt.Sprintf("%s=%d", k, n))
		} else {
			none = append(none, k)
		}
	}
	if len(some) > 0 {
		s.printf("%s: %s", yes, strings.Join(some, " "))
	}
	if len(none) > 0 {
		s.printf("%s: %s", no, strings.Join(none, " "))
	}
}
