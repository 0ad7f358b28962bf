package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/timeline"
	"github.com/weirstream/weir/tools/simtest"
)

// explain shows why a test failed: what was broken, the smallest case, its
// timeline, and how to replay it.
func (r *simRun) explain(t *simtest.Target, o *simtest.Outcome) error {
	r.explaining.Lock()
	defer r.explaining.Unlock()
	dir, err := r.keepIn(o)
	if err != nil {
		return err
	}
	small := o
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s fails with seed %d: %s\n", o.Test, o.Seed, o.Signature())
	if r.left > 0 && len(o.Reports) > 0 {
		r.left--
		var runs int
		small, runs = simtest.Shrink(r.ctx, t.Run, o, r.jobs)
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		describe(&b, o, small, runs)
	}
	if err := r.record(t, small, dir, &b, small != o); err != nil {
		return err
	}
	if small != o {
		fmt.Fprintf(&b, "replay the small case: %s\n", r.replay(t, &small.Case))
	}
	fmt.Fprintf(&b, "replay it: %s\n", r.replay(t, &o.Case))
	r.screen.printf("%s", strings.TrimSuffix(b.String(), "\n"))
	return nil
}

// keepIn makes the directory for what is kept of a failure.
func (r *simRun) keepIn(o *simtest.Outcome) (string, error) {
	dir, err := filepath.Abs(filepath.Join(r.dir, fmt.Sprintf("%d-%s", o.Seed, o.Test)))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// describe says what shrinking has left.
func describe(b *strings.Builder, o, small *simtest.Outcome, runs int) {
	was, is := first(o), first(small)
	fmt.Fprintf(b, "shrunk in %d runs from %d faults and %d records to %d faults and %d records, which still fail in that way:\n", runs, len(was.Plan), was.Sent, len(is.Plan), is.Sent)
	for i, f := range is.Plan {
		n := i
		if small.Keep != nil {
			n = small.Keep[i]
		}
		fmt.Fprintf(b, "  fault %d: %s\n", n, f)
	}
}

// first is the run of sim/cluster that broke something, or the first.
func first(o *simtest.Outcome) *simtest.Report {
	if r := o.Broken(); r != nil {
		return r
	}
	if len(o.Reports) > 0 {
		return &o.Reports[0]
	}
	return &simtest.Report{}
}

// record runs a failing case again, keeps what it leaves, and shows it.
func (r *simRun) record(t *simtest.Target, o *simtest.Outcome, dir string, b *strings.Builder, show bool) error {
	again, err := t.Recorded(r.ctx, o.Case, dir)
	if err != nil {
		return err
	}
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if again.Trace != o.Trace && !ended(o) {
		fmt.Fprintf(b, "NOT DETERMINISTIC: the same case has trace %s and then %s\n", o.Trace, again.Trace)
	}
	if err := os.WriteFile(filepath.Join(dir, "output"), again.Printed, 0o644); err != nil {
		return err
	}
	vs := first(again).Violations
	for _, v := range vs {
		fmt.Fprintf(b, "  BROKEN %s\n", v)
	}
	if again.Err != nil {
		fmt.Fprintf(b, "  %v\n", again.Err)
	}
	if len(vs) == 0 {
		b.Write(tail(again.Printed))
	}
	html, err := drawTimeline(dir, fmt.Sprintf("%s, seed %d", o.Test, o.Seed), vs, b, show)
	if err != nil {
		return err
	}
	if html != "" {
		fmt.Fprintf(b, "timeline: %s\n", html)
	}
	fmt.Fprintf(b, "output, trace and history: %s\n", dir)
	return nil
}

// tail is the end of what a test printed.
func tail(out []byte) []byte {
	const most = 100
	lines := bytes.SplitAfter(out, []byte("\n"))
	return bytes.Join(lines[max(len(lines)-most, 0):], nil)
}

// drawTimeline makes a page of the history in dir, when there is one, and
// returns its name. show prints the timeline as well.
func drawTimeline(dir, title string, vs []check.Violation, b io.Writer, show bool) (string, error) {
	in, err := os.Open(filepath.Join(dir, "history"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	h, err := check.Read(in)
	if err = errors.Join(err, in.Close()); err != nil {
		return "", fmt.Errorf("%s: %w", in.Name(), err)
	}
	tl := timeline.New(h, nil)
	if show {
		if err := tl.Text(b, width()); err != nil {
			return "", err
		}
	}
	tl.Violations = vs
	html := filepath.Join(dir, "timeline.html")
	return html, writeTo(html, func(w io.Writer) error { return tl.HTML(w, title) })
}

// replay is the command that runs a case again.
func (r *simRun) replay(t *simtest.Target, c *simtest.Case) string {
	s := fmt.Sprintf("weir sim replay %d %s --run '^%s$%s'", c.Seed, t.Path, regexp.QuoteMeta(c.Test), t.Sub())
	if c.Keep != nil {
		s += " --keep " + simtest.Numbers(c.Keep)
	}
	if c.Records > 0 {
		s += fmt.Sprintf(" --records %d", c.Records)
	}
	if c.Only != nil {
		s += " --only " + simtest.Numbers(c.Only)
	}
	if c.Order > 0 {
		s += fmt.Sprintf(" --order %d", c.Order)
	}
	if c.Checks > 0 {
		s += fmt.Sprintf(" --checks %d", c.Checks)
	}
	for _, kv := range r.env {
		s += fmt.Sprintf(" --env '%s'", kv)
	}
	return s
}

// replaySeed is what replay does with each package.
func (f *simFlags) replaySeed(r *simRun, t *simtest.Target) error {
	if f.traceFile != "" && len(t.Tests) > 1 {
		return fmt.Errorf("--trace is for one test, and there are %s: choose one with --run", strings.Join(t.Tests, ", "))
	}
	var os outcomes
	for _, test := range t.Tests {
		o, err := f.replayTest(r, t, test)
		if err != nil {
			return err
		}
		os = append(os, o)
	}
	r.tally.add(os)
	r.screen.printf("%s", os.line(f.first))
	return nil
}

func (f *simFlags) replayTest(r *simRun, t *simtest.Target, test string) (*simtest.Outcome, error) {
	c, err := f.caseOf(f.first, test)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "weir-sim-replay")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	c.Output = r.screen
	o, err := t.Recorded(r.ctx, c, tmp)
	if err = errors.Join(err, r.ctx.Err()); err != nil {
		return nil, err
	}
	if f.traceFile != "" {
		b, err := os.ReadFile(filepath.Join(tmp, "trace"))
		if err != nil {
			return nil, fmt.Errorf("--trace: %s writes no trace; tests with package sim/cluster do", test)
		}
		if err := os.WriteFile(f.traceFile, b, 0o644); err != nil {
			return nil, err
		}
	}
	if o.OK() {
		return o, nil
	}
	if o.Err != nil {
		r.screen.printf("%v", o.Err)
	}
	dir, err := r.keepIn(o)
	if err != nil {
		return nil, err
	}
	return o, f.keepReplay(r, o, tmp, dir)
}

// keepReplay keeps what a replay left.
func (f *simFlags) keepReplay(r *simRun, o *simtest.Outcome, from, dir string) error {
	for _, name := range []string{"trace", "history"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "output"), o.Printed, 0o644); err != nil {
		return err
	}
	html, err := drawTimeline(dir, fmt.Sprintf("%s, seed %d", o.Test, o.Seed), first(o).Violations, io.Discard, false)
	if err == nil && html != "" {
		r.screen.printf("timeline: %s", html)
	}
	r.screen.printf("output, trace and history: %s", dir)
	return err
}

// shrinkSeed is what shrink does with each package.
func (f *simFlags) shrinkSeed(r *simRun, t *simtest.Target) error {
	os, err := r.runSeed(t, f.first, nil)
	if err != nil {
		return err
	}
	if os.ok() {
		r.tally.add(os)
		r.screen.printf("%s", os.line(f.first))
		return fmt.Errorf("seed %d passes in %s: there is nothing to shrink", f.first, t.Path)
	}
	return r.done(t, f.first, os)
}

// difference shows where two runs of a seed part, with the settings that had
// made a difference.
func (r *simRun) difference(t *simtest.Target, seed uint64) error {
	for _, test := range t.Tests {
		var traces [2][]byte
		var sums [2]string
		for i := range traces {
			c, err := r.caseOf(seed, test)
			if err != nil {
				return err
			}
			if i == 1 {
				other(&c)
			}
			if traces[i], sums[i], err = traceOf(r.ctx, t, c); err != nil {
				return err
			}
		}
		switch n, a, b := parting(traces[0], traces[1]); {
		case sums[0] == sums[1]:
			r.screen.printf("seed %d: NOT DETERMINISTIC, but %s is alike in two more runs", seed, test)
		case n > 0:
			r.screen.printf("seed %d: NOT DETERMINISTIC, %s parts at event %d:\n  %s\n  %s", seed, test, n, a, b)
		default:
			r.screen.printf("seed %d: NOT DETERMINISTIC, %s has equal events; sleeps, yields or random numbers differ", seed, test)
		}
	}
	return nil
}

func traceOf(ctx context.Context, t *simtest.Target, c simtest.Case) (lines []byte, sum string, err error) {
	tmp, err := os.MkdirTemp("", "weir-sim-difference")
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	o, err := t.Recorded(ctx, c, tmp)
	if err != nil {
		return nil, "", err
	}
	if lines, err = os.ReadFile(filepath.Join(tmp, "trace")); errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return lines, o.Trace, err
}

// parting is the first line in which two traces differ, from 1, or 0.
func parting(a, b []byte) (n int, left, right string) {
	as, bs := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range max(len(as), len(bs)) {
		at := func(s []string) string {
			if i < len(s) {
				return s[i]
			}
			return "(nothing)"
		}
		if at(as) != at(bs) {
			return i + 1, at(as), at(bs)
		}
	}
	return 0, "", ""
}
