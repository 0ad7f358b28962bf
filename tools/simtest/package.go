package simtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/weirstream/weir/tools/simhost"
)

// A Package is one package with tests.
type Package struct {
	// Path is its import path, Dir its directory.
	Path, Dir string
	// Rapid says that its tests use rapid.
	Rapid bool
}

// goCommand is the go command, set for the simulator.
func goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	return cmd
}

// Packages lists the packages that patterns of the go command name, in the
// current directory, and that have tests. No pattern means ./...
func Packages(ctx context.Context, patterns []string, stderr io.Writer) ([]Package, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	// Of a test variant the dependencies are listed after the package.
	cmd := goCommand(ctx, append([]string{"list", "-tags", "weirsim", "-test", "-f",
		`{{if .ForTest}}{{else if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}{{if eq .Name "main"}}{{range .Deps}}{{if eq . "pgregory.net/rapid"}}
rapid {{$.ImportPath}}{{end}}{{end}}{{end}}`}, patterns...)...)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	var pkgs []Package
	rapid := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !ok:
		case path == "rapid":
			rapid[strings.TrimSuffix(dir, ".test")] = true
		default:
			pkgs = append(pkgs, Package{Path: path, Dir: dir})
		}
	}
	if len(pkgs) == 0 {
		return nil, fmt.Errorf("there are no tests in %s", strings.Join(patterns, " "))
	}
	for i := range pkgs {
		pkgs[i].Rapid = rapid[pkgs[i].Path]
	}
	return pkgs, nil
}

// A Target is a package that is compiled and ready to run.
type Target struct {
	Package

	// Tests are the names of its tests, examples and fuzz tests that match.
	Tests []string

	sub  string // what follows the first slash of the pattern
	host *simhost.Host
}

// Options say how to load a package.
type Options struct {
	// Match selects tests, as go test -run does; empty takes all.
	Match string
	// Cache is the directory for compiled modules; empty keeps none.
	Cache string
	// Replace are files to build with instead of those of the module.
	Replace map[string]string
	// Stderr gets what the compiler says.
	Stderr io.Writer
}

// Load compiles the tests of a package and lists those that match.
func Load(ctx context.Context, p Package, o Options) (*Target, error) {
	tmp, err := os.MkdirTemp("", "weir-sim-build")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	wasm := filepath.Join(tmp, "tests.wasm")
	if err := simhost.BuildTest(ctx, p.Dir, ".", wasm, o.Replace, o.Stderr); err != nil {
		return nil, err
	}
	t := &Target{Package: p}
	if t.host, err = simhost.Load(ctx, wasm, o.Cache); err != nil {
		return nil, err
	}
	if err := t.list(ctx, o.Match); err != nil {
		return nil, errors.Join(err, t.Close(ctx))
	}
	return t, nil
}

// list asks the program for its tests.
func (t *Target) list(ctx context.Context, match string) error {
	top, sub, _ := strings.Cut(match, "/")
	t.sub = sub
	if top == "" {
		top = "."
	}
	var out bytes.Buffer
	res, err := t.host.Do(ctx, simhost.Run{Seed: 1, Dir: t.Dir, Args: []string{"-test.list=" + top}, Env: Environment(), Stdout: &out, Stderr: &out})
	if err == nil && res.ExitCode != 0 {
		err = fmt.Errorf("exit code %d: %s", res.ExitCode, out.String())
	}
	if err != nil {
		return fmt.Errorf("listing the tests of %s: %w", t.Path, err)
	}
	for line := range strings.Lines(out.String()) {
		name := strings.TrimSpace(line)
		for _, kind := range []string{"Test", "Example", "Fuzz"} {
			if strings.HasPrefix(name, kind) {
				t.Tests = append(t.Tests, name)
				break
			}
		}
	}
	return nil
}

// Sub is the part of the pattern that selects subtests, with its slash.
func (t *Target) Sub() string {
	if t.sub == "" {
		return ""
	}
	return "/" + t.sub
}

// Close frees the module.
func (t *Target) Close(ctx context.Context) error { return t.host.Close(ctx) }
