package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/weirstream/weir/tools/simhost"
)

func newSim() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run tests deterministically, bit for bit the same from a seed",
	}
	cmd.AddCommand(newSimExec(), newSimRun(), newSimReplay())
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

// passEnv is the environment that a simulated program sees, when set.
var passEnv = []string{"GOGC", "GOMEMLIMIT", "GOTRACEBACK", "WEIR_SIM_LOG", "WEIR_SIM_VERBOSE", "WEIR_SIM_KEEP", "WEIR_SIM_ZOO"}

func environment() []string {
	// The collector parks goroutines when it is short of time, which would
	// make their order depend on how much memory there is: it runs only
	// when a program asks for it, or has used really much.
	env := map[string]string{"GOGC": "off", "GOMEMLIMIT": "2GiB"}
	for _, name := range passEnv {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
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
			res, err := h.Do(cmd.Context(), simhost.Run{Seed: seed, Args: args[1:], Env: environment(), Dir: dir, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()})
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

func newSimRun() *cobra.Command {
	f := simFlags{}
	cmd := &cobra.Command{
		Use:   "run [PACKAGES]",
		Short: "Run the tests of packages with many seeds",
		Long: `Compile the tests of each package once and run them with many seeds, on all
cores. Each seed prints one line; a failing one also prints its output and the
command that replays it.`,
		RunE: f.runAll,
	}
	fs := cmd.Flags()
	fs.IntVar(&f.seeds, "seeds", 100, "how many seeds to run")
	fs.Uint64Var(&f.first, "seed", 0, "the first seed; 0 takes one from the clock, so that every run is new")
	fs.IntVar(&f.jobs, "jobs", runtime.NumCPU(), "how many seeds to run at once")
	fs.DurationVar(&f.budget, "for", 0, "stop starting new seeds after this long; 0 is no limit")
	fs.IntVar(&f.check, "check", 0, "run every so many seeds a second time, with other settings of log and collector, and compare the traces; 0 never does")
	fs.BoolVar(&f.quiet, "quiet", false, "print only failures and the summary")
	f.common(cmd)
	return cmd
}

func newSimReplay() *cobra.Command {
	f := simFlags{seeds: 1, jobs: 1}
	cmd := &cobra.Command{
		Use:   "replay SEED [PACKAGES]",
		Short: "Run one seed again, with its output",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seed, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("seed %q is not a number", args[0])
			}
			f.first, f.verbose = seed, true
			return f.runAll(cmd, args[1:])
		},
	}
	cmd.Flags().StringVar(&f.traceFile, "trace", "", "write what happened, line by line, to this file")
	f.common(cmd)
	return cmd
}

// simFlags are the flags of run and replay.
type simFlags struct {
	seeds, jobs    int
	first          uint64
	budget         time.Duration
	test           string
	deadline, wall time.Duration
	checks         int
	check          int
	traceFile      string
	quiet, verbose bool
}

func (f *simFlags) common(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.test, "run", "", "run only tests that match, as go test -run")
	fs.DurationVar(&f.deadline, "deadline", 24*time.Hour, "virtual time after which a run counts as hung")
	fs.DurationVar(&f.wall, "wall", 10*time.Minute, "real time after which a run counts as hung")
	fs.IntVar(&f.checks, "checks", 0, "cases of each rapid property in one seed; 0 leaves it to the tests")
}

// firstSeed picks fresh seeds when none was asked for.
func (f *simFlags) firstSeed() uint64 {
	if f.first != 0 {
		return f.first
	}
	return uint64(time.Now().UnixMilli()) % 1_000_000_000 * 1000
}
