package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/core/record"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/transports/kafka"
)

// counter counts the records of each key, in all and by the minute.
func counter() *weir.App {
	app := weir.NewApp("counter")
	in := weir.NewTopic[string, int](app, "in", weir.Partitions(2))
	sums := weir.NewTable[string, int](app, "sums")
	minutes := weir.NewWindowedTable[string, int](app, "minutes", weir.Tumbling(time.Minute), weir.RetainForever())
	weir.EachEvent(in.Stream(), "count", func(ctx weir.Context, ev weir.Event[string, int]) error {
		if ev.Value == 0 {
			return sums.Delete(ctx, ev.Key)
		}
		add := func(n int) int { return n + ev.Value }
		if err := sums.Update(ctx, ev.Key, add); err != nil {
			return err
		}
		return minutes.Update(ctx, ev.Key, add)
	}, weir.Uses(sums, minutes))
	return app
}

// A bench runs commands against a broker of its own.
type bench struct {
	t       *testing.T
	brokers []string
	dir     string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &bench{t, c.ListenAddrs(), t.TempDir()}
}

func loopback(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
		return nil, fmt.Errorf("tests dial 127.0.0.1 only, not %s", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// run runs a command and returns what it printed.
func (b *bench) run(ctx context.Context, input string, args ...string) (string, error) {
	cmd := New(counter(), WithTransport(func(_ context.Context, e *Env) (runtime.Transport, error) {
		return kafka.New(kafka.Config{Brokers: b.brokers, Logger: e.Log, Dialer: loopback})
	}))
	var out, logs bytes.Buffer
	cmd.SetArgs(append(args, "--state-dir", b.dir))
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&logs)
	err := cmd.ExecuteContext(ctx)
	b.t.Logf("%s: %v\n%s", strings.Join(args, " "), err, logs.String())
	return out.String(), err
}

func (b *bench) must(args ...string) string {
	b.t.Helper()
	out, err := b.run(within(b.t), "", args...)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (b *bench) fails(want string, args ...string) {
	b.t.Helper()
	if out, err := b.run(within(b.t), "", args...); err == nil || !strings.Contains(err.Error(), want) {
		b.t.Errorf("%s: error %v, want one with %q; printed %q", strings.Join(args, " "), err, want, out)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// until repeats a command until it prints something.
func (b *bench) until(want string, args ...string) {
	b.t.Helper()
	for ctx := within(b.t); ctx.Err() == nil; {
		if out, err := b.run(ctx, "", args...); err == nil && out == want {
			return
		}
	}
	b.t.Fatalf("%s never prints %q", strings.Join(args, " "), want)
}

func (b *bench) worker() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := b.run(ctx, "", "worker"); err != nil {
			b.t.Errorf("worker: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	b.t.Cleanup(stop)
	return stop
}

func TestCommands(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if out := b.must("topics", "list"); !strings.Contains(out, "in                         external   missing") {
		t.Errorf("topics list before: %s", out)
	}
	if out := b.must("topics", "create", "--config", "retention.ms=-1"); out != "in\ncounter-minutes-changelog\ncounter-sums-changelog\n" {
		t.Errorf("topics create printed %q", out)
	}
	if out := b.must("topics", "create"); out != "" {
		t.Errorf("topics create again printed %q", out)
	}
	if out := b.must("topics", "list"); strings.Contains(out, "missing") || !strings.Contains(out, "compact") {
		t.Errorf("topics list after: %s", out)
	}
	stop := b.worker()
	input := `{"key": "a", "value": 5, "time": "2001-02-03T04:05:06Z"}
{"key": "b", "value": 7, "time": "2001-02-03T04:05:07Z"}

{"key": "a", "value": 6, "time": "2001-02-03T04:06:00Z"}
{"key": "gone", "value": 1, "time": "2001-02-03T04:06:01Z"}
{"key": "gone", "value": 0, "time": "2001-02-03T04:06:02Z"}
`
	if out, err := b.run(within(t), input, "send", "in"); err != nil {
		t.Fatal(out, err)
	}
	// All of "minutes" is there once the newest record is.
	b.until(`{"key":"gone","window":{"start":"2001-02-03T04:06:00Z","end":"2001-02-03T04:07:00Z"},"value":1}`+"\n", "table", "get", "minutes", "gone")
	b.until(`{"key":"a","value":11}`+"\n", "table", "get", "sums", "a")
	b.until(`{"key":"b","value":7}`+"\n", "table", "get", "sums", `"b"`)
	want := `{"key":"a","window":{"start":"2001-02-03T04:05:00Z","end":"2001-02-03T04:06:00Z"},"value":5}
{"key":"a","window":{"start":"2001-02-03T04:06:00Z","end":"2001-02-03T04:07:00Z"},"value":6}
`
	if out := b.must("table", "get", "minutes", "a"); out != want {
		t.Errorf("table get of a windowed table printed %q", out)
	}
	if out := b.must("table", "dump", "sums"); strings.Count(out, "\n") != 2 || strings.Contains(out, "gone") {
		t.Errorf("table dump printed %q", out)
	}
	b.fails("not found", "table", "get", "sums", "gone")
	b.fails("choose one of sums, minutes", "table", "dump", "summs")
	b.fails("value x for topic", "send", "in", "a", "x")
	b.fails("choose one of in", "send", "out", "a", "1")
	b.must("send", "in", "b", "1")
	b.until(`{"key":"b","value":8}`+"\n", "table", "get", "sums", "b")

	b.fails("active members", "reset", "--yes")
	second := *b
	second.fails("give each worker its own with --state-dir", "worker", "--lock-timeout", "0s")
	stop()
	b.resets()
}

// resets tries all ways of a reset.
func (b *bench) resets() {
	b.t.Helper()
	plan := "delete topic counter-minutes-changelog\ndelete topic counter-sums-changelog\n" +
		"delete the committed offsets of group counter\ndelete directory " + b.dir + "\n"
	if out := b.must("reset", "--dry-run"); out != plan {
		b.t.Errorf("reset --dry-run printed %q, want %q", out, plan)
	}
	if _, err := b.run(within(b.t), "yes\n", "reset"); err == nil || !strings.Contains(err.Error(), "nothing was deleted") {
		b.t.Errorf("reset that is not confirmed: %v", err)
	}
	b.until(`{"key":"b","value":8}`+"\n", "table", "get", "sums", "b")
	if _, err := os.Stat(filepath.Join(b.dir, instanceFile)); err != nil {
		b.t.Errorf("the state directory after a reset that did not happen: %v", err)
	}
	if out, err := b.run(within(b.t), "counter\n", "reset"); err != nil || out != plan {
		b.t.Errorf("reset printed %q, %v", out, err)
	}
	if _, err := os.Stat(b.dir); !errors.Is(err, os.ErrNotExist) {
		b.t.Errorf("the state directory after a reset: %v", err)
	}
	if out := b.must("reset", "--yes"); out != "nothing to delete\n" {
		b.t.Errorf("reset after a reset printed %q", out)
	}
	b.fails("does not exist", "table", "dump", "sums")
	// The input is read again from the start.
	b.worker()
	b.until(`{"key":"b","value":8}`+"\n", "table", "get", "sums", "b")
}

func TestParseLine(t *testing.T) {
	t.Parallel()
	app := counter()
	info := app.Topics()[0]
	tests := map[string]struct {
		line, key, value string
		nullKey, null    bool
		at               string
	}{
		"all":          {line: `{"key":"k","value":3,"time":"2001-01-01T00:00:00Z"}`, key: "k", value: "3", at: "2001-01-01T00:00:00Z"},
		"no key":       {line: `{"value":3}`, nullKey: true, value: "3"},
		"null key":     {line: `{"key":null,"value":3}`, nullKey: true, value: "3"},
		"tombstone":    {line: `{"key":"k","value":null}`, key: "k", null: true},
		"key \"null\"": {line: `{"key":"null","value":3}`, key: "null", value: "3"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := parseLine(info, []byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if (r.Key == nil) != tt.nullKey || string(r.Key) != tt.key || (r.Value == nil) != tt.null {
				t.Errorf("got %q %q", r.Key, r.Value)
			}
			if v, err := info.DecodeValue(r.Value); !tt.null && (err != nil || fmt.Sprint(v) != tt.value) {
				t.Errorf("value is %v, %v", v, err)
			}
			if at := time.UnixMilli(r.Time).UTC().Format(time.RFC3339); tt.at != "" && at != tt.at {
				t.Errorf("time is %s, want %s", at, tt.at)
			}
		})
	}
	for line, want := range map[string]string{
		`{"key":"k"}`:                      `no "value"`,
		`{"key":"k","value":"three"}`:      "value",
		`{"key":"k","value":3,"when":"x"}`: "unknown field",
		`not json`:                         "write {",
	} {
		if r, err := parseLine(info, []byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q; got %v", line, err, want, r)
		}
	}
}

func TestReadLinesNamesTheLine(t *testing.T) {
	t.Parallel()
	var got []error
	for _, err := range readLines(strings.NewReader("{\"value\":1}\n\nbad\n{\"value\":2}\n"), counter().Topics()[0]) {
		got = append(got, err)
	}
	if len(got) != 2 || got[0] != nil || !strings.Contains(got[1].Error(), "line 3") {
		t.Errorf("got %v", got)
	}
}

func TestLineOf(t *testing.T) {
	t.Parallel()
	minutes := counter().Tables()[1]
	value, err := weir.Signed[int]{}.Append(nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lineOf(minutes, TableEntry{Windowed: true, Start: 60000, Key: []byte(`<"é`), Value: value})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(l)
	if want := `{"key":"\u003c\"é","window":{"start":"1970-01-01T00:01:00Z","end":"1970-01-01T00:02:00Z"},"value":5}`; err != nil || string(b) != want {
		t.Errorf("line is %s, %v; want %s", b, err, want)
	}
	if _, err := lineOf(minutes, TableEntry{Key: []byte("k"), Value: []byte("short")}); err == nil || !strings.Contains(err.Error(), `table "minutes"`) {
		t.Errorf("a value that is none: %v", err)
	}
}

func TestTopologyFormats(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, dir: t.TempDir()}
	for format, parts := range map[string][]string{
		"text":    {"application counter", "count", "counter-sums-changelog"},
		"json":    {`"app": "counter"`, `"minutes"`},
		"dot":     {"digraph", "minutes"},
		"mermaid": {"flowchart", "minutes"},
	} {
		out := b.must("topology", "--format", format)
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("format %s has no %q:\n%s", format, part, out)
			}
		}
	}
	if out := b.must("topology", "--format=json"); !json.Valid([]byte(out)) {
		t.Errorf("JSON is %s", out)
	}
	b.fails("use text or json", "topology", "--format", "png")
	b.fails("unknown command", "toplogy")
}

func TestWith(t *testing.T) {
	t.Parallel()
	name := ""
	cmd := New(counter(), With(&cobra.Command{Use: "hello", RunE: func(cmd *cobra.Command, _ []string) error {
		e := From(cmd.Context())
		name = e.App.Name() + " on " + e.Settings.Brokers[0]
		return nil
	}}))
	cmd.SetArgs([]string{"hello", "--brokers", "127.0.0.1:1"})
	if err := cmd.ExecuteContext(t.Context()); err != nil || name != "counter on 127.0.0.1:1" {
		t.Errorf("the command saw %q, %v", name, err)
	}
}

// A read ends where the log ended when it began, and skips what was aborted.
func TestReadTopic(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("topics", "create")
	ctx := within(t)
	tr, err := kafka.New(kafka.Config{Brokers: b.brokers, Dialer: loopback})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	p, err := tr.Producer(ctx, "txn")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	send := func(value string, claim error) runtime.Outcome {
		return p.Commit(ctx, runtime.Commit{
			Records: [][]record.Record{{{Topic: "in", Partition: 1, Key: []byte("k"), Value: []byte(value)}}},
			Claim:   func() error { return claim },
		}).Outcome
	}
	if o := send("one", nil); o != runtime.Committed {
		t.Fatal(o)
	}
	if o := send("two", errors.New("no")); o == runtime.Committed {
		t.Fatal(o)
	}
	var got []string
	err = ReadTopic(ctx, tr, "in", func(r *record.Record) error {
		got = append(got, string(r.Value))
		send("three", nil) // comes too late to be read
		return nil
	})
	if err != nil || fmt.Sprint(got) != "[one]" {
		t.Errorf("read %v, %v; want [one]", got, err)
	}
	if err := ReadTopic(ctx, tr, "none", func(*record.Record) error { return nil }); err == nil {
		t.Error("a topic that does not exist can be read")
	}
}
