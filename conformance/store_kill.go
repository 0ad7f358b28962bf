package conformance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/weirstream/weir/core/store"
)

// The child learns the directory of its store, that it is the child, and what
// to do there.
const (
	killDirVariable  = "WEIR_CONFORMANCE_KILL_DIR"
	killWorkVariable = "WEIR_CONFORMANCE_KILL_WORK"
	// faultVariable names the bug that is planted in the child, too.
	faultVariable = "WEIR_CONFORMANCE_FAULT"
)

// killWork is what a child does until it is killed, by name.
func killWork(name string) func(s store.Store) error {
	if name == loadWork {
		return loadUntilKilled
	}
	return applyUntilKilled
}

// runKillChild is what the child does: it works, says what is done, and never
// ends by itself.
func runKillChild(f StoreFactory) {
	dir := os.Getenv(killDirVariable)
	if dir == "" {
		return
	}
	runFullChild(f, dir)
	fmt.Fprintln(os.Stderr, killChild(f, dir))
	os.Exit(3)
}

func killChild(f StoreFactory, dir string) error {
	s, err := f.OpenDir(dir)
	if err != nil {
		return err
	}
	return killWork(os.Getenv(killWorkVariable))(s)
}

// applyUntilKilled makes the history, one step after another.
func applyUntilKilled(s store.Store) error {
	_, ps, err := openHistory(s)
	if err != nil {
		return err
	}
	h := history{valueBytes: 3000}
	for i := int(ps[1].Changelog) + 1; ; i++ {
		if err := h.do(s, i); err != nil {
			return err
		}
		if err := sayApplied(i); err != nil {
			return err
		}
	}
}

// sayApplied writes straight to the pipe: a line that was written was applied
// before.
func sayApplied(i int) error {
	_, err := fmt.Fprintf(os.Stdout, "applied %d\n", i)
	return err
}

// checkKill kills a process with SIGKILL while it writes, several times over
// the same directory: all that it said to be applied must be there.
func checkKill(tb TB, f StoreFactory) {
	if f.OpenDir == nil {
		tb.Fatalf("%s declares %q without OpenDir", f.Name, SurvivesKill)
	}
	dir := filepath.Join(tb.TempDir(), "store")
	h := history{valueBytes: 3000}
	reached, kills := 0, 0
	defer func() { tb.Logf("%d kills", kills) }()
	for round, after := range []int{1, 2, 40, 300, 700} {
		if short() && round == 3 {
			break
		}
		acked := killAfter(tb, f, dir, "", after)
		kills++
		s, err := f.OpenDir(dir)
		if err != nil {
			tb.Fatalf("opening after SIGKILL: %v", err)
		}
		// A step may have been applied and not yet reported. A drop has no
		// position, so that the next process does it again.
		k, err := h.prefix(s, max(acked, reached), acked+1)
		if err != nil {
			tb.Fatalf("killed after %d steps were reported: %v", acked, err)
		}
		reached = k
		if err := s.Close(); err != nil {
			tb.Fatalf("closing: %v", err)
		}
	}
}

// killAfter runs a child until it reported n times, kills it, and returns the
// last step that it reported.
func killAfter(tb TB, f StoreFactory, dir, work string, n int) int {
	tb.Helper()
	// Whatever happens here, the child must not outlive the check.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := childCommand(ctx, tb, f, dir, work)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		tb.Fatalf("starting a child: %v", err)
	}
	lines, last, killed := bufio.NewScanner(out), 0, false
	for seen := 0; lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "applied %d", &last); err != nil {
			continue
		}
		if seen++; seen == n {
			killed = cmd.Process.Kill() == nil
		}
	}
	err = cmd.Wait()
	if !killed {
		tb.Fatalf("the child ended by itself: %v\n%s", err, stderr.String())
	}
	return last
}

// childCommand runs the test that runs the suite again, in a process that does
// the work instead.
func childCommand(ctx context.Context, tb TB, f StoreFactory, dir, work string) *exec.Cmd {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatalf("finding the test binary: %v", err)
	}
	var pattern []string
	for part := range strings.SplitSeq(f.test, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(ctx, exe, "-test.run="+strings.Join(pattern, "/"), "-test.v=false")
	cmd.Env = append(os.Environ(), killDirVariable+"="+dir, killWorkVariable+"="+work, faultVariable+"="+f.fault)
	return cmd
}
