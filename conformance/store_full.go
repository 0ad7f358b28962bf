package conformance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/core/store"
)

// fullSteps is how many steps a child makes on a disk that becomes full.
const fullSteps = 300

// fullLimits are the sizes beyond which no file grows: from one that leaves
// room for little more than what a store writes when it is opened to one that
// few files reach.
func fullLimits() []int { return []int{32 << 10, 48 << 10, 80 << 10, 128 << 10, 512 << 10} }

// fillDisk is what the child does: it works until a call fails, and says so.
func fillDisk(f StoreFactory, dir, limit string) error {
	n, err := strconv.Atoi(limit)
	if err == nil {
		err = limitFiles(uint64(n))
	}
	if err != nil {
		return fmt.Errorf("limiting files to %s bytes: %w", limit, err)
	}
	_, err = fmt.Printf("ended: %v\n", fillUntilFailure(f, dir))
	return err
}

func fillUntilFailure(f StoreFactory, dir string) error {
	s, err := f.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := fillStore(s); err != nil {
		_ = s.Close()
		return err
	}
	return s.Close()
}

func fillStore(s store.Store) error {
	if _, _, err := openHistory(s); err != nil {
		return err
	}
	h := history{valueBytes: 3000}
	for i := 1; i <= fullSteps; i++ {
		if err := h.do(s, i); err != nil {
			return err
		}
		if err := sayApplied(i); err != nil {
			return err
		}
		if i%5 == 0 {
			if err := s.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFullDisk runs a process whose files cannot grow beyond a limit, as on a
// disk that is full: calls fail with an error that says why. Without the limit
// the store opens with all that was reported as applied, at the position that
// belongs to it, and goes on.
func checkFullDisk(tb TB, f StoreFactory) {
	if f.OpenDir == nil {
		tb.Fatalf("%s declares %q without OpenDir", f.Name, ReportsFullDisk)
	}
	if !canLimitFiles {
		tb.Skipf("this system cannot limit the size of files (RLIMIT_FSIZE)")
	}
	reported := 0
	for _, limit := range fullLimits() {
		dir := filepath.Join(tb.TempDir(), "store")
		acked, said := fillInChild(tb, f, dir, limit)
		when := fmt.Sprintf("files limited to %d bytes, %d steps reported as applied, then %q", limit, acked, said)
		if said != "<nil>" {
			reported++
			if !strings.Contains(strings.ToLower(said), "file too large") {
				tb.Errorf("%s: the error does not give the system's reason", when)
			}
		}
		mustGoOn(tb, f, dir, when, acked)
	}
	if reported == 0 {
		tb.Fatalf("files could not grow beyond any of %v bytes, and no call ever said so", fullLimits())
	}
	tb.Logf("the disk was full at %d sizes; calls said so at %d of them", len(fullLimits()), reported)
}

// mustGoOn opens a directory whose disk is well again.
func mustGoOn(tb TB, f StoreFactory, dir, when string, acked int) {
	tb.Helper()
	s, err := f.OpenDir(dir)
	if err != nil {
		tb.Fatalf("%s: opening without the limit: %v", when, err)
	}
	h := history{valueBytes: 3000}
	k, err := h.prefix(s, acked, min(acked+1, fullSteps))
	if err != nil {
		tb.Fatalf("%s: %v", when, err)
	}
	for i := k + 1; i <= k+5; i++ {
		if err := h.do(s, i); err != nil {
			tb.Fatalf("%s: writing on: %v", when, err)
		}
	}
	if _, err := h.prefix(s, k+5, k+5); err != nil {
		tb.Fatalf("%s: after writing on: %v", when, err)
	}
	if err := s.Close(); err != nil {
		tb.Fatalf("%s: closing: %v", when, err)
	}
}

// fillInChild returns the last step that the child reported, and the error
// with which it ended.
func fillInChild(tb TB, f StoreFactory, dir string, limit int) (acked int, said string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := childCommand(ctx, tb, f, dir, fullWork+strconv.Itoa(limit))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "applied %d", &acked)
		if text, ok := strings.CutPrefix(lines.Text(), "ended: "); ok {
			said = text
		}
	}
	if said == "" {
		tb.Fatalf("files limited to %d bytes: after %d steps the process ended without an error of the store: %v\n%s", limit, acked, err, stderr.String())
	}
	return acked, said
}

// fullWork and a number of bytes names the work in the child's environment.
const fullWork = "full:"

// runFullChild does that work when it is what the environment asks for.
func runFullChild(f StoreFactory, dir string) bool {
	limit, ok := strings.CutPrefix(os.Getenv(killWorkVariable), fullWork)
	if !ok {
		return false
	}
	if err := fillDisk(f, dir, limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	os.Exit(0)
	return true
}
