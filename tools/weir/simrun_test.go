package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/sim/fault"
	"github.com/weirstream/weir/tools/simhost"
	"github.com/weirstream/weir/tools/simtest"
)

func passed() *simtest.Outcome {
	return &simtest.Outcome{
		Case:   simtest.Case{Seed: 7, Test: "TestX"},
		Result: simhost.Result{Trace: strings.Repeat("ab", 32), Virtual: 1_500_400_000, Events: 9, Lines: 3},
		Reports: []simtest.Report{{
			Kinds: []fault.Kind{fault.Crash, fault.Pause}, Injected: map[fault.Kind]int{fault.Crash: 2},
			AllPoints: []string{"here", "there"}, Points: map[string]int{"there": 5},
		}},
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	failed := passed()
	failed.ExitCode = 1
	for want, os := range map[string]outcomes{
		"seed=7 trace=" + strings.Repeat("ab", 32) + " virtual=1.5s events=3 faults=2 ok":     {passed()},
		"seed=7 trace=" + strings.Repeat("ab", 32) + " virtual=1.5s events=3 faults=2 FAILED": {failed},
	} {
		if got := os.line(7); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	two := outcomes{passed(), failed}
	if got := two.line(7); !strings.HasSuffix(got, " virtual=3.001s events=6 faults=4 FAILED") || two.trace() == passed().Trace || len(two.trace()) != 64 {
		t.Errorf("two tests: %q", got)
	}
}

// TestSummary: it names what failed and what was never reached.
func TestSummary(t *testing.T) {
	t.Parallel()
	failed := passed()
	failed.Err = simhost.ErrDeadline
	tl := newTally()
	tl.add(outcomes{passed()})
	tl.add(outcomes{failed})
	tl.spent(time.Second)
	var out bytes.Buffer
	tl.print(newScreen(&out), time.Minute)
	const want = `2 seeds, 1 failed; 2 runs, 3.001s of virtual time in 1m0s, 6 events
3.0 virtual seconds a second of one core
failed: TestX hang, 1 times
faults injected: F6-crash=4
kinds of faults never injected: F3-pause
crash points reached: there=10
crash points never reached: here
`
	if out.String() != want {
		t.Errorf("summary:\n%swant:\n%s", out.String(), want)
	}
}

// TestEach: seeds follow each other, on any number of jobs, until it is time
// to stop or one cannot be run.
func TestEach(t *testing.T) {
	t.Parallel()
	for _, jobs := range []int{1, 3} {
		r := &simRun{simFlags: &simFlags{first: 10}, ctx: context.Background()}
		var mu sync.Mutex
		var seen []uint64
		see := func(seed uint64) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, seed)
			return nil
		}
		if err := r.each(jobs, 4, func() bool { return false }, see); err != nil {
			t.Fatal(err)
		}
		slices.Sort(seen)
		if !slices.Equal(seen, []uint64{10, 11, 12, 13}) {
			t.Errorf("%d jobs ran %v", jobs, seen)
		}
		if err := r.each(jobs, 4, func() bool { return true }, func(uint64) error { return errors.ErrUnsupported }); err != nil {
			t.Errorf("a seed was run after the end: %v", err)
		}
		if err := r.each(jobs, 1000, func() bool { return false }, func(uint64) error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("error %v", err)
		}
	}
}

// TestCaseOf: flags that make no sense are refused.
func TestCaseOf(t *testing.T) {
	t.Parallel()
	for _, f := range []simFlags{{keep: "1,x"}, {keep: "-1"}, {env: []string{"NAME"}}, {until: -1}} {
		if _, err := f.caseOf(1, "TestX"); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
	f := simFlags{keep: "none", from: 20, until: 30}
	c, err := f.caseOf(1, "TestX")
	if err != nil || c.Keep == nil || len(c.Keep) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	slices.Sort(c.Env)
	if want := []string{"WEIR_SIM_LOG=debug", "WEIR_SIM_LOG_FROM=20", "WEIR_SIM_UNTIL=30"}; !slices.Equal(c.Env, want) {
		t.Errorf("environment %q, want %q", c.Env, want)
	}
}

// TestInterrupted: hours of seeds are not lost with Ctrl-C.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var out strings.Builder
	r := &simRun{ctx: ctx, screen: newScreen(&out), tally: newTally(), began: time.Now()}
	boom := errors.New("boom")
	r.tally.add(outcomes{{}})
	if err := r.interrupted(boom); err != boom || out.Len() > 0 { //nolint:errorlint // the same
		t.Fatalf("an error came to %v and %q", err, out.String())
	}
	cancel()
	if err := r.interrupted(ctx.Err()); !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), "1 seeds, 0 failed") {
		t.Fatalf("an interrupt came to %v and %q", err, out.String())
	}
}
