package simtest

import (
	"context"
	"slices"
	"sync"
)

// A Runner runs a case; Target.Run is one.
type Runner func(ctx context.Context, c Case) *Outcome

// Shrink looks for a smaller case that fails with the same signature: with
// fewer faults, then with a smaller workload. It returns the smallest that it
// found, which is failing itself when none is smaller, and how many cases it
// ran, of which at most jobs at once. What it finds does not depend on jobs.
//
// Faults are removed by delta debugging: halves first, then quarters, until
// none can be left out alone.
func Shrink(ctx context.Context, run Runner, failing *Outcome, jobs int) (smallest *Outcome, runs int) {
	s := &shrinker{run: run, jobs: max(jobs, 1), best: failing, want: failing.Signature()}
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
	s.faults(ctx, keep)
	s.records(ctx, r.Sent)
	// Less input may need fewer faults.
	if s.best.Records != failing.Records {
		s.faults(ctx, s.best.Keep)
	}
	return s.best, s.runs
}

type shrinker struct {
	run  Runner
	jobs int
	best *Outcome
	want string
	runs int
}

// first runs cases and makes the first of them that fails alike the best. It
// reports whether there was one.
func (s *shrinker) first(ctx context.Context, cases []Case) bool {
	for len(cases) > 0 && ctx.Err() == nil {
		n := min(len(cases), s.jobs)
		outcomes := make([]*Outcome, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { outcomes[i] = s.run(ctx, cases[i]) })
		}
		wg.Wait()
		s.runs += n
		for _, o := range outcomes {
			if o.Signature() == s.want {
				s.best = o
				return true
			}
		}
		cases = cases[n:]
	}
	return false
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
	if s.first(ctx, cases) {
		return
	}
	for parts := 2; len(keep) > 1; {
		size := (len(keep) + parts - 1) / parts
		var cases []Case
		for at := 0; at < len(keep); at += size {
			cases = append(cases, s.with(slices.Delete(slices.Clone(keep), at, min(at+size, len(keep)))))
		}
		switch {
		case s.first(ctx, cases):
			keep = s.best.Keep
			parts = max(parts-1, 2)
		case size == 1:
			return
		default:
			parts = min(2*parts, len(keep))
		}
	}
}

// records halves the workload while that fails, then looks between the last
// two sizes.
func (s *shrinker) records(ctx context.Context, sent int) {
	try := func(n int) bool {
		c := s.best.Case
		c.Records = n
		return s.first(ctx, []Case{c})
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
