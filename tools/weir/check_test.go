package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/sim/check"
)

// historyFile writes a history in which the records of one round are in the
// log, or only half of them.
func historyFile(t *testing.T, whole bool) string {
	t.Helper()
	tp := func(p int32) check.TP { return check.TP{Topic: "out", Partition: p} }
	recs := []check.Record{{TP: tp(0), Key: []byte("a")}, {TP: tp(1), Key: []byte("b")}}
	h := &check.History{}
	h.Add(check.Event{Kind: check.Started, Worker: "w0.1"})
	h.Add(check.Event{Kind: check.Sent, Worker: "w0.1", Round: 2, Records: recs})
	h.Add(check.Event{Kind: check.Decided, Worker: "w0.1", Round: 2, Outcome: "committed"})
	h.Add(check.Event{Kind: check.Stopped, Worker: "w0.1", Took: 10})
	h.Add(check.Event{Kind: check.TopicIs, Topic: "out", Role: check.Output})
	for p := range int32(2) {
		h.Add(check.Event{Kind: check.LogIs, Topic: "out", Partition: p, Stable: 2, End: 2})
	}
	for i, r := range recs {
		if i == 0 || whole {
			r.Round = 2
			h.Add(check.Event{Kind: check.Log, Record: &r})
		}
	}
	name := filepath.Join(t.TempDir(), "history")
	if err := writeTo(name, func(w io.Writer) error { return h.Write(w) }); err != nil {
		t.Fatal(err)
	}
	return name
}

func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCheckGood(t *testing.T) {
	t.Parallel()
	out, err := runCommand(t, "check", historyFile(t, true))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"not checked: S1 ", "not checked: S10 ", "needs --receipts", "not checked: L1 ", "0 violations"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestCheckBad(t *testing.T) {
	t.Parallel()
	html := filepath.Join(t.TempDir(), "page.html")
	out, err := runCommand(t, "check", historyFile(t, false), "--timeline", "--html", html)
	var exit exitError
	if !errors.As(err, &exit) || exit != 1 {
		t.Errorf("err is %v, want exit status 1", err)
	}
	for _, want := range []string{"BROKEN S4: ", "w0.1 started", "1 commit: 2 records"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	page, err := os.ReadFile(html)
	if err != nil || !bytes.Contains(page, []byte("<b>S4</b>")) {
		t.Errorf("the page has no S4 (%v):\n%s", err, page)
	}
}

func TestCheckGuarantee(t *testing.T) {
	t.Parallel()
	out, err := runCommand(t, "check", historyFile(t, false), "--at-least-once")
	if err != nil || !strings.Contains(out, "not checked: S4 ") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := runCommand(t, "check", historyFile(t, true), "--at-least-once", "--exactly-once"); err == nil {
		t.Error("two guarantees were taken")
	}
}

func TestCheckNonsense(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "history")
	for text, want := range map[string]string{"": "no event", "{\"n\":1}\nnonsense": "event 2"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := runCommand(t, "check", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: err is %v, want %q", text, err, want)
		}
	}
}
