package conformance

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/core/store"
)

func crashChecks() []StoreCheck {
	return []StoreCheck{
		{Name: "crash/power-loss", Needs: []Capability{SurvivesPowerLoss}, Run: checkPowerLoss},
		{Name: "crash/failing-disk", Needs: []Capability{ReportsFailingDisk}, Run: checkFailingDisk},
		{Name: "crash/full-disk", Needs: []Capability{ReportsFullDisk}, Run: checkFullDisk},
		{Name: "crash/damage", Needs: []Capability{DetectsDamage}, Run: checkDamage},
		{Name: "crash/damaged-entries", Needs: []Capability{HealsDamage}, Run: checkDamagedEntries},
		{Name: "crash/kill", Needs: []Capability{SurvivesKill}, Run: checkKill},
	}
}

// short reports whether -short is set; outside of tests it is not.
func short() bool { return testing.Testing() && testing.Short() }

// A crashed is a place as a power loss left it.
type crashed struct {
	place   StorePlace
	durable int // steps that were flushed before
	started int // steps that had begun
}

// checkPowerLoss makes a history, cuts the power at many of its disk writes,
// and opens what each cut left: it must be the state after some prefix of the
// steps, one that includes all that was flushed, data and positions alike.
func checkPowerLoss(tb TB, f StoreFactory) {
	needHook(tb, f, "OnWrite and Crash", func(p StorePlace) bool { return p.OnWrite != nil && p.Crash != nil })
	steps, cuts := 400, 120
	if short() {
		steps, cuts = 120, 40
	}
	place := f.New(tb)
	var writes atomic.Int64
	place.OnWrite(func() { writes.Add(1) })
	runHistory(tb, place, steps, nil) // a rehearsal, to spread the cuts evenly
	every := max(int(writes.Load())/cuts, 1)

	place = f.New(tb)
	var mu sync.Mutex
	var left []crashed
	var durable, started atomic.Int64
	n := 0
	place.OnWrite(func() {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%every != 0 || len(left) >= 2*cuts {
			return
		}
		c := crashed{durable: int(durable.Load())}
		c.place = place.Crash(uint64(n))
		c.started = int(started.Load())
		left = append(left, c)
	})
	runHistory(tb, place, steps, func(begun, flushed int) {
		started.Store(int64(begun))
		durable.Store(int64(flushed))
	})
	place.OnWrite(nil)
	if len(left) < cuts/2 {
		tb.Fatalf("only %d power cuts happened, want about %d: the place does not report its writes", len(left), cuts)
	}
	kept := 0
	for i, c := range left {
		k := checkCrashed(tb, i, c)
		if k < c.started-1 {
			kept++
		}
	}
	tb.Logf("%d power cuts in %d steps; %d lost something that was not flushed", len(left), steps, kept)
}

func needHook(tb TB, f StoreFactory, names string, has func(StorePlace) bool) {
	tb.Helper()
	if !has(f.New(tb)) {
		tb.Fatalf("%s declares a capability whose place needs %s", f.Name, names)
	}
}

// runHistory makes steps, flushing at times, and closes the store.
func runHistory(tb TB, place StorePlace, steps int, progress func(begun, flushed int)) {
	tb.Helper()
	if progress == nil {
		progress = func(int, int) {}
	}
	s := mustOpen(tb, place)
	if _, _, err := openHistory(s); err != nil {
		tb.Fatalf("opening: %v", err)
	}
	h := history{valueBytes: 3000}
	flushed := 0
	for i := 1; i <= steps; i++ {
		progress(i, flushed)
		if err := h.do(s, i); err != nil {
			tb.Fatalf("step %d: %v", i, err)
		}
		if i%11 == 0 {
			if err := s.Flush(); err != nil {
				tb.Fatalf("flushing after step %d: %v", i, err)
			}
			flushed = i
			progress(i, flushed)
		}
	}
	if err := s.Close(); err != nil {
		tb.Fatalf("closing: %v", err)
	}
}

// checkCrashed opens what a crash left, compares, and goes on writing.
func checkCrashed(tb TB, i int, c crashed) int {
	tb.Helper()
	s := mustOpen(tb, c.place)
	h := history{valueBytes: 3000}
	k, err := h.prefix(s, c.durable, c.started)
	if err != nil {
		tb.Fatalf("power cut %d, with %d steps flushed and %d begun: %v", i, c.durable, c.started, err)
	}
	m := make(model)
	for step := 1; step <= k+3; step++ {
		h.redo(m, step)
		if step <= k {
			continue
		}
		if err := h.do(s, step); err != nil {
			tb.Fatalf("power cut %d: writing on: %v", i, err)
		}
	}
	rs, ps, err := openHistory(s)
	if err != nil {
		tb.Fatalf("power cut %d: %v", i, err)
	}
	for j, sp := range historySpaces() {
		m.at(sp).mustEqual(tb, fmt.Sprintf("power cut %d, %s after writing on", i, sp), rs[j], ps[j])
	}
	if err := s.Close(); err != nil {
		tb.Fatalf("power cut %d: closing: %v", i, err)
	}
	return k
}

// checkFailingDisk makes the disk fail at its first, second, ... write: from
// then on calls fail or succeed, but none lies. When the disk is well again,
// everything that was reported as applied is there.
func checkFailingDisk(tb TB, f StoreFactory) {
	needHook(tb, f, "OnWrite and Fail", func(p StorePlace) bool { return p.OnWrite != nil && p.Fail != nil })
	reported, runs := 0, 0
	for at := 1; ; at += 1 + at/25 {
		reached, said := failAt(tb, f, at)
		if !reached {
			break
		}
		runs++
		if said {
			reported++
		}
	}
	if reported == 0 {
		tb.Fatalf("the disk failed at each of %d writes and no call ever said so", runs)
	}
	tb.Logf("the disk failed at %d writes; calls said so in %d of them", runs, reported)
}

// failingHistory is large enough for logs and tables to be changed, and small
// enough that no store must wait for a disk that will not come back.
func failingHistory() history { return history{valueBytes: 700} }

func failAt(tb TB, f StoreFactory, at int) (reached, reported bool) {
	tb.Helper()
	broken := errors.New("the disk is broken")
	place := f.New(tb)
	var n atomic.Int64
	place.OnWrite(func() {
		if n.Add(1) == int64(at) {
			place.Fail(broken)
		}
	})
	acked, started := 0, 0
	s, err := place.openHasty()
	if err == nil {
		acked, started, reported = writeUntilFailure(s)
		if err := s.Close(); err != nil {
			reported = true
		}
	} else {
		reported = true
	}
	place.OnWrite(nil)
	place.Fail(nil)
	s = mustOpen(tb, place)
	defer func() { _ = s.Close() }()
	h := failingHistory()
	if _, err := h.prefix(s, acked, started); err != nil {
		tb.Fatalf("the disk failed at write %d, after %d of %d steps: %v", at, acked, started, err)
	}
	return n.Load() >= int64(at), reported
}

// writeUntilFailure returns how many steps were reported as done, and how
// many had begun.
func writeUntilFailure(s store.Store) (acked, started int, failed bool) {
	if _, _, err := openHistory(s); err != nil {
		return 0, 0, true
	}
	h := failingHistory()
	for i := 1; i <= 60; i++ {
		started = i
		if h.do(s, i) != nil {
			return acked, started, true
		}
		acked = i
		if i%5 == 0 && s.Flush() != nil {
			return acked, started, true
		}
	}
	return acked, started, false
}
