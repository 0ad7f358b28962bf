package simtest

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/fault"
	"github.com/weirstream/weir/tools/simhost"
)

// fails is a program that breaks an invariant when all of some faults happen
// and there is enough input.
func fails(need []int, records int, other string) (Runner, *atomic.Int64) {
	var runs atomic.Int64
	return func(_ context.Context, c Case) *Outcome {
		runs.Add(1)
		kept := c.Keep
		if kept == nil {
			kept = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
		}
		n := c.Records
		if n == 0 {
			n = 600
		}
		size := n
		if c.Only != nil {
			n = len(c.Only)
		}
		o := &Outcome{Case: c, Reports: []Report{{Plan: make(fault.Plan, len(kept)), Sent: n, Records: size}}}
		has := func(k int) bool { return slices.Contains(kept, k) }
		name := ""
		switch {
		case n >= records && !slices.ContainsFunc(need, func(k int) bool { return !has(k) }):
			name = "S4"
		case other != "" && len(kept) > 0:
			name = other
		}
		if name != "" {
			o.Result = simhost.Result{ExitCode: 1}
			o.Reports[0].Violations = []check.Violation{{Invariant: name}}
		}
		return o
	}, &runs
}

func TestShrink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		need    []int
		records int
		other   string
	}{
		"none":            {nil, 1, ""},
		"one":             {[]int{4}, 40, ""},
		"three":           {[]int{0, 5, 9}, 1, ""},
		"all input":       {[]int{2}, 600, ""},
		"another failure": {[]int{3, 7}, 30, "S1"}, // must not be mistaken for it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, jobs := range []int{1, 4} {
				run, runs := fails(c.need, c.records, c.other)
				small, n := Shrink(t.Context(), run, run(t.Context(), Case{Seed: 7, Test: "TestX"}), jobs)
				if !slices.Equal(small.Keep, c.need) && len(small.Keep)+len(c.need) > 0 {
					t.Errorf("%d jobs: kept %v, want %v", jobs, small.Keep, c.need)
				}
				got := small.Records
				if got == 0 {
					got = 600
				}
				if got < c.records || got > 2*c.records+8 {
					t.Errorf("%d jobs: %d records, want about %d", jobs, got, c.records)
				}
				if len(small.Only) > got {
					t.Errorf("%d jobs: %d of %d records", jobs, len(small.Only), got)
				}
				if small.Signature() != "S4" || small.Seed != 7 || small.Test != "TestX" {
					t.Errorf("%d jobs: %+v", jobs, small)
				}
				if int64(n) != runs.Load()-1 || n > 120+mostInputs {
					t.Errorf("%d jobs: %d runs reported, %d made", jobs, n, runs.Load()-1)
				}
			}
		})
	}
}

// TestShrinkInputs: of the workload what is needed stays, wherever it is.
func TestShrinkInputs(t *testing.T) {
	t.Parallel()
	const size = 64
	run := func(_ context.Context, c Case) *Outcome {
		n := c.Records
		if n == 0 {
			n = size
		}
		sent := func(i int) bool { return i < n && (c.Only == nil || slices.Contains(c.Only, i)) }
		o := &Outcome{Case: c, Reports: []Report{{Records: n, Sent: n}}}
		if sent(3) && sent(41) {
			o.Result = simhost.Result{ExitCode: 1}
			o.Reports[0].Violations = []check.Violation{{Invariant: "S1"}}
		}
		return o
	}
	for _, jobs := range []int{1, 4} {
		small, n := Shrink(t.Context(), run, run(t.Context(), Case{}), jobs)
		if !slices.Contains(small.Only, 3) || !slices.Contains(small.Only, 41) || len(small.Only) > 4 || small.Records > 49 || n > mostInputs+20 {
			t.Errorf("%d jobs, %d runs: %v of %d records", jobs, n, small.Only, small.Records)
		}
	}
	c := Case{Records: 44, Only: []int{3, 41}}
	if want := []string{"WEIR_SIM_RECORDS=44", "WEIR_SIM_ONLY=3,41"}; !slices.Equal(c.environment(), want) {
		t.Errorf("environment %v, want %v", c.environment(), want)
	}
}

// TestShrinkOrders: what fails in some orders only is shrunk all the same.
func TestShrinkOrders(t *testing.T) {
	t.Parallel()
	const size = 64
	run := func(_ context.Context, c Case) *Outcome {
		n := size
		if c.Records > 0 {
			n = c.Records
		}
		if c.Only != nil {
			n = len(c.Only)
		}
		o := &Outcome{Case: c, Reports: []Report{{Records: size, Sent: n}}}
		if n == size || n >= 8 && int(c.Order)%mostOrders == n%mostOrders {
			o.Result = simhost.Result{ExitCode: 1}
			o.Reports[0].Violations = []check.Violation{{Invariant: "S1"}, {Invariant: "S2"}}[n%2:]
		}
		return o
	}
	var first *Outcome
	for _, jobs := range []int{1, 4} {
		small, _ := Shrink(t.Context(), run, run(t.Context(), Case{}), jobs)
		if first == nil {
			first = small
		}
		if small.Reports[0].Sent > 12 || small.Order != first.Order || !slices.Equal(small.Only, first.Only) {
			t.Errorf("%d jobs: %d records in order %d: %v", jobs, small.Reports[0].Sent, small.Order, small.Only)
		}
	}
}

// TestShrinkNothing: what did not run in sim/cluster stays as it is.
func TestShrinkNothing(t *testing.T) {
	t.Parallel()
	o := &Outcome{Result: simhost.Result{ExitCode: 1}, Printed: []byte("--- FAIL: TestX (0.00s)\n")}
	if small, n := Shrink(t.Context(), nil, o, 1); small != o || n != 0 {
		t.Errorf("%+v after %d runs", small, n)
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	broken := []Report{{}, {Violations: []check.Violation{{Invariant: "S6"}, {Invariant: "S1"}, {Invariant: "S6"}}}}
	for want, o := range map[string]*Outcome{
		"":             {},
		"hang":         {Err: simhost.ErrDeadline, Reports: broken},
		"S6":           {Result: simhost.Result{ExitCode: 1}, Reports: broken},
		"panic":        {Result: simhost.Result{ExitCode: 2}, Printed: []byte("x\npanic: y\n--- FAIL: TestX (0.00s)\n")},
		"test TestX":   {Result: simhost.Result{ExitCode: 1}, Printed: []byte("--- FAIL: TestX (0.00s)\n")},
		"test TestX/b": {Result: simhost.Result{ExitCode: 1}, Printed: []byte("--- FAIL: TestX (0.00s)\n    --- FAIL: TestX/b (0.00s)\n")},
		"exit code 9":  {Result: simhost.Result{ExitCode: 9}},
	} {
		if got := o.Signature(); got != want {
			t.Errorf("signature %q, want %q", got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("WEIR_SIM_LOG", "debug")
	t.Setenv("SECRET", "x")
	got := Environment("MORE=1", "GOGC=50")
	if want := []string{"GOGC=50", "MORE=1", "WEIR_SIM_LOG=debug"}; !slices.Equal(got, want) {
		t.Errorf("environment %q, want %q", got, want)
	}
}
