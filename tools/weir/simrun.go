package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/weirstream/weir/tools/simhost"
)

// A simPackage is one package with tests.
type simPackage struct{ path, dir string }

// testPackages lists the packages that patterns name and that have tests.
func testPackages(ctx context.Context, patterns []string) ([]simPackage, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-tags", "weirsim", "-f",
		`{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}`}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	var pkgs []simPackage
	for line := range strings.Lines(string(out)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			pkgs = append(pkgs, simPackage{path, dir})
		}
	}
	if len(pkgs) == 0 {
		return nil, fmt.Errorf("no tests in %s", strings.Join(patterns, " "))
	}
	return pkgs, nil
}

// A tally sums up the runs of all packages.
type tally struct {
	mu       sync.Mutex
	runs     int
	failed   int
	virtual  time.Duration
	events   int64
	start    time.Time
	out      io.Writer
	replayOf func(pkg string, seed uint64) string
	again    int // runs that were repeated and compared
	faults   map[string]int
	points   map[string]int
}

// A simReport is what a run of sim/cluster says about itself.
type simReport struct {
	Injected map[string]int `json:"injected"`
	Points   map[string]int `json:"points"`
}

// note adds up what the program reported. It returns the number of faults.
func (t *tally) note(report []byte) (faults int) {
	var r simReport
	if json.Unmarshal(report, &r) != nil {
		return 0
	}
	for k, n := range r.Injected {
		t.faults[k] += n
		faults += n
	}
	for k, n := range r.Points {
		t.points[k] += n
	}
	return faults
}

// counts prints a map in order.
func counts(m map[string]int) string {
	var s []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s = append(s, fmt.Sprintf("%s=%d", k, m[k]))
	}
	return strings.Join(s, " ")
}

func (f *simFlags) runAll(cmd *cobra.Command, patterns []string) error {
	pkgs, err := testPackages(cmd.Context(), patterns)
	if err != nil {
		return err
	}
	t := &tally{start: time.Now(), out: cmd.OutOrStdout(), replayOf: f.replay, faults: make(map[string]int), points: make(map[string]int)}
	for _, p := range pkgs {
		if err := f.runPackage(cmd.Context(), p, t); err != nil {
			return err
		}
	}
	wall := time.Since(t.start)
	fmt.Fprintf(t.out, "%d runs, %d failed, %s of virtual time in %s, %d events\n", t.runs, t.failed, t.virtual.Round(time.Millisecond), wall.Round(time.Millisecond), t.events)
	if len(t.faults) > 0 {
		fmt.Fprintf(t.out, "faults injected: %s\ncrash points reached: %s\n", counts(t.faults), counts(t.points))
	}
	if t.again > 0 {
		fmt.Fprintf(t.out, "%d runs were repeated with other settings and compared\n", t.again)
	}
	if t.failed > 0 {
		return exitError(1)
	}
	return nil
}

func (f *simFlags) runPackage(ctx context.Context, p simPackage, t *tally) error {
	tmp, err := os.MkdirTemp("", "weir-sim-build")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	wasm := filepath.Join(tmp, "tests.wasm")
	fmt.Fprintf(t.out, "building %s\n", p.path)
	if err := simhost.BuildTest(ctx, p.dir, ".", wasm, os.Stderr); err != nil {
		return err
	}
	h, err := simhost.Load(ctx, wasm, cacheDir())
	if err != nil {
		return err
	}
	defer func() { _ = h.Close(ctx) }()
	seeds := make(chan uint64)
	var jobs sync.WaitGroup
	for range max(f.jobs, 1) {
		jobs.Go(func() {
			for seed := range seeds {
				f.runSeed(ctx, h, p, seed, t)
			}
		})
	}
	first, began := f.firstSeed(), time.Now()
	for i := range f.seeds {
		if ctx.Err() != nil || f.budget > 0 && time.Since(began) > f.budget {
			break
		}
		seeds <- first + uint64(i)
	}
	close(seeds)
	jobs.Wait()
	return ctx.Err()
}

// args are the arguments of the test binary: no cache, no files between runs.
func (f *simFlags) args() []string {
	args := []string{"-test.timeout=0", "-test.count=1", "-test.v"}
	if f.test != "" {
		args = append(args, "-test.run="+f.test)
	}
	if f.checks > 0 {
		args = append(args, fmt.Sprintf("-rapid.checks=%d", f.checks), "-rapid.nofailfile")
	}
	return args
}

func (f *simFlags) runSeed(ctx context.Context, h *simhost.Host, p simPackage, seed uint64, t *tally) {
	var out bytes.Buffer
	r := simhost.Run{Seed: seed, Args: f.args(), Env: environment(), Dir: p.dir, Stdout: &out, Stderr: &out, Deadline: f.deadline, Wall: f.wall, TraceFile: f.traceFile}
	if f.verbose {
		r.Stdout, r.Stderr = t.out, t.out
	}
	began := time.Now()
	res, err := h.Do(ctx, r)
	if errors.Is(err, context.Canceled) {
		return
	}
	wall := time.Since(began)
	if f.check > 0 && seed%uint64(f.check) == 0 && err == nil {
		err = f.repeat(ctx, h, r, res, t)
	}
	t.add(p, seed, res, err, wall, f.quiet, out.Bytes())
}

// repeat runs a seed again with other settings, none of which may change what
// happens.
func (f *simFlags) repeat(ctx context.Context, h *simhost.Host, r simhost.Run, first simhost.Result, t *tally) error {
	r.Stdout, r.Stderr, r.TraceFile = nil, nil, ""
	r.Env = append(slices.Clone(r.Env), "WEIR_SIM_LOG=debug", "GOMEMLIMIT=3GiB")
	second, err := h.Do(ctx, r)
	t.mu.Lock()
	t.again++
	t.mu.Unlock()
	if err == nil && second.Trace != first.Trace {
		err = fmt.Errorf("NOT DETERMINISTIC: with more logging the trace is %s (%d events, %s of virtual time)", second.Trace, second.Events, second.Virtual)
	}
	return err
}

func (t *tally) add(p simPackage, seed uint64, res simhost.Result, err error, wall time.Duration, quiet bool, out []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs++
	t.virtual += res.Virtual
	t.events += res.Events
	faults := t.note(res.Report)
	ok := err == nil && res.ExitCode == 0
	verdict := "ok"
	if !ok {
		verdict = "FAILED"
		t.failed++
	}
	if !ok || !quiet {
		fmt.Fprintf(t.out, "seed=%d trace=%s virtual=%s events=%d faults=%d wall=%s %s\n", seed, res.Trace, res.Virtual.Round(time.Millisecond), res.Events, faults, wall.Round(time.Millisecond), verdict)
	}
	if ok {
		return
	}
	_, _ = t.out.Write(out)
	if err != nil {
		fmt.Fprintln(t.out, err)
	}
	fmt.Fprintf(t.out, "replay it with: %s\n", t.replayOf(p.path, seed))
}

func (f *simFlags) replay(pkg string, seed uint64) string {
	s := fmt.Sprintf("weir sim replay %d %s", seed, pkg)
	if f.test != "" {
		s += fmt.Sprintf(" --run %q", f.test)
	}
	return s
}
