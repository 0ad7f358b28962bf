package main

import (
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/zoo"
	"github.com/weirstream/weir/tools/simhost"
	"github.com/weirstream/weir/tools/simtest"
)

// TestJudge: a hunt fails when a bug breaks what is not listed for it, or
// nothing that is.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ trips, breaks, want string }{
		{"S1 S6", "S6", ""},
		{"S1 S6", "S1 S2 S16 S6 S13", ""},
		{"S6", "S6 S4", "S4, which is not listed"},
		{"S1", "S2", "nothing that is listed"},
		{"S6", "", "breaks hang, and nothing that is listed"},
	} {
		o := &simtest.Outcome{Result: simhost.Result{ExitCode: 1}}
		var r simtest.Report
		for _, name := range strings.Fields(c.breaks) {
			r.Violations = append(r.Violations, check.Violation{Invariant: name})
		}
		if o.Reports = append(o.Reports, r); c.breaks == "" {
			o.Err = simhost.ErrDeadline
		}
		h := &hunter{m: zoo.Mutant{Trips: strings.Fields(c.trips)}}
		if got := h.judge(o); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s breaks %s: %q, want %q", c.trips, c.breaks, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if got := median([]int{9, 1, 5, 2, 7}); got != 5 {
		t.Errorf("median %d, want 5", got)
	}
	if got := median([]time.Duration{3}); got != 3 {
		t.Errorf("median %d, want 3", got)
	}
}

func TestZooList(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	cmd := newRoot()
	cmd.SetArgs([]string{"sim", "zoo", "--list"})
	cmd.SetOut(&out)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, m := range zoo.Mutants() {
		if !strings.Contains(out.String(), m.ID+" ") {
			t.Errorf("%s is not listed", m.ID)
		}
	}
	cmd = newRoot()
	cmd.SetArgs([]string{"sim", "zoo", "unicorn"})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "weir sim zoo --list") {
		t.Errorf("a mutant that is not there: %v", err)
	}
}

// TestParting: the first event in which two traces differ.
func TestParting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		n    int
		left string
	}{
		{"x\ny\n", "x\ny\n", 0, ""},
		{"x\ny\n", "x\nz\n", 2, "y"},
		{"x\n", "x\ny\n", 2, ""},
		{"x\ny", "x", 2, "y"},
	} {
		if n, left, _ := parting([]byte(c.a), []byte(c.b)); n != c.n || left != c.left {
			t.Errorf("%q and %q part at %d (%q), want %d (%q)", c.a, c.b, n, left, c.n, c.left)
		}
	}
}

// TestOverBudget: a hunt that outlived its budget counts as more than the budget.
func TestOverBudget(t *testing.T) {
	t.Parallel()
	h := &hunter{zooFlags: &zooFlags{budget: 200}, ctx: t.Context()}
	h.budget = 0
	if c := h.once(1); c.o != nil || c.seeds != 1 {
		t.Errorf("a hunt without a budget came to %+v", c)
	}
}
