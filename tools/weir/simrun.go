package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/weirstream/weir/tools/simhost"
	"github.com/weirstream/weir/tools/simtest"
)

// A simRun is one call of run, replay or shrink.
type simRun struct {
	*simFlags

	ctx    context.Context
	screen *screen
	tally  *tally
	began  time.Time
	// explaining lets one failure be explained at a time; left is how many
	// more may be shrunk.
	explaining sync.Mutex
	left       int
	stop       atomic.Bool
}

// execute loads each package and does something with it.
func (f *simFlags) execute(cmd *cobra.Command, patterns []string, do func(*simRun, *simtest.Target) error) error {
	r := &simRun{simFlags: f, ctx: cmd.Context(), screen: newScreen(cmd.OutOrStdout()), tally: newTally(), began: time.Now(), left: f.shrink}
	defer r.screen.close()
	pkgs, err := simtest.Packages(r.ctx, patterns, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	f.first = f.firstSeed()
	tests := 0
	var unfit []string
	for _, p := range pkgs {
		r.screen.set(func() string { return "compiling " + p.Path })
		t, err := simtest.Load(r.ctx, p, simtest.Options{Match: f.match, Cache: cacheDir(), Stderr: cmd.ErrOrStderr()})
		if errors.Is(err, simhost.ErrBuild) && len(pkgs) > 1 && r.ctx.Err() == nil {
			unfit = append(unfit, p.Path)
			continue
		}
		if err != nil {
			return err
		}
		tests += len(t.Tests)
		if len(t.Tests) > 0 {
			r.screen.printf("%s: %s", p.Path, strings.Join(t.Tests, " "))
			err = do(r, t)
		}
		if err = errors.Join(err, t.Close(r.ctx)); err != nil {
			return r.interrupted(err)
		}
	}
	r.screen.close()
	for _, p := range unfit {
		r.screen.printf("not run: %s does not compile for the simulator (GOOS=wasip1 GOARCH=wasm)", p)
	}
	if tests == 0 {
		return fmt.Errorf("no test matches %q", f.match)
	}
	r.tally.print(r.screen, time.Since(r.began))
	if r.tally.failed > 0 {
		return exitError(1)
	}
	return nil
}

// interrupted sums up what ran before somebody pressed Ctrl-C; other errors stay
// as they are.
func (r *simRun) interrupted(err error) error {
	if r.ctx.Err() == nil || r.tally.seeds == 0 {
		return err
	}
	r.screen.close()
	r.tally.print(r.screen, time.Since(r.began))
	return fmt.Errorf("interrupted; the figures are of what ran until then: %w", err)
}

// outcomes are those of all tests of a package with one seed.
type outcomes []*simtest.Outcome

func (os outcomes) ok() bool {
	for _, o := range os {
		if !o.OK() && !ended(o) {
			return false
		}
	}
	return true
}

// ended reports whether a run ended at the event that --until named.
func ended(o *simtest.Outcome) bool { return o.Err == nil && o.ExitCode == simtest.ExitUntil }

// trace is the hash of all that happened.
func (os outcomes) trace() string {
	if len(os) == 1 {
		return os[0].Trace
	}
	h := sha256.New()
	for _, o := range os {
		h.Write([]byte(o.Trace))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// line is the line of a seed.
func (os outcomes) line(seed uint64) string {
	var virtual time.Duration
	var events int64
	faults := 0
	for _, o := range os {
		virtual, events, faults = virtual+o.Virtual, events+o.Size(), faults+o.Faults()
	}
	verdict := "ok"
	if !os.ok() {
		verdict = "FAILED"
	}
	return fmt.Sprintf("seed=%d trace=%s virtual=%s events=%d faults=%d %s", seed, os.trace(), virtual.Round(time.Millisecond), events, faults, verdict)
}

// runSeed runs all tests of a package with one seed. It returns nil when the
// context ended.
func (r *simRun) runSeed(t *simtest.Target, seed uint64, change func(*simtest.Case)) (outcomes, error) {
	var os outcomes
	for _, test := range t.Tests {
		c, err := r.caseOf(seed, test)
		if err != nil {
			return nil, err
		}
		if change != nil {
			change(&c)
		}
		o := t.Run(r.ctx, c)
		if r.ctx.Err() != nil {
			return nil, r.ctx.Err()
		}
		os = append(os, o)
	}
	return os, nil
}

// each calls do for seeds, jobs at once, until one of them returns an error
// or it is time to stop.
func (r *simRun) each(jobs, n int, stop func() bool, do func(seed uint64) error) error {
	seeds := make(chan uint64)
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range max(jobs, 1) {
		group.Go(func() {
			for seed := range seeds {
				if err := do(seed); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		mu.Lock()
		over := failed != nil
		mu.Unlock()
		if over || r.ctx.Err() != nil || stop() {
			break
		}
		seeds <- r.first + uint64(i)
	}
	close(seeds)
	group.Wait()
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	return failed
}

// runSeeds is what run does with each package.
func (f *simFlags) runSeeds(r *simRun, t *simtest.Target) error {
	began, cpu := time.Now(), cpuTime()
	var mu sync.Mutex
	traces := make(map[uint64]string) // of the seeds to repeat
	r.screen.set(func() string { return r.tally.progress(f.seeds, f.budget, time.Since(began)) })
	over := func() bool { return r.stop.Load() || f.budget > 0 && time.Since(began) > f.budget }
	err := r.each(f.jobs, f.seeds, over, func(seed uint64) error {
		os, err := r.runSeed(t, seed, nil)
		if err != nil {
			return err
		}
		if f.check > 0 && (seed-f.first)%uint64(f.check) == 0 {
			mu.Lock()
			traces[seed] = os.trace()
			mu.Unlock()
		}
		return r.done(t, seed, os)
	})
	r.tally.spent(cpuTime() - cpu)
	if err != nil || len(traces) == 0 {
		return err
	}
	return r.repeat(t, traces)
}

// done prints the line of a seed and explains what failed.
func (r *simRun) done(t *simtest.Target, seed uint64, os outcomes) error {
	r.tally.add(os)
	if !r.quiet || !os.ok() {
		r.screen.printf("%s", os.line(seed))
	}
	if os.ok() {
		return nil
	}
	if r.failFast {
		r.stop.Store(true)
	}
	for _, o := range os {
		if o.OK() || ended(o) {
			continue
		}
		if err := r.explain(t, o); err != nil {
			return err
		}
	}
	return nil
}

// repeat runs seeds again, on another number of jobs, with other settings of
// log and collector, and looked at on the way, none of which may change what
// happens.
func (r *simRun) repeat(t *simtest.Target, traces map[uint64]string) error {
	jobs := 1
	if r.jobs == 1 {
		jobs = 2
	}
	var mu sync.Mutex
	same, done := 0, 0
	r.screen.set(func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("%d of %d seeds run again, %d alike", done, len(traces), same)
	})
	last := slices.Max(slices.Collect(maps.Keys(traces)))
	err := r.each(jobs, int(last-r.first)+1, func() bool { return false }, func(seed uint64) error {
		want, ok := traces[seed]
		if !ok {
			return nil
		}
		os, err := r.runSeed(t, seed, other)
		if err != nil {
			return err
		}
		mu.Lock()
		done++
		if os.trace() == want {
			same++
		}
		mu.Unlock()
		if os.trace() != want {
			r.tally.differs()
			return r.difference(t, seed)
		}
		return nil
	})
	r.screen.printf("%d of %d seeds gave the same trace a second time, on %d jobs instead of %d, with log level debug, GOGC=100 and a look at the state", same, len(traces), jobs, r.jobs)
	return err
}

// other changes settings that must not matter.
func other(c *simtest.Case) {
	c.Env = append(c.Env, "WEIR_SIM_LOG=debug", "WEIR_SIM_STATE=500", "WEIR_SIM_STACKS=500", "GOGC=100")
}
