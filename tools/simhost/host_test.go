package simhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is what the tests run: goroutines that finish in an order of the
// scheduler's choosing, maps of all kinds, contexts, random numbers, and
// timers.
const program = `package program

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand"
	randv2 "math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

var garbage [][]byte

// noise allocates, logs and makes maps when it is wanted, which must not
// matter.
func noise() {
	if os.Getenv("NOISY") == "" {
		return
	}
	for i := range 1000 {
		fmt.Fprintln(os.Stderr, i, time.Now())
		if garbage = append(garbage, make([]byte, i%100)); i%7 == 0 {
			garbage = nil
		}
		var concurrent sync.Map
		concurrent.Store(i, true)
		local := map[int]bool{i: true} // on the stack
		for k := range local {
			maphash.Comparable(maphash.MakeSeed(), k)
		}
	}
}

func TestOrder(t *testing.T) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	order := ""
	noise()
	for i := range 8 {
		wg.Go(func() {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			order += fmt.Sprint(i)
		})
	}
	wg.Wait()
	m := map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true}
	for k := range m {
		order += fmt.Sprint(k)
	}
	var concurrent sync.Map
	for i := range 40 {
		concurrent.Store(i, true)
	}
	for k := range concurrent.Range {
		order += fmt.Sprint("+", k)
	}
	parent, cancel := context.WithCancel(t.Context())
	for i := range 40 {
		noise()
		child, stop := context.WithTimeout(parent, time.Hour)
		wg.Go(func() {
			defer stop()
			<-child.Done()
			mu.Lock()
			defer mu.Unlock()
			order += fmt.Sprint("-", i)
		})
	}
	time.Sleep(time.Second)
	cancel()
	wg.Wait()
	fmt.Println("order", order, rand.Int(), randv2.Int(), time.Now().UTC())
}

func TestWork(*testing.T) {
	ask, answer := make(chan int), make(chan string)
	go func() {
		for i := range ask {
			answer <- fmt.Sprint(i)
		}
	}()
	known := make(map[string]int)
	for i := range 200_000 {
		ask <- i % 1000
		select {
		case s := <-answer:
			known[s]++
		case <-context.Background().Done():
		}
	}
}

func TestFail(t *testing.T)  { t.Fatal("as it should") }
func TestHang(t *testing.T)  { for { time.Sleep(time.Hour) } }
func TestSpin(t *testing.T)  { for time.Now().Year() < 3000 { } }
`

// load builds the program once for all tests.
var load = sync.OnceValues(func() (loaded, error) {
	code, err := built()
	if err != nil {
		return loaded{}, err
	}
	if code, err = direct(code); err != nil {
		return loaded{}, err
	}
	return compiled(code)
})

var built = sync.OnceValues(build)

// build compiles the program in a new directory.
func build() ([]byte, error) {
	dir, err := os.MkdirTemp("", "simhost-test")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	files := map[string]string{"go.mod": "module program\n\ngo 1.26\n", "program_test.go": program}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	os.Setenv("GOWORK", "off")
	defer os.Unsetenv("GOWORK")
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	wasm := filepath.Join(out, "program.wasm")
	if err := BuildTest(context.Background(), dir, ".", wasm, nil, os.Stderr); err != nil {
		return nil, err
	}
	return os.ReadFile(wasm)
}

// runOnce runs one test of the program.
func runOnce(t *testing.T, r Run, test string) (Result, string, error) {
	t.Helper()
	h, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return runOn(t, h.Host, r, test)
}

func runOn(t testing.TB, h *Host, r Run, test string) (Result, string, error) {
	t.Helper()
	var out bytes.Buffer
	r.Args = append([]string{"-test.run", "^" + test + "$", "-test.timeout", "0"}, r.Args...)
	r.Stdout, r.Dir = &out, t.TempDir()
	res, err := h.Do(t.Context(), r)
	return res, out.String(), err
}

// orderLine is the line that the program printed.
func orderLine(t *testing.T, out string) string {
	t.Helper()
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "order ") {
			return line
		}
	}
	t.Fatalf("no order line in %q", out)
	return ""
}

func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(5) {
		a, outA, err := runOnce(t, Run{Seed: seed}, "TestOrder")
		if err != nil {
			t.Fatal(err)
		}
		for _, env := range [][]string{nil, {"GOGC=10"}, {"GOGC=off"}, {"NOISY=1"}} {
			b, outB, err := runOnce(t, Run{Seed: seed, Env: env}, "TestOrder")
			if err != nil {
				t.Fatal(err)
			}
			if a.Trace != b.Trace || a.Virtual != b.Virtual || a.Events != b.Events || orderLine(t, outA) != orderLine(t, outB) {
				t.Errorf("seed %d with %v:\n%+v\n%+v\n%s%s", seed, env, a, b, orderLine(t, outA), orderLine(t, outB))
			}
		}
	}
}

// A program is the same from whatever directory it was built, so that it runs the
// same way: nothing in it has the name of the directory.
func TestSameProgramFromAnyDirectory(t *testing.T) {
	here, err := built()
	if err != nil {
		t.Fatal(err)
	}
	there, err := build()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(here, there) {
		t.Errorf("programs of %d and %d bytes that are not the same", len(here), len(there))
	}
}

func TestSeedsDiffer(t *testing.T) {
	traces, orders := make(map[string]bool), make(map[string]bool)
	const n = 20
	for seed := range uint64(n) {
		res, out, err := runOnce(t, Run{Seed: seed}, "TestOrder")
		if err != nil {
			t.Fatal(err)
		}
		traces[res.Trace] = true
		orders[strings.Fields(orderLine(t, out))[1][:8]] = true
		if res.Virtual < 2*time.Second || res.Virtual > 3*time.Second {
			t.Errorf("virtual time %s, want a little over two seconds", res.Virtual)
		}
	}
	if len(orders) < n*9/10 {
		t.Errorf("%d seeds gave %d orders of goroutines", n, len(orders))
	}
	if len(traces) != n {
		t.Errorf("%d seeds gave %d traces", n, len(traces))
	}
}

// TestOrdersDiffer: an order is another run of the same seed, and always the same.
func TestOrdersDiffer(t *testing.T) {
	traces, orders := make(map[string]bool), make(map[string]bool)
	const n = 10
	for order := range uint32(n) {
		var again string
		for range 2 {
			res, out, err := runOnce(t, Run{Seed: 7, Order: order}, "TestOrder")
			if err != nil {
				t.Fatal(err)
			}
			if again != "" && res.Trace != again {
				t.Errorf("order %d gave two traces", order)
			}
			again = res.Trace
			orders[strings.Fields(orderLine(t, out))[1][:8]] = true
		}
		traces[again] = true
	}
	if len(orders) < n*9/10 || len(traces) != n {
		t.Errorf("%d orders of goroutines and %d traces, want %d", len(orders), len(traces), n)
	}
}

func TestExitCode(t *testing.T) {
	res, out, err := runOnce(t, Run{Seed: 1}, "TestFail")
	if err != nil || res.ExitCode != 1 || !strings.Contains(out, "as it should") {
		t.Errorf("exit code %d, error %v, output %q", res.ExitCode, err, out)
	}
}

func TestWatchdogs(t *testing.T) {
	for _, c := range []struct {
		test string
		run  Run
		want error
	}{
		{"TestHang", Run{Deadline: 10 * 24 * time.Hour}, ErrDeadline},
		{"TestSpin", Run{Wall: 2 * time.Second}, ErrWall},
	} {
		if _, _, err := runOnce(t, c.run, c.test); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.test, err, c.want)
		}
	}
}

func TestParallelRunsDoNotMix(t *testing.T) {
	t.Parallel()
	want, _, err := runOnce(t, Run{Seed: 3}, "TestOrder")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			got, _, err := runOnce(t, Run{Seed: 3}, "TestOrder")
			if err != nil || got.Trace != want.Trace {
				t.Errorf("%+v, error %v; want %+v", got, err, want)
			}
		})
	}
}
