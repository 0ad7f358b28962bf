package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// events makes `go test -json` lines of "action package test output" words.
func events(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		f := append(strings.SplitN(l, " ", 4), "", "", "")
		b.WriteString(`{"Action":"` + f[0] + `","Package":"` + f[1] + `","Test":"` + f[2] + `","Output":"` + f[3] + `"}` + "\n")
	}
	return b.String()
}

func TestCount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, want, err string
	}{
		{"nothing", "", "count 0 0 0\n", "no test ran"},
		{"only packages without tests", events("start p", "skip p"), "count 0 0 0\n", "no test ran"},
		{"a pass", events("start p", "pass p TestA", "pass p"), "count 1 0 0\n", ""},
		{
			"subtests count, not their parent",
			events("start p", "pass p TestA/x", "pass p TestA/y/z", "pass p TestA/y", "pass p TestA", "pass p"),
			"count 2 0 0\n", "",
		},
		{"a failed subtest is one failure", events("start p", "fail p TestA/x", "fail p TestA", "fail p"), "count 0 1 0\n", "1 failed"},
		{"a parent that fails by itself counts", events("start p", "pass p TestA/x", "fail p TestA", "fail p"), "count 1 1 0\n", "1 failed"},
		{"a package that does not build", events("start p", "fail p"), "count 0 1 0\n", "1 failed"},
		{"a run that was killed", events("start p", "pass p TestA"), "count 1 1 0\n", "1 failed"},
		{"output that is no event is passed on", "go: no such module\n", "count 0 0 0\n", "no test ran"},
		{
			"skips come with their reason",
			events("start p", "pass p TestB", `output p TestA     a_test.go:3: needs a server\n`, `output p TestA --- SKIP: TestA (0.00s)\n`, "skip p TestA", "pass p"),
			"count 1 0 1\nskip p TestA: needs a server\n", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to := filepath.Join(t.TempDir(), "counts")
			err := run(strings.NewReader(tt.in), new(strings.Builder), to)
			got, rerr := os.ReadFile(to)
			if rerr != nil || string(got) != tt.want {
				t.Errorf("counted %q, %v; want %q", got, rerr, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestOutputOfFailedPackagesIsShownWhole(t *testing.T) {
	t.Parallel()
	in := events("start good", `output good TestA quiet\n`, `output good  ok good\n`, "pass good TestA", "pass good",
		"start bad", `output bad TestB loud\n`, "fail bad TestB", `output bad  FAIL bad\n`, "fail bad")
	var out strings.Builder
	if err := run(strings.NewReader(in), &out, ""); err == nil {
		t.Error("no error for a failed test")
	}
	if got, want := out.String(), "ok good\nloud\nFAIL bad\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
