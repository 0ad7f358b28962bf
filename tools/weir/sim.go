package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/weirstream/weir/tools/simhost"
	"github.com/weirstream/weir/tools/simtest"
)

func newSim() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run tests deterministically, bit for bit the same from a seed",
	}
	cmd.AddCommand(newSimExec(), newSimRun(), newSimReplay(), newSimShrink(), newSimZoo())
	return cmd
}

// cacheDir is where compiled modules are kept between runs.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "weir", "simhost")
}

// exitError carries the exit code of a simulated program.
type exitError uint32

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", uint32(e)) }

func newSimExec() *cobra.Command {
	return &cobra.Command{
		Use:   "exec BINARY [ARGS…]",
		Short: "Host for go test -exec: GOOS=wasip1 GOARCH=wasm go test -exec 'weir sim exec' ./…",
		Long: `Run one wasip1 program in the simulator and exit with its status.

The seed is WEIR_SIM_SEED, or 1. For a seeded order of goroutines the program
must be built with the overlay that "weir sim run" uses.`,
		Args:               cobra.MinimumNArgs(1),
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			seed := uint64(1)
			if v := os.Getenv("WEIR_SIM_SEED"); v != "" {
				var err error
				if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
					return fmt.Errorf("WEIR_SIM_SEED: %w", err)
				}
			}
			h, err := simhost.Load(cmd.Context(), args[0], cacheDir())
			if err != nil {
				return err
			}
			defer func() { _ = h.Close(cmd.Context()) }()
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			res, err := h.Do(cmd.Context(), simhost.Run{Seed: seed, Args: args[1:], Env: simtest.Environment(), Dir: dir, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()})
			if err != nil {
				return err
			}
			if res.ExitCode != 0 {
				return exitError(res.ExitCode)
			}
			return nil
		},
	}
}

// simFlags are the flags of run, replay and shrink.
type simFlags struct {
	seeds, jobs    int
	first          uint64
	budget         time.Duration
	check          int
	quiet          bool
	failFast       bool
	shrink         int
	match          string
	env            []string
	checks         int
	deadline, wall time.Duration
	dir            string

	// Of replay.
	keep      string
	records   int
	only      string
	order     uint32
	traceFile string
	until     int64
	log       string
	from      int64
	stacks    int64
	state     int64
}

func (f *simFlags) common(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.match, "run", "", "run only tests that match, as go test -run")
	fs.StringArrayVar(&f.env, "env", nil, "set a variable for the tests, as NAME=value; of the environment they see only what the simulator needs")
	fs.IntVar(&f.checks, "checks", 0, "cases of each rapid property in one run; 0 leaves it to the tests")
	fs.DurationVar(&f.deadline, "deadline", 24*time.Hour, "virtual time after which a run counts as hung")
	fs.DurationVar(&f.wall, "wall", 10*time.Minute, "real time after which a run counts as hung")
	fs.StringVar(&f.dir, "dir", ".weir-sim", "where to write what is kept of failing runs: output, trace, history, timeline")
}

func (f *simFlags) jobsFlag(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.jobs, "jobs", runtime.NumCPU(), "how many runs to make at once")
}

func newSimRun() *cobra.Command {
	f := &simFlags{}
	cmd := &cobra.Command{
		Use:   "run [PACKAGES]",
		Short: "Run the tests of packages with many seeds",
		Long: `Compile the tests of each package once and run them with many seeds, on all
cores. Each test runs in a program of its own. Each seed prints one line:

  seed=S trace=SHA256 virtual=… events=… faults=… ok|FAILED

The first failing tests are shrunk to fewer faults and less input, and shown
with what was broken, a timeline, and the command that replays them. The
current directory must be in the module whose packages are named.`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.execute(cmd, args, f.runSeeds) },
	}
	fs := cmd.Flags()
	fs.IntVar(&f.seeds, "seeds", 100, "how many seeds to run; with --for, and without --seeds, there is no limit")
	fs.Uint64Var(&f.first, "seed", 0, "the first seed; 0 takes one from the clock, so that every run is new")
	fs.DurationVar(&f.budget, "for", 0, "start no new seeds after this long; 0 is no limit")
	fs.IntVar(&f.check, "check", 0, "run every so many seeds a second time, with another number of jobs and other settings of log and collector, and compare the traces; 0 never does")
	fs.BoolVar(&f.quiet, "quiet", false, "print only failures and the summary")
	fs.BoolVar(&f.failFast, "fail-fast", false, "start no new seeds after the first failure")
	fs.IntVar(&f.shrink, "shrink", 3, "how many failing tests to shrink")
	f.jobsFlag(cmd)
	f.common(cmd)
	cmd.PreRun = func(*cobra.Command, []string) {
		if f.budget > 0 && !fs.Changed("seeds") {
			f.seeds = 1 << 30
		}
	}
	return cmd
}

// seedCommand is a command for one seed.
func seedCommand(f *simFlags, use, short, long string, run func(*simRun, *simtest.Target) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seed, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not the number of a seed", args[0])
			}
			f.first, f.seeds = seed, 1
			return f.execute(cmd, args[1:], run)
		},
	}
	f.common(cmd)
	cmd.Flags().StringVar(&f.keep, "keep", "", `numbers of the faults to keep, as 0,3,4, or "none"`)
	cmd.Flags().StringVar(&f.only, "only", "", `numbers of the records of the workload to send, as 0,3,4, or "none"`)
	cmd.Flags().Uint32Var(&f.order, "order", 0, "another order of goroutines for the same seed, which shrinking tries; 0 is the seed's own")
	cmd.Flags().IntVar(&f.records, "records", 0, "size of the workload; 0 leaves it to the test")
	return cmd
}

func newSimReplay() *cobra.Command {
	f := &simFlags{jobs: 1}
	cmd := seedCommand(f, "replay SEED [PACKAGES]", "Run one seed again, with its output",
		`Run one seed again, with its output. It does the same as before, event by event.

To see more of it, write what happened to a file (--trace): each line is an event
with its number and its virtual time in nanoseconds. Then look at what matters:
log from an event on, print all goroutines or the state of all workers at an
event, or end there and print what the disks hold. None of this changes what
happens.`, f.replaySeed)
	fs := cmd.Flags()
	fs.StringVar(&f.traceFile, "trace", "", "write what happened, one line for each event, to this file")
	fs.Int64Var(&f.until, "until", 0, "end at this event, and print the state of all workers and what the disks hold")
	fs.StringVar(&f.log, "log", "", "log level of the workers: debug, info, warn or error")
	fs.Int64Var(&f.from, "from", 0, "log only from this event on; implies --log debug")
	fs.Int64Var(&f.stacks, "stacks", 0, "print all goroutines at this event")
	fs.Int64Var(&f.state, "state", 0, "print the state of all workers at this event")
	return cmd
}

func newSimShrink() *cobra.Command {
	f := &simFlags{shrink: 1 << 30}
	cmd := seedCommand(f, "shrink SEED [PACKAGES]", "Find the smallest part of a failing seed that fails alike",
		`Run a failing seed with fewer faults and less input, also in other orders of
goroutines, as long as it breaks one of the same invariants, and show the
smallest case that was found.`, f.shrinkSeed)
	f.jobsFlag(cmd)
	return cmd
}

// caseOf is what the flags say of a run.
func (f *simFlags) caseOf(seed uint64, test string) (simtest.Case, error) {
	c := simtest.Case{Seed: seed, Test: test, Order: f.order, Records: f.records, Checks: f.checks, Deadline: f.deadline, Wall: f.wall, Env: append([]string{}, f.env...)}
	for _, kv := range f.env {
		if !strings.Contains(kv, "=") {
			return c, fmt.Errorf("--env %s: want NAME=value", kv)
		}
	}
	var errs [2]error
	c.Keep, errs[0] = numbers("keep", f.keep)
	c.Only, errs[1] = numbers("only", f.only)
	if err := errors.Join(errs[:]...); err != nil {
		return c, err
	}
	set := func(name, value string, on bool) {
		if on {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	if f.from > 0 && f.log == "" {
		f.log = "debug"
	}
	set("WEIR_SIM_LOG", f.log, f.log != "")
	for name, n := range map[string]int64{"WEIR_SIM_LOG_FROM": f.from, "WEIR_SIM_STACKS": f.stacks, "WEIR_SIM_STATE": f.state, "WEIR_SIM_UNTIL": f.until} {
		if n < 0 {
			return c, errors.New("events are numbered from 1")
		}
		set(name, strconv.FormatInt(n, 10), n > 0)
	}
	return c, nil
}

// numbers reads the value of a flag: nil when it is not set.
func numbers(flag, value string) ([]int, error) {
	if value == "" {
		return nil, nil
	}
	list := []int{}
	if value == "none" {
		return list, nil
	}
	for s := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("--%s %s: want numbers as 0,3,4, or none", flag, value)
		}
		list = append(list, n)
	}
	return list, nil
}

// firstSeed picks fresh seeds when none was asked for.
func (f *simFlags) firstSeed() uint64 {
	if f.first != 0 {
		return f.first
	}
	return uint64(time.Now().UnixMilli()) % 1_000_000_000 * 1000
}
