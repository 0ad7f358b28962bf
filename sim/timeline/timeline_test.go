package timeline_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/weirstream/weir/sim/check"
	"github.com/weirstream/weir/sim/timeline"
)

var update = flag.Bool("update", false, "write the golden files")

// story is a history with one of everything.
func story() *check.History {
	in := func(ps ...int32) (tps []check.TP) {
		for _, p := range ps {
			tps = append(tps, check.TP{Topic: "orders", Partition: p})
		}
		return tps
	}
	h := &check.History{}
	add := func(at int64, e check.Event) {
		e.N, e.At = int64(len(h.Events)+1), 1_767_225_600_000+at
		h.Events = append(h.Events, e)
	}
	round := func(at int64, worker, outcome string) {
		id := int64(len(h.Events) + 1)
		add(at, check.Event{Kind: check.Sent, Worker: worker, Round: id, Records: []check.Record{{}, {}}, Offsets: []check.Offset{{}}})
		add(at+3, check.Event{Kind: check.Decided, Worker: worker, Round: id, Outcome: outcome})
	}
	add(0, check.Event{Kind: check.Started, Worker: "w1.1"})
	add(0, check.Event{Kind: check.Started, Worker: "w0.1"})
	add(900, check.Event{Kind: check.Assigned, Worker: "w0.1", Parts: in(1, 0)})
	add(901, check.Event{Kind: check.Assigned, Worker: "w1.1", Parts: append(in(2), check.TP{Topic: "audit"})})
	add(950, check.Event{Kind: check.Restoring, Worker: "w0.1", Table: "sums", To: 7, Note: "no checkpoint"})
	add(960, check.Event{Kind: check.Restoring, Worker: "w0.1", Table: "sums", Reached: 7, To: 7, Done: true})
	round(1000, "w0.1", "committed")
	round(1200, "w1.1", "committed")
	round(1400, "w0.1", "committed")
	add(1500, check.Event{Kind: check.Fault, Note: "F6-crash at 1.5s for 2s node 0 broker 0 <&>"})
	round(1501, "w1.1", "unknown")
	add(1502, check.Event{Kind: check.Crashed, Worker: "w0.1", Note: "F6-crash"})
	add(1600, check.Event{Kind: check.Lost, Worker: "w1.1", Parts: in(2)})
	add(3500, check.Event{Kind: check.Started, Worker: "w0.2"})
	add(3600, check.Event{Kind: check.Opened, Worker: "w0.2", Table: "sums", Partition: 1, Corrupt: true})
	add(4000, check.Event{Kind: check.Compacted})
	add(5000, check.Event{Kind: check.Healed})
	add(5600, check.Event{Kind: check.Caught, Took: 600})
	add(5601, check.Event{Kind: check.GroupIs, Note: "Stable", Members: map[string][]check.TP{"w0.2": in(0, 1), "w1.1": in(2)}})
	add(5700, check.Event{Kind: check.Revoked, Worker: "w1.1", Parts: in(2)})
	add(5800, check.Event{Kind: check.Stopped, Worker: "w1.1", Took: 100})
	add(5801, check.Event{Kind: check.Stopped, Worker: "w0.2", Note: "the context was canceled"})
	add(5900, check.Event{Kind: check.Held, Worker: "w0", Table: "sums"})
	return h
}

var broken = []check.Violation{{Invariant: "S1", Detail: `table sums, key "a": "3", want "2" <script>`}}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it):\n%s", file, got)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := timeline.New(story(), broken).Text(&out, 0); err != nil {
		t.Fatal(err)
	}
	golden(t, "story.txt", out.Bytes())
}

func TestHTML(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := timeline.New(story(), broken).HTML(&out, "seed 7"); err != nil {
		t.Fatal(err)
	}
	golden(t, "story.html", out.Bytes())
	if outside := regexp.MustCompile(`(?i)(src|href)=|url\(|https?://|@import`).Find(out.Bytes()); outside != nil {
		t.Errorf("the page refers to something outside: %s", outside)
	}
}

func TestNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tl := timeline.New(&check.History{}, nil)
	if err := tl.Text(&out, 80); err != nil {
		t.Fatal(err)
	}
	if err := tl.HTML(&out, "nothing"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out.Bytes(), []byte("No violation.")) {
		t.Error(out.String())
	}
}
