package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A shop is a copy of examples/simulated in a directory of its own, as a user's
// module that requires weir at a path.
type shop struct{ t *testing.T }

func newShop(t *testing.T) *shop {
	t.Helper()
	if testing.Short() || raced {
		t.Skip("compiles for the simulator, which takes minutes with the race detector: make sim runs it without")
	}
	dir, err := filepath.Abs("../../examples/simulated")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(filepath.Dir(dir))
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(to)
	t.Setenv("GOWORK", "off")
	s := &shop{t}
	s.edit("go.mod", func(text string) string { return strings.Replace(text, "=> ../..", "=> "+root, 1) })
	return s
}

func (s *shop) edit(file string, change func(string) string) {
	s.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	text := change(string(b))
	if text == string(b) {
		s.t.Fatalf("%s is as it was", file)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// weir runs the command.
func (s *shop) weir(args ...string) (out string, err error) {
	s.t.Helper()
	var b syncBuffer
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	err = cmd.ExecuteContext(s.t.Context())
	return b.String(), err
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// want matches the output of the command and returns what the groups matched.
func (s *shop) want(out, pattern string) []string {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("no match for %q in\n%s", pattern, out)
	}
	return m[1:]
}

// fix does what the README says.
func (s *shop) fix() {
	s.t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		s.t.Fatal(err)
	}
	code := s.want(string(readme), "(?s)```go\n(func Vouchers.*?)```")[0]
	s.edit("vouchers.go", func(text string) string { return text[:strings.Index(text, "func Vouchers")] + code })
	if err := os.Remove("counter.go"); err != nil {
		s.t.Fatal(err)
	}
}

// TestSimulatedExample goes the way of examples/simulated/README.md: the bug is
// found, replayed, shrunk, looked at, and gone once it is fixed.
func TestSimulatedExample(t *testing.T) {
	s := newShop(t)
	out, err := s.weir("sim", "run", "--run", "TestVouchers", "--seed", "1", "--seeds", "20", "--fail-fast", "--jobs", "1")
	if err == nil {
		t.Fatalf("the bug was not found:\n%s", out)
	}
	m := s.want(out, `^seed=(\d+) trace=([0-9a-f]{64}) virtual=[0-9a-z.]+ events=\d+ faults=\d+ FAILED$`)
	seed, hash := m[0], m[1]
	s.want(out, `^--- TestVouchers fails with seed `+seed+`: S1$`)
	s.want(out, `^shrunk in \d+ runs from \d+ faults and 300 records to \d faults and \d+ records, which still fail in that way:$`)
	s.want(out, `BROKEN S1: topic vouchers, key "customer-`)
	page, err := os.ReadFile(s.want(out, `^timeline: (.*\.html)$`)[0])
	if err != nil || !bytes.Contains(page, []byte("w0.1 started")) {
		t.Errorf("the page of the timeline: %v\n%s", err, page)
	}
	s.want(out, `^kinds of faults never injected: .*F\d`)
	command := s.want(out, `^replay the small case: weir (.*)$`)[0]
	s.want(out, `^replay it: weir (sim replay `+seed+` example.com/shop --run '\^TestVouchers\$')$`)

	t.Run("replay of the small case", func(t *testing.T) {
		args := strings.Fields(strings.ReplaceAll(command, "'", ""))
		out, err := s.weir(args...)
		if err == nil {
			t.Error("it passes")
		}
		s.want(out, `^  S1: topic vouchers`)
	})
	t.Run("looking changes nothing", func(t *testing.T) { s.look(seed, hash) })

	s.fix()
	if out, err := s.weir("sim", "run", "--seed", seed, "--seeds", "3", "--check", "1"); err != nil {
		t.Fatalf("the fix does not help: %v\n%s", err, out)
	} else {
		s.want(out, `^3 of 3 seeds gave the same trace a second time`)
		s.want(out, `TestVouchers TestThirdOrder$`)
	}
}

// look replays a seed in several ways and compares the traces.
func (s *shop) look(seed, hash string) {
	t := s.t
	replay := func(args ...string) string {
		out, _ := s.weir(append([]string{"sim", "replay", seed, "--run", "TestVouchers"}, args...)...)
		return out
	}
	trace := func(name string) []string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.SplitAfter(string(b), "\n")
	}
	const event = "500"
	seen := replay("--trace", "all.txt", "--from", event, "--stacks", event, "--state", event, "--env", "GOGC=50")
	if got := s.want(seen, `^seed=`+seed+` trace=([0-9a-f]{64}) .* FAILED$`)[0]; got != hash {
		t.Errorf("looking changed the trace from %s to %s", hash, got)
	}
	s.want(seen, `^all goroutines at event 500, `)
	s.want(seen, `^goroutine \d+ \[`)
	s.want(seen, `^state at event 500, `)
	s.want(seen, ` DEBUG `)
	all := trace("all.txt")
	s.want(all[499], `^500 \d+ \S`)

	ended := replay("--trace", "part.txt", "--until", event)
	s.want(ended, `^ended at event 500, `)
	if part := trace("part.txt"); len(part) != 501 || strings.Join(part, "") != strings.Join(all[:500], "") {
		t.Errorf("until event 500 there are %d lines, and they are not the first of the whole", len(part))
	}
}
