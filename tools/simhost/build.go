package simhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An edit is one change of the runtime's scheduler, by its text: a toolchain
// in which the text is not found is refused, not guessed at.
type edit struct{ old, new string }

// edits make the order of goroutines a matter of the seed. The first turns
// on what the race detector's builds do; the second puts a goroutine that
// becomes runnable at a random place of the queue instead of its end. With one
// P and one thread nobody else reads the queue meanwhile.
var edits = []edit{
	{"const randomizeScheduler = raceenabled", "const randomizeScheduler = true"},
	{
		"\t\tpp.runq[t%uint32(len(pp.runq))].set(gp)\n\t\tatomic.StoreRel(&pp.runqtail, t+1) // store-release, makes the item available for consumption\n\t\treturn\n",
		"\t\tat := h + cheaprandn(t-h+1)\n" +
			"\t\tpp.runq[t%uint32(len(pp.runq))] = pp.runq[at%uint32(len(pp.runq))]\n" +
			"\t\tpp.runq[at%uint32(len(pp.runq))].set(gp)\n" +
			"\t\tatomic.StoreRel(&pp.runqtail, t+1)\n\t\treturn\n",
	},
}

// Overlay writes a build overlay for the installed toolchain into dir and
// returns its file, for the go command's -overlay flag. Only a copy of one
// file of the standard library is changed, for this build alone.
func Overlay(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	proc := filepath.Join(strings.TrimSpace(string(out)), "src", "runtime", "proc.go")
	src, err := os.ReadFile(proc)
	if err != nil {
		return "", err
	}
	text := string(src)
	for _, e := range edits {
		if strings.Count(text, e.old) != 1 {
			return "", fmt.Errorf("%s is not as expected, so the scheduler cannot be seeded: this Go version is not supported by the simulator yet", proc)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	copied := filepath.Join(dir, "proc.go")
	if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {proc: copied}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, overlay, 0o644)
}

// BuildTest compiles the tests of one package for the simulator.
func BuildTest(ctx context.Context, dir, pkg, output string, stderr *os.File) error {
	overlay, err := Overlay(ctx, filepath.Dir(output))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "weirsim", "-overlay", overlay, "-o", output, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the tests of %s: %w", pkg, err)
	}
	return nil
}

// keepModules is how many compiled modules the cache keeps; one is about
// 100 MB.
const keepModules = 8

// prune removes the oldest files of the compilation cache.
func prune(dir string) error {
	type file struct {
		path string
		at   time.Time
	}
	var files []file
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			files = append(files, file{path, info.ModTime()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return b.at.Compare(a.at) })
	for _, f := range files[min(len(files), keepModules):] {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
