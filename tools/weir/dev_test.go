package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// asWeir makes the test binary be the command, so that tests can run it as a
// process of its own and kill it.
const asWeir = "WEIR_TEST_RUN_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asWeir) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is a running `weir`.
type process struct {
	cmd  *exec.Cmd
	addr string
	errs *strings.Builder
}

// dev starts `weir dev` and waits for the line with its address.
func dev(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], append([]string{"dev"}, args...)...), errs: new(strings.Builder)}
	p.cmd.Env = append(os.Environ(), asWeir+"=1")
	p.cmd.Stderr = p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		p.cmd.Wait()
		t.Fatalf("weir dev said %q, %v; stderr: %s", line, err, p.errs)
	}
	p.addr = addr
	return p
}

// end sends the signal and waits for the process to end.
func (p *process) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	err := p.cmd.Wait()
	if sig == syscall.SIGKILL {
		return
	}
	if err != nil {
		t.Fatalf("weir dev ended with %v; stderr: %s", err, p.errs)
	}
}

func (p *process) port() string {
	_, port, _ := net.SplitHostPort(p.addr)
	return port
}

func (p *process) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.addr)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// transact sends the values in one transaction and flushes them before it
// ends, so that an abort has something to abort.
func transact(t *testing.T, cl *kgo.Client, how kgo.TransactionEndTry, values ...string) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "in", Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.EndTransaction(ctx, how); err != nil {
		t.Fatal(err)
	}
}

// read returns the first n values of the topic that are committed, and fails
// on any record after them.
func read(t *testing.T, p *process, n int) []string {
	t.Helper()
	cl := p.client(t, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"in": {0: kgo.NewOffset().AtStart()}}))
	ctx := within(t, 20*time.Second)
	var got []string
	for len(got) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

func TestDevKeepsItsData(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := dev(t, "--port", "0", "--dir", dir)
			old := p.client(t, kgo.TransactionalID("tx"))
			adm := kadm.NewClient(p.client(t))
			ctx := within(t, 30*time.Second)
			if _, err := adm.CreateTopic(ctx, 1, 1, map[string]*string{"cleanup.policy": new("compact")}, "in"); err != nil {
				t.Fatal(err)
			}
			transact(t, old, kgo.TryCommit, "a", "b")
			transact(t, old, kgo.TryAbort, "x", "y")
			transact(t, old, kgo.TryCommit, "c")
			var offsets kadm.Offsets
			offsets.AddOffset("in", 0, 3, -1)
			if err := adm.CommitAllOffsets(ctx, "group", offsets); err != nil {
				t.Fatal(err)
			}
			p.end(t, sig)

			p = dev(t, "--port", p.port(), "--dir", dir)
			if got := fmt.Sprint(read(t, p, 3)); got != "[a b c]" {
				t.Errorf("read %s, want [a b c]", got)
			}
			adm = kadm.NewClient(p.client(t))
			committed, err := adm.FetchOffsets(ctx, "group")
			if o, ok := committed.Lookup("in", 0); err != nil || !ok || o.At != 3 {
				t.Errorf("committed offset %v, %v; want 3", o, err)
			}
			configs, err := adm.DescribeTopicConfigs(ctx, "in")
			if err != nil {
				t.Fatal(err)
			}
			if got := cleanupPolicy(configs); got != "compact" {
				t.Errorf("cleanup.policy is %q, want compact", got)
			}
			// A producer of the same transactional ID must fence the old one:
			// the epoch went on where it was.
			transact(t, p.client(t, kgo.TransactionalID("tx")), kgo.TryCommit, "d")
			if err := old.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			err = old.ProduceSync(ctx, &kgo.Record{Topic: "in", Value: []byte("zombie")}).FirstErr()
			if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
				t.Errorf("the replaced producer got %v, want to be fenced", err)
			}
			if got := fmt.Sprint(read(t, p, 4)); got != "[a b c d]" {
				t.Errorf("read %s, want [a b c d]", got)
			}
			p.end(t, syscall.SIGTERM)
		})
	}
}

func cleanupPolicy(configs kadm.ResourceConfigs) string {
	for _, rc := range configs {
		for _, c := range rc.Configs {
			if c.Key == "cleanup.policy" {
				return c.MaybeValue()
			}
		}
	}
	return ""
}

func TestDevCreatesNoTopicUnasked(t *testing.T) {
	t.Parallel()
	p := dev(t, "--port", "0", "--dir", t.TempDir(), "--partitions", "3")
	ctx := within(t, 20*time.Second)
	cl := p.client(t, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	err := cl.ProduceSync(ctx, &kgo.Record{Topic: "typo", Value: []byte("v")}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("produce to a missing topic: %v, want UNKNOWN_TOPIC_OR_PARTITION", err)
	}
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, -1, -1, nil, "asked"); err != nil {
		t.Fatal(err)
	}
	topics, err := adm.ListTopics(ctx)
	if err != nil || topics.Has("typo") || len(topics["asked"].Partitions) != 3 {
		t.Errorf("topics %v, %v; want only one with 3 partitions", topics.Names(), err)
	}
}

func TestDevReadyFile(t *testing.T) {
	t.Parallel()
	ready := filepath.Join(t.TempDir(), "ready")
	p := dev(t, "--port", "0", "--dir", "", "--ready-file", ready)
	// The file is written before the line, so it is there by now.
	if b, err := os.ReadFile(ready); err != nil || string(b) != p.addr+"\n" {
		t.Errorf("ready file holds %q, %v; want %s", b, err, p.addr)
	}
	p.end(t, syscall.SIGTERM)
	if _, err := os.Stat(ready); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ready file after the end: %v, want it gone", err)
	}
}

func TestDevRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := dev(t, "--port", "0", "--dir", dir)
	tests := map[string]struct {
		args []string
		want string
	}{
		"a directory in use": {[]string{"--port", "0", "--dir", dir}, "in use"},
		"a port in use":      {[]string{"--port", p.port(), "--dir", t.TempDir()}, "address already in use"},
		"a bad port":         {[]string{"--port", "70000", "--dir", ""}, "from 1 to 65535"},
		"a bad log level":    {[]string{"--log", "loud"}, "choose none, error"},
		"arguments":          {[]string{"more"}, "unknown command"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := newRoot()
			root.SetArgs(append([]string{"dev"}, tt.args...))
			err := root.ExecuteContext(within(t, 10*time.Second))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
