package simtest

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// A Runner runs a case; Target.Run is one.
type Runner func(ctx context.Context, c Case) *Outcome

// Shrink looks for a smaller case that fails alike: with fewer faults, then
// with less input. It returns the smallest that it found, which is failing
// itself when none is smaller, and how many cases it ran, of which at most jobs
// at once. What it finds does not depend on jobs.
//
// With less input everything happens at other times, and what makes a race fail
// may be gone. So what passes is tried in some other orders of goroutines, too.
//
// Faults and records are removed by delta debugging (Zeller, Hildebrandt:
// Simplifying and Isolating Failure-Inducing Input): halves first, then
// quarters, until none can be left out alone, or until enough was tried.
func Shrink(ctx context.Context, run Runner, failing *Outcome, jobs int) (smallest *Outcome, runs int) {
	s := &shrinker{run: run, jobs: max(jobs, 1), best: failing, like: failing}
	r := failing.Broken()
	if r == nil && len(failing.Reports) > 0 {
		r = &failing.Reports[0]
	}
	if r == nil {
		return failing, 0
	}
	keep := failing.Keep
	if keep == nil {
		for i := range r.Plan {
			keep = append(keep, i)
		}
	}
	size := failing.Records
	if size == 0 {
		size = r.Records
	}
	s.faults(ctx, keep)
	s.records(ctx, size)
	if s.best.Records > 0 {
		size = s.best.Records
	}
	s.inputs(ctx, size)
	// Less input may need fewer faults.
	if s.best.Records != failing.Records || s.best.Only != nil {
		s.faults(ctx, s.best.Keep)
	}
	return s.best, s.runs
}

// How many cases are tried to leave out records, in how many orders each, and
// for how much virtual time: a case of which nothing comes takes long. The
// workload is a matter of reading the case, which some records more do not
// spoil.
const (
	mostInputs  = 120
	mostOrders  = 3
	mostVirtual = 2 * time.Hour
)

type shrinker struct {
	run  Runner
	jobs int
	best *Outcome
	like *Outcome // the failure to shrink
	runs int
	// tried and virtual are how many cases were looked at, and how much
	// virtual time they took: the same with any number of jobs.
	tried   int
	virtual time.Duration
}

// first runs cases and makes the first of them that fails alike the best. It
// returns its index, or -1.
func (s *shrinker) first(ctx context.Context, cases []Case) int {
	for at := 0; at < len(cases) && ctx.Err() == nil; {
		n := min(len(cases)-at, s.jobs)
		outcomes := make([]*Outcome, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { outcomes[i] = s.run(ctx, cases[at+i]) })
		}
		wg.Wait()
		s.runs += n
		for i, o := range outcomes {
			s.tried++
			s.virtual += o.Virtual
			if o.like(s.like) {
				s.best = o
				return at + i
			}
		}
		at += n
	}
	return -1
}

// ordered is first with each of cases in some orders, as long as left says
// that more cases may be tried. What fails in the order that it has is taken
// before what fails in another one.
func (s *shrinker) ordered(ctx context.Context, cases []Case, left func() int) int {
	for range mostOrders {
		if n := min(len(cases), left()); n <= 0 {
			return -1
		} else if at := s.first(ctx, cases[:n]); at >= 0 {
			return at
		}
		for i := range cases {
			cases[i].Order++
		}
	}
	return -1
}

// with is the best case with other faults.
func (s *shrinker) with(keep []int) Case {
	c := s.best.Case
	c.Keep = append([]int{}, keep...)
	return c
}

func (s *shrinker) faults(ctx context.Context, keep []int) {
	if len(keep) == 0 {
		return
	}
	// Often none is needed, or one.
	cases := []Case{s.with(nil)}
	if len(keep) > 1 {
		for _, k := range keep {
			cases = append(cases, s.with([]int{k}))
		}
	}
	if s.first(ctx, cases) < 0 {
		s.reduce(ctx, keep, s.with, func() int { return math.MaxInt })
	}
}

// inputs leaves out records of the first so many.
func (s *shrinker) inputs(ctx context.Context, size int) {
	all := s.best.Only
	if all == nil {
		for i := range size {
			all = append(all, i)
		}
	}
	tried, virtual := s.tried, s.virtual
	with := func(only []int) Case {
		c := s.best.Case
		c.Only = append([]int{}, only...)
		return c
	}
	s.reduce(ctx, all, with, func() int {
		if s.virtual-virtual > mostVirtual {
			return 0
		}
		return mostInputs - (s.tried - tried)
	})
}

// reduce leaves out parts of a set while what is left fails, and left says that
// more cases may be tried.
func (s *shrinker) reduce(ctx context.Context, set []int, with func([]int) Case, left func() int) {
	for parts := 2; len(set) > 1 && left() > 0; {
		size := (len(set) + parts - 1) / parts
		var sets [][]int
		var cases []Case
		for at := 0; at < len(set); at += size {
			rest := slices.Delete(slices.Clone(set), at, min(at+size, len(set)))
			sets, cases = append(sets, rest), append(cases, with(rest))
		}
		found := s.ordered(ctx, cases, left)
		switch {
		case found >= 0:
			set = sets[found]
			parts = max(parts-1, 2)
		case size == 1:
			return
		default:
			parts = min(2*parts, len(set))
		}
	}
}

// records halves the workload while that fails, then looks between the last
// two sizes.
func (s *shrinker) records(ctx context.Context, sent int) {
	try := func(n int) bool {
		c := s.best.Case
		c.Records = n
		return s.ordered(ctx, []Case{c}, func() int { return math.MaxInt }) == 0
	}
	low, high := 0, sent
	for n := high / 2; n > 0; n /= 2 {
		if !try(n) {
			low = n
			break
		}
		high = n
	}
	for range 3 {
		n := (low + high) / 2
		if n == low || high-low < 8 {
			return
		}
		if try(n) {
			high = n
		} else {
			low = n
		}
	}
}
