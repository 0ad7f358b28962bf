package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/weirstream/weir/sim/zoo"
	"github.com/weirstream/weir/tools/simtest"
)

// zooFlags are the flags of zoo.
type zooFlags struct {
	pkg, match    string
	hunts, budget int
	jobs          int
	first         uint64
	control, list bool
	shrink        bool
	wall          time.Duration
}

func newSimZoo() *cobra.Command {
	f := &zooFlags{}
	cmd := &cobra.Command{
		Use:   "zoo [MUTANT…]",
		Short: "Hunt the known bugs of package sim/zoo in weir itself",
		Long: `Build weir once with all known bugs of package sim/zoo in it, each behind a
switch, and hunt for each: run fresh seeds with the bug on until one fails. A
line says how many seeds and seconds the hunts took, the median first, what was
broken, and to what a finding shrinks: the first, or the next if that stays too
large. It fails when most hunts for a bug outlive their budget, when a bug breaks
what is not listed for it, or when no finding shrinks to 50 faults and records.

It runs in weir's own repository.`,
		RunE: f.run,
	}
	fs := cmd.Flags()
	fs.StringVar(&f.pkg, "package", "./sim/cluster/torture", "the package with the test to hunt with")
	fs.StringVar(&f.match, "run", "^TestExactlyOnce$", "the test to hunt with")
	fs.IntVar(&f.hunts, "hunts", 5, "how many independent hunts there are for each bug")
	fs.IntVar(&f.budget, "budget", 200, "how many seeds a hunt may take")
	fs.IntVar(&f.jobs, "jobs", runtime.NumCPU(), "how many runs to make at once")
	fs.Uint64Var(&f.first, "seed", 1, "the first seed")
	fs.BoolVar(&f.control, "control", false, "run each finding again with one checker off, for each that found it: it must be missed if no other did")
	fs.BoolVar(&f.shrink, "shrink", true, "shrink a finding of each bug")
	fs.BoolVar(&f.list, "list", false, "list the bugs and stop")
	fs.DurationVar(&f.wall, "wall", 5*time.Minute, "real time after which a run counts as hung")
	return cmd
}

func (f *zooFlags) run(cmd *cobra.Command, args []string) error {
	mutants, err := chosen(args)
	if err != nil {
		return err
	}
	out := newScreen(cmd.OutOrStdout())
	defer out.close()
	if f.list {
		for _, m := range mutants {
			out.printf("%-28s must trip %s: %s", m.ID, strings.Join(m.Trips, " "), m.Bug)
		}
		for _, a := range zoo.Missing() {
			out.printf("%-28s is not there: %s", a.ID, a.Reason)
		}
		return nil
	}
	out.set(func() string { return "compiling" })
	t, err := f.load(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { _ = t.Close(context.Background()) }()
	failed := 0
	for _, m := range mutants {
		h := &hunter{zooFlags: f, ctx: cmd.Context(), t: t, m: m}
		out.set(func() string { return h.progress() })
		why, err := h.hunt(out)
		if err != nil {
			return err
		}
		if why != "" {
			out.printf("FAILED %s: %s", m.ID, why)
			failed++
		}
	}
	out.close()
	out.printf("%d bugs hunted, %d failed", len(mutants), failed)
	if failed > 0 {
		return exitError(1)
	}
	return nil
}

func chosen(ids []string) ([]zoo.Mutant, error) {
	if len(ids) == 0 {
		return zoo.Mutants(), nil
	}
	var ms []zoo.Mutant
	for _, id := range ids {
		m, err := zoo.Find(id)
		if err != nil {
			return nil, fmt.Errorf("%w: weir sim zoo --list has them all", err)
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// load builds the package with all mutants.
func (f *zooFlags) load(ctx context.Context) (*simtest.Target, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/weirstream/weir").Output()
	if err != nil {
		return nil, fmt.Errorf("the zoo is for weir itself, and weir's sources are not found from here: %w", err)
	}
	dir, err := os.MkdirTemp("", "weir-zoo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	replace, err := zoo.Overlay(strings.TrimSpace(string(root)), dir, zoo.Mutants())
	if err != nil {
		return nil, err
	}
	pkgs, err := simtest.Packages(ctx, []string{f.pkg}, os.Stderr)
	if err != nil {
		return nil, err
	}
	t, err := simtest.Load(ctx, pkgs[0], simtest.Options{Match: f.match, Cache: cacheDir(), Replace: replace, Stderr: os.Stderr})
	if err != nil {
		return nil, err
	}
	if len(t.Tests) == 0 {
		return nil, errors.Join(fmt.Errorf("%s has no test %q", f.pkg, f.match), t.Close(ctx))
	}
	return t, nil
}

// A hunter looks for one mutant.
type hunter struct {
	*zooFlags

	ctx context.Context
	t   *simtest.Target
	m   zoo.Mutant

	mu    sync.Mutex
	hunts int
	seeds int
}

func (h *hunter) progress() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf("%s: hunt %d of %d, seed %d of %d", h.m.ID, h.hunts, h.zooFlags.hunts, h.seeds, h.budget)
}

// A catch is what a hunt came to. One that outlived its budget has no outcome,
// and counts as one seed more than that.
type catch struct {
	o     *simtest.Outcome
	seeds int
	took  time.Duration
}

// hunt hunts for the mutant and prints what it took. It returns why the mutant
// is not as it should be.
func (h *hunter) hunt(out *screen) (why string, err error) {
	var catches, found []catch // found are those that did
	for i := range h.zooFlags.hunts {
		h.mu.Lock()
		h.hunts, h.seeds = i+1, 0
		h.mu.Unlock()
		c := h.once(h.first + uint64(i*h.budget))
		if h.ctx.Err() != nil {
			return "", h.ctx.Err()
		}
		catches = append(catches, c)
		if c.o != nil {
			found = append(found, c)
		}
		if missed := len(catches) - len(found); missed > h.zooFlags.hunts/2 {
			return fmt.Sprintf("%d of %d hunts did not find it in %d seeds", missed, len(catches), h.budget), nil
		}
	}
	small, runs := found[0].o, 0
	if h.shrink {
		small, runs = h.shrunk(found)
	}
	if h.ctx.Err() != nil {
		return "", h.ctx.Err()
	}
	h.print(out, catches, small, runs)
	for _, c := range found {
		if why := h.judge(c.o); why != "" {
			return why, nil
		}
	}
	if n := size(small); h.shrink && n > mostShrunk {
		return fmt.Sprintf("seed %d does not shrink below %d faults and records, want %d", small.Seed, n, mostShrunk), nil
	}
	if h.control {
		return h.without(out, found[0].o)
	}
	return "", nil
}

// shrunk is the first finding that shrinks far enough, or the smallest, and how
// many runs it took.
func (h *hunter) shrunk(found []catch) (smallest *simtest.Outcome, runs int) {
	for _, c := range found {
		o, n := simtest.Shrink(h.ctx, h.t.Run, c.o, h.jobs)
		runs += n
		if smallest == nil || size(o) < size(smallest) {
			smallest = o
		}
		if size(smallest) <= mostShrunk || h.ctx.Err() != nil {
			break
		}
	}
	return smallest, runs
}

// mostShrunk is how large a shrunk case may be.
const mostShrunk = 50

// size is how many faults and records a case has.
func size(o *simtest.Outcome) int {
	r := first(o)
	return len(r.Plan) + r.Sent
}

// once is one hunt.
func (h *hunter) once(first uint64) catch {
	began := time.Now()
	for at := 0; at < h.budget && h.ctx.Err() == nil; at += h.jobs {
		n := min(h.jobs, h.budget-at)
		outcomes := make([]*simtest.Outcome, n)
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() { outcomes[i] = h.t.Run(h.ctx, h.with(first+uint64(at+i))) })
		}
		group.Wait()
		for i, o := range outcomes {
			if !o.OK() && h.ctx.Err() == nil {
				return catch{o, at + i + 1, time.Since(began)}
			}
		}
		h.mu.Lock()
		h.seeds = at + n
		h.mu.Unlock()
	}
	return catch{seeds: h.budget + 1, took: time.Since(began)}
}

// with is the case of a seed with the mutant on.
func (h *hunter) with(seed uint64) simtest.Case {
	return simtest.Case{Seed: seed, Test: h.t.Tests[0], Env: []string{zoo.Switch + "=" + h.m.ID}, Wall: h.wall}
}

// broken is what an outcome broke: invariants, or how else it failed.
func broken(o *simtest.Outcome) []string {
	if names := o.Invariants(); len(names) > 0 {
		return names
	}
	return []string{o.Signature()}
}

// judge says what is wrong with a finding.
func (h *hunter) judge(o *simtest.Outcome) string {
	names := broken(o)
	if !slices.ContainsFunc(names, func(s string) bool { return slices.Contains(h.m.Trips, s) }) {
		return fmt.Sprintf("seed %d breaks %s, and nothing that is listed for it (%s)", o.Seed, strings.Join(names, " "), strings.Join(h.m.Trips, " "))
	}
	for _, name := range names {
		if !h.m.Allows(name) {
			return fmt.Sprintf("seed %d breaks %s, which is not listed for it (%s)", o.Seed, name, strings.Join(h.m.Trips, " "))
		}
	}
	return ""
}

func (h *hunter) print(out *screen, catches []catch, small *simtest.Outcome, runs int) {
	var seeds []int
	var took []time.Duration
	tripped := make(map[string]int)
	for _, c := range catches {
		seeds, took = append(seeds, c.seeds), append(took, c.took)
		if c.o == nil {
			continue
		}
		for _, name := range broken(c.o) {
			tripped[name]++
		}
	}
	var names []string
	for _, name := range append(slices.Clone(h.m.Trips), broken(small)...) {
		if tripped[name] > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	r := first(small)
	out.printf("%-28s %3d seeds %v, %.1f s, trips %s; seed %d has %d faults and %d records after %d runs of shrinking", h.m.ID,
		median(seeds), seeds, median(took).Seconds(), strings.Join(names, " "), small.Seed, len(r.Plan), r.Sent, runs)
}

func median[T int | time.Duration](values []T) T {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}

// without runs a finding again, each time without one of the checkers that
// found it: the finding must be missed if that was the only one, and must be
// found by the others if not.
func (h *hunter) without(out *screen, o *simtest.Outcome) (why string, err error) {
	names := o.Invariants()
	for _, name := range names {
		c := h.with(o.Seed)
		c.Env = append(c.Env, "WEIR_SIM_WITHOUT="+name)
		got := h.t.Run(h.ctx, c)
		if h.ctx.Err() != nil {
			return "", h.ctx.Err()
		}
		left := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == name })
		if !slices.Equal(got.Invariants(), left) {
			return fmt.Sprintf("without %s, seed %d breaks %v, want %v", name, o.Seed, got.Invariants(), left), nil
		}
		if len(left) == 0 {
			out.printf("%-28s survives without %s", h.m.ID, name)
		}
	}
	return "", nil
}
