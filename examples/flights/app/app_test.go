//go:build !wasip1

package app

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/weirstream/weir/examples/flights/data"
	"github.com/weirstream/weir/examples/flights/traffic"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/runtime/cli"
	"github.com/weirstream/weir/transports/kafka"
)

// loopback refuses to dial anything but this machine.
func loopback(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
		return nil, fmt.Errorf("tests dial 127.0.0.1 only, not %s", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// A bench runs commands of the application against a broker of its own.
type bench struct {
	t       *testing.T
	brokers []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &bench{t, c.ListenAddrs()}
}

// run runs a command and returns what it printed.
func (b *bench) run(ctx context.Context, args ...string) (string, error) {
	b.t.Helper()
	a := &application{App: traffic.New("")}
	cmd := cli.New(a.App.App, cli.With(a.loadCommand(), a.verifyCommand(), a.demoCommand()),
		cli.WithTransport(func(_ context.Context, e *cli.Env) (runtime.Transport, error) {
			return kafka.New(kafka.Config{Brokers: b.brokers, Logger: e.Log, Dialer: loopback})
		}))
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(testLog{b.t})
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimRight(b, "\n"))
	return len(b), nil
}

func (b *bench) must(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	out, err := b.run(ctx, args...)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// worker runs a worker until the function it returns is called.
func (b *bench) worker() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := b.run(ctx, "worker", "--store", "memory", "--state-dir", b.t.TempDir(), "--shutdown-timeout", "10s"); err != nil {
			b.t.Errorf("worker: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	b.t.Cleanup(stop)
	return stop
}

// someFlights writes the first n shipped flights, and one line more of those
// given.
func someFlights(t *testing.T, n int, more ...string) string {
	t.Helper()
	f, err := gzip.NewReader(bytes.NewReader(data.Flights))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for in := bufio.NewScanner(f); len(lines) <= n && in.Scan(); {
		lines = append(lines, in.Text())
	}
	path := filepath.Join(t.TempDir(), "flights.csv")
	if err := os.WriteFile(path, []byte(strings.Join(append(lines, more...), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlightsEndToEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := someFlights(t, 4000)
	b.must("load", "--file", file)
	stop := b.worker()
	out := b.must("verify", "--file", file, "--wait", "1m")
	if !strings.HasPrefix(out, "verify: records=4000 ") || !strings.HasSuffix(out, " mismatches=0\n") {
		t.Errorf("verify printed %q", out)
	}
	b.tables()

	// What is not in the file must be found, in every table.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	other := someFlights(t, 3999, "2001-01-02T23:00,DEN,BOS,61,1754")
	out, err := b.run(ctx, "verify", "--file", other)
	if err == nil {
		t.Errorf("verify accepts another file: %s", out)
	}
	for _, part := range []string{"origin-stats: DEN is", "destination-stats: BOS is", "origin-hourly: {DEN ", "late-flights: 2001-01-02T23:00:00.000 DEN (Denver, CO) to BOS (Boston, MA), 61"} {
		if !strings.Contains(out, part) {
			t.Errorf("verify does not report %q: %s", part, out)
		}
	}

	// A flight that is sent by hand comes to the same.
	stop()
	b.must("send", "flights", "DEN", `{"origin":"DEN","destination":"BOS","delay":5,"distance":1754}`)
	if _, err := b.run(ctx, "verify", "--file", file, "--wait", "1s"); err == nil || !strings.Contains(err.Error(), "not done") {
		t.Errorf("verify does not wait for a record that no worker has seen: %v", err)
	}
	if out := b.must("reset", "--yes", "--state-dir", t.TempDir()); !strings.Contains(out, "delete topic flights-origin-hourly-changelog\n") {
		t.Errorf("reset printed %q", out)
	}
	b.worker()
	if out, err := b.run(ctx, "verify", "--file", file, "--wait", "1m"); err == nil || !strings.Contains(out, "origin-stats: DEN is") {
		t.Errorf("verify after a flight too many: %v: %s", err, out)
	}
}

// tables reads tables with the common commands.
func (b *bench) tables() {
	b.t.Helper()
	var got struct {
		Key    string        `json:"key"`
		Value  traffic.Stats `json:"value"`
		Window *struct {
			Start time.Time `json:"start"`
			End   time.Time `json:"end"`
		} `json:"window"`
	}
	line := b.must("table", "get", "origin-stats", "DEN")
	if err := json.Unmarshal([]byte(line), &got); err != nil || got.Key != "DEN" || got.Value.Count < 10 || got.Window != nil {
		b.t.Errorf("table get printed %q: %+v, %v", line, got, err)
	}
	total, n := got.Value.Count, 0
	dec := json.NewDecoder(strings.NewReader(b.must("table", "get", "origin-hourly", "DEN")))
	for {
		err := dec.Decode(&got)
		if err == io.EOF {
			break
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if got.Window == nil || got.Window.End.Sub(got.Window.Start) != time.Hour || got.Window.Start.Year() != 2001 {
			b.t.Errorf("window is %+v", got.Window)
		}
		n += got.Value.Count
	}
	if n != total {
		b.t.Errorf("the hours of DEN have %d flights, its total is %d", n, total)
	}
	if lines := strings.Count(b.must("table", "dump", "airports"), "\n"); lines < 3000 {
		b.t.Errorf("table dump printed %d airports", lines)
	}
}

func TestTopology(t *testing.T) {
	t.Parallel()
	top, err := traffic.New("").Build()
	if err != nil {
		t.Fatal(err)
	}
	var subs []string
	for _, s := range top.Subs {
		subs = append(subs, s.Name)
	}
	if got := fmt.Sprint(subs); got != "[flights flights-by-destination-repartition]" {
		t.Errorf("sub-topologies are %s", got)
	}
}
