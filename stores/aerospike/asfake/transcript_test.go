package asfake_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	as "github.com/aerospike/aerospike-client-go/v7"

	"github.com/weirstream/weir/stores/aerospike/asfake"
)

func start(t *testing.T, o asfake.Options) *asfake.Server {
	t.Helper()
	s, err := asfake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, addr string, change ...func(*as.ClientPolicy)) *as.Client {
	t.Helper()
	p := as.NewClientPolicy()
	p.Timeout = 5 * time.Second
	for _, f := range change {
		f(p)
	}
	hosts, err := as.NewHosts(addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := as.NewClientWithPolicyAndHost(p, hosts...)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

func gen(n uint32) *uint32 { return &n }

// scenario goes through what the store relies on. Each run uses a set of its
// own, so nothing is there at first.
func scenario() []asfake.Step {
	v := func(s string) map[string]string { return map[string]string{"v": s} }
	steps := []asfake.Step{
		{Op: "get", Key: "a"},
		{Op: "exists", Key: "a"},
		{Op: "delete", Key: "a"},
		{Op: "put", Key: "a", Bins: v("one"), Exists: "update"},
		{Op: "put", Key: "a", Bins: v("one"), Exists: "replaceOnly"},
		{Op: "put", Key: "a", Bins: v("one"), Gen: gen(3)},
		{Op: "get", Key: "a"},
		{Op: "put", Key: "a", Bins: v("one"), Exists: "create"},
		{Op: "put", Key: "a", Bins: v("two"), Exists: "create"},
		{Op: "put", Key: "a", Bins: v("two"), Gen: gen(0)},
		{Op: "put", Key: "a", Bins: v("two"), Gen: gen(1)},
		{Op: "put", Key: "a", Bins: v("three"), Gen: gen(1)},
		{Op: "get", Key: "a"},
		{Op: "exists", Key: "a"},
		{Op: "put", Key: "a", Bins: map[string]string{"w": "beside"}},
		{Op: "get", Key: "a"},
		{Op: "get", Key: "a", Names: []string{"w"}},
		{Op: "get", Key: "a", Names: []string{"no"}},
		{Op: "put", Key: "a", Bins: v("alone"), Exists: "replace"},
		{Op: "get", Key: "a"},
		{Op: "touch", Key: "a"},
		{Op: "touch", Key: "none"},
		{Op: "delete", Key: "a", Durable: true},
		{Op: "get", Key: "a"},
		{Op: "delete", Key: "a", Gen: gen(1)},
		{Op: "delete", Key: "a", Gen: gen(5)},
		{Op: "put", Key: "a", Bins: v("again")},
		{Op: "get", Key: "a"},
		{Op: "put", Key: "a", Bins: v("")},
		{Op: "get", Key: "a"},
		{Op: "put", Key: "big", Size: 1000},
		{Op: "get", Key: "big"},
		{Op: "put", Key: "big", Size: 1<<20 + 1},
		{Op: "get", Key: "big"},
		{Op: "add", Key: "n", Add: 5},
		{Op: "add", Key: "n", Add: -7},
		{Op: "get", Key: "n"},
		{Op: "append", Key: "n", Bins: map[string]string{"n": "text"}},
		{Op: "append", Key: "t", Bins: v("ab")},
		{Op: "append", Key: "t", Bins: v("cd")},
		{Op: "get", Key: "t"},
		{Op: "operate", Key: "t", Bins: map[string]string{"u": "new"}, Names: []string{"v"}},
		{Op: "get", Key: "t"},
	}
	var writes, reads []asfake.Step
	for i := range 5 {
		key := fmt.Sprintf("b%d", i)
		writes = append(writes, asfake.Step{Op: "put", Key: key, Bins: v(key)})
		reads = append(reads, asfake.Step{Op: "get", Key: key, Names: []string{"v"}})
	}
	return append(steps,
		asfake.Step{Op: "batch", Batch: reads},
		asfake.Step{Op: "batch", Batch: writes},
		asfake.Step{Op: "batch", Batch: append(reads, asfake.Step{Op: "get", Key: "none"}, asfake.Step{Op: "get", Key: "t"}, asfake.Step{Op: "exists", Key: "t"})},
		asfake.Step{Op: "batch", Batch: []asfake.Step{
			{Op: "put", Key: "b0", Bins: v("x"), Gen: gen(1)},
			{Op: "put", Key: "b1", Bins: v("x"), Gen: gen(9)},
			{Op: "put", Key: "b2", Bins: v("x"), Exists: "create"},
			{Op: "put", Key: "b3", Bins: v("x"), Exists: "replace"},
			{Op: "delete", Key: "b4"},
			{Op: "delete", Key: "none"},
			{Op: "put", Key: "b5", Bins: v("x"), Exists: "create"},
		}},
		asfake.Step{Op: "batch", Batch: reads},
		asfake.Step{Op: "batch", Batch: []asfake.Step{{Op: "put", Key: "single", Bins: v("x"), Exists: "create"}}},
		asfake.Step{Op: "batch", Batch: []asfake.Step{{Op: "put", Key: "single", Bins: v("x"), Exists: "create"}}},
		asfake.Step{Op: "batch", Batch: []asfake.Step{{Op: "get", Key: "single", Names: []string{"v"}}}},
		asfake.Step{Op: "batch", Batch: []asfake.Step{{Op: "delete", Key: "single"}}},
		asfake.Step{Op: "batch", Batch: []asfake.Step{{Op: "get", Key: "single", Names: []string{"v"}}}},
		// Bytes and text are two keys.
		asfake.Step{Op: "put", Key: "kind", Bins: v("bytes")},
		asfake.Step{Op: "get", Key: "kind", Text: true},
		asfake.Step{Op: "put", Key: "kind", Text: true, Bins: v("text")},
		asfake.Step{Op: "get", Key: "kind"},
		asfake.Step{Op: "get", Key: "kind", Text: true},
		// A filter protects nothing that is not there.
		asfake.Step{Op: "put", Key: "guarded", Bins: v("new"), Filter: "old"},
		asfake.Step{Op: "get", Key: "guarded"},
		asfake.Step{Op: "delete", Key: "guarded"},
		asfake.Step{Op: "put", Key: "guarded", Bins: v("zombie"), Filter: "new"},
		asfake.Step{Op: "get", Key: "guarded"},
		asfake.Step{Op: "put", Key: "long", Bins: map[string]string{"sixteen-letters-": "x"}},
		asfake.Step{Op: "put", Key: "long", Bins: map[string]string{"fifteen-letters": "x"}},
		asfake.Step{Op: "truncate"},
		asfake.Step{Op: "get", Key: "kind"},
		asfake.Step{Op: "get", Key: "t"},
	)
}

const recorded = "testdata/transcript.jsonl"

func runScenario(t *testing.T, c *as.Client, namespace string) []asfake.Line {
	t.Helper()
	set := fmt.Sprintf("weir-script-%d", time.Now().UnixNano())
	lines, err := asfake.Script{Client: c, Namespace: namespace, Set: set}.Run(scenario())
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func readRecorded(t *testing.T) []asfake.Line {
	t.Helper()
	f, err := os.Open(recorded)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := asfake.ReadTranscript(f)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestTranscriptOfFake holds the fake to the recorded transcript. With
// ASFAKE_RECORD=1 it records it anew, from AEROSPIKE_HOSTS when that is set.
func TestTranscriptOfFake(t *testing.T) {
	t.Parallel()
	got := runScenario(t, connect(t, start(t, asfake.Options{}).Addr()), "test")
	if os.Getenv("ASFAKE_RECORD") != "" {
		record(t, got)
	}
	for _, d := range asfake.Compare(readRecorded(t), got) {
		t.Errorf("recorded and fake differ in %s", d)
	}
}

func record(t *testing.T, lines []asfake.Line) {
	t.Helper()
	if hosts := os.Getenv("AEROSPIKE_HOSTS"); hosts != "" {
		lines = runScenario(t, connect(t, hosts), realNamespace())
	}
	var b bytes.Buffer
	if err := asfake.WriteTranscript(&b, lines); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recorded, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func realNamespace() string {
	if ns := os.Getenv("AEROSPIKE_NAMESPACE"); ns != "" {
		return ns
	}
	return "test"
}

// TestTranscriptOfServer holds a real server to what was recorded: a
// difference means that the fake must change.
func TestTranscriptOfServer(t *testing.T) {
	t.Parallel()
	hosts := os.Getenv("AEROSPIKE_HOSTS")
	if hosts == "" {
		t.Skip("AEROSPIKE_HOSTS is not set: no real Aerospike server to compare the fake with")
	}
	got := runScenario(t, connect(t, hosts), realNamespace())
	for _, d := range asfake.Compare(readRecorded(t), got) {
		t.Errorf("recorded and server differ in %s", d)
	}
}

func TestCompareFindsDifferences(t *testing.T) {
	t.Parallel()
	a := readRecorded(t)
	b := readRecorded(t)
	if d := asfake.Compare(a, b); len(d) != 0 {
		t.Fatalf("the same transcript differs from itself: %v", d)
	}
	b[8].Result.Code++
	if d := asfake.Compare(a, b); len(d) != 1 {
		t.Fatalf("one changed code gave %d differences", len(d))
	}
	if d := asfake.Compare(a, b[:len(b)-1]); len(d) != 2 {
		t.Fatalf("a changed code and a missing line gave %d differences", len(d))
	}
}
