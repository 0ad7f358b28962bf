package simhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// A Host holds a compiled module and runs it any number of times, also from
// several goroutines at once.
type Host struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	cache   wazero.CompilationCache
}

// Load compiles the module in a file. Compiled code is kept in cacheDir, so
// that the next Load of the same module takes a fraction of a second; an
// empty cacheDir keeps nothing.
func Load(ctx context.Context, file, cacheDir string) (*Host, error) {
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if code, err = direct(code); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	h, err := compile(ctx, code, cacheDir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return h, nil
}

// compile is Load for the module itself, as it is.
func compile(ctx context.Context, code []byte, cacheDir string) (h *Host, err error) {
	h = &Host{}
	// Without checks in every loop: they would make a run take three times
	// as long. Watchdogs are in the host functions, see world.
	cfg := wazero.NewRuntimeConfig().WithCloseOnContextDone(false)
	if cacheDir != "" {
		if err := prune(cacheDir); err != nil {
			return nil, err
		}
		if h.cache, err = wazero.NewCompilationCacheWithDir(cacheDir); err != nil {
			return nil, fmt.Errorf("compilation cache: %w", err)
		}
		cfg = cfg.WithCompilationCache(h.cache)
	}
	h.runtime = wazero.NewRuntimeWithConfig(ctx, cfg)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, h.runtime); err != nil {
		return nil, errors.Join(err, h.Close(ctx))
	}
	if h.module, err = h.runtime.CompileModule(ctx, code); err != nil {
		return nil, errors.Join(err, h.Close(ctx))
	}
	return h, nil
}

// Close frees the module.
func (h *Host) Close(ctx context.Context) error {
	err := h.runtime.Close(ctx)
	if h.cache != nil {
		err = errors.Join(err, h.cache.Close(ctx))
	}
	return err
}

// A Run is one run of a program.
type Run struct {
	Seed uint64
	// Order is another order of goroutines, and other randomness, for the
	// same seed; zero is the seed's own. WEIR_SIM_SEED stays what it is.
	Order uint32
	// Args after the program's name.
	Args []string
	// Env as "NAME=value"; nothing else of the environment is seen.
	Env []string
	// Dir is the working directory, absolute; the program sees it and the
	// rest of the file system read only.
	Dir            string
	Stdout, Stderr io.Writer
	// SimDir, when set, is an empty directory that the program sees as /sim:
	// what it leaves there stays. When empty, it is removed after the run.
	SimDir string
	// Deadline ends the run when virtual time passes it: the program hangs
	// or livelocks. Zero means 24 hours.
	Deadline time.Duration
	// Wall ends the run in real time. Zero means 10 minutes.
	Wall time.Duration
}

// A Result says how a run went.
type Result struct {
	ExitCode uint32
	// Trace is the SHA-256 of everything that could have gone differently.
	Trace string
	// Virtual is how much time passed in the program.
	Virtual time.Duration
	// Events is how many sleeps, yields and draws there were.
	Events int64
	// Lines is how many lines the program wrote to /sim/trace, Report what
	// it wrote to /sim/report.
	Lines  int64
	Report []byte
}

// Errors of runs that had to be ended.
var (
	ErrDeadline = errors.New("the program went on past its virtual deadline: it waits for something that does not come, or its timers never end")
	ErrSpin     = errors.New("the program reads the clock again and again without ever waiting: virtual time cannot move")
	ErrWall     = errors.New("the program took too long in real time: it computes without end")
)

// Do runs the program once.
func (h *Host) Do(ctx context.Context, r Run) (Result, error) {
	if r.Deadline == 0 {
		r.Deadline = 24 * time.Hour
	}
	if r.Wall == 0 {
		r.Wall = 10 * time.Minute
	}
	tmp, err := os.MkdirTemp("", "weir-sim")
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	simDir := r.SimDir
	if simDir == "" {
		simDir = filepath.Join(tmp, "sim")
	}
	// Not /tmp: what is tested may be there.
	if err := os.MkdirAll(filepath.Join(simDir, "tmp"), 0o755); err != nil {
		return Result{}, err
	}
	w := newWorld(r.Seed, r.Order, r.Deadline)
	cfg := wazero.NewModuleConfig().WithName("").
		WithArgs(append([]string{"program"}, r.Args...)...).
		WithStdout(orDiscard(r.Stdout)).WithStderr(orDiscard(r.Stderr)).
		WithFSConfig(wazero.NewFSConfig().WithReadOnlyDirMount("/", "/").
			WithDirMount(simDir, "/sim")).
		WithRandSource(w).
		WithWalltime(w.walltime, sys.ClockResolution(1)).
		WithNanotime(w.nanotime, sys.ClockResolution(1)).
		WithNanosleep(w.nanosleep).
		WithOsyield(w.yield)
	for _, kv := range append([]string{"PWD=" + r.Dir, "TMPDIR=/sim/tmp", "HOME=/sim/tmp", "WEIR_SIM=1", fmt.Sprintf("WEIR_SIM_SEED=%d", r.Seed)}, r.Env...) {
		name, value := cut(kv)
		cfg = cfg.WithEnv(name, value)
	}
	wall, cancel := context.WithTimeout(ctx, r.Wall)
	defer cancel()
	err = h.start(wall, w, cfg)
	if errors.Is(err, errStuck) {
		// Its goroutine still computes; nothing of it may be touched.
		return Result{ExitCode: 2}, ErrWall
	}
	return w.result(ctx, wall, simDir, err)
}

// errStuck marks a run that did not even call the host any more.
var errStuck = errors.New("simhost: no answer")

// start runs the program until it ends. When wall ends, the next call of a
// host function ends it; a program that calls none is left behind.
func (h *Host) start(wall context.Context, w *world, cfg wazero.ModuleConfig) error {
	stop := context.AfterFunc(wall, func() { w.abort.Store(true) })
	defer stop()
	ended := make(chan error, 1)
	go func() {
		background := withMemory(context.Background())
		mod, err := h.runtime.InstantiateModule(background, h.module, cfg)
		if mod != nil {
			_ = mod.Close(background)
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-wall.Done():
	}
	grace := time.NewTimer(2 * time.Second)
	defer grace.Stop()
	select {
	case err := <-ended:
		return err
	case <-grace.C:
		return errStuck
	}
}

// result sums the run up.
func (w *world) result(ctx, wall context.Context, simDir string, err error) (Result, error) {
	res := Result{Virtual: time.Duration(w.now - start), Events: w.events}
	res.Report, _ = os.ReadFile(filepath.Join(simDir, "report"))
	res.Trace, res.Lines = w.trace(filepath.Join(simDir, "trace"))
	if err != nil {
		return res, w.reason(ctx, wall, &res, err)
	}
	return res, nil
}

// reason tells an exit code from a failure of the run itself.
func (w *world) reason(ctx, wall context.Context, res *Result, err error) error {
	var exit *sys.ExitError
	switch {
	case w.err != nil:
		res.ExitCode = 2
		return w.err
	case ctx.Err() != nil:
		return ctx.Err()
	case wall.Err() != nil:
		res.ExitCode = 2
		return ErrWall
	case errors.As(err, &exit):
		res.ExitCode = exit.ExitCode()
		return nil
	}
	return err
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

func cut(kv string) (name, value string) {
	for i := range len(kv) {
		if kv[i] == '=' {
			return kv[:i], kv[i+1:]
		}
	}
	return kv, ""
}
