package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// An event is one line of `go test -json`, see `go doc test2json`.
type event struct {
	Action  string `json:"Action"`
	Package string `json:"Package"`
	Test    string `json:"Test"`
	Output  string `json:"Output"`
}

// A testID names a test of a package; an empty Test is the package itself.
type testID struct{ pkg, test string }

func (id testID) compare(other testID) int {
	return cmp.Or(cmp.Compare(id.pkg, other.pkg), cmp.Compare(id.test, other.test))
}

// A counter collects the outcome of tests.
type counter struct {
	out     io.Writer
	outcome map[testID]string // pass, fail or skip
	// lines of a package that has not ended, and of a test that may be skipped.
	lines  map[string][]event
	output map[testID]string
}

func newCounter(out io.Writer) *counter {
	return &counter{out: out, outcome: map[testID]string{}, lines: map[string][]event{}, output: map[testID]string{}}
}

func (c *counter) read(in io.Reader) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil || e.Action == "" {
			fmt.Fprintln(c.out, sc.Text()) // of the go command itself
			continue
		}
		c.add(e)
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read go test -json: %w", err)
	}
	// Packages that never ended: go test was killed.
	for _, pkg := range slices.Sorted(maps.Keys(c.lines)) {
		c.flush(pkg, true)
		c.outcome[testID{pkg: pkg}] = "fail"
	}
	return nil
}

func (c *counter) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "start":
		c.lines[e.Package] = nil
	case "build-output":
		fmt.Fprint(c.out, e.Output)
	case "output":
		c.lines[e.Package] = append(c.lines[e.Package], e)
		if e.Test != "" {
			c.output[id] += e.Output
		}
	case "pass", "fail", "skip":
		c.outcome[id] = e.Action
		if e.Action != "skip" {
			delete(c.output, id)
		}
		if e.Test == "" {
			c.flush(e.Package, e.Action == "fail")
		}
	}
}

// flush prints what a package wrote: all of it, or its own lines only.
func (c *counter) flush(pkg string, all bool) {
	for _, e := range c.lines[pkg] {
		own := e.Test == "" && e.Output != "PASS\n"
		if all || own {
			fmt.Fprint(c.out, e.Output)
		}
	}
	delete(c.lines, pkg)
}

// A result is the sum of a run.
type result struct {
	passed, failed int
	skipped        []string // name: reason
}

func (c *counter) result() result {
	parents := map[testID]bool{}
	failed := map[string]bool{}
	for id, outcome := range c.outcome {
		for test := id.test; strings.Contains(test, "/"); {
			test = test[:strings.LastIndex(test, "/")]
			parents[testID{id.pkg, test}] = true
		}
		if id.test != "" && outcome == "fail" {
			failed[id.pkg] = true
		}
	}
	var r result
	for _, id := range slices.SortedFunc(maps.Keys(c.outcome), testID.compare) {
		switch outcome := c.outcome[id]; {
		case id.test == "":
			// A package without tests is "skip", one that cannot be built "fail".
			if outcome == "fail" && !failed[id.pkg] {
				r.failed++
			}
		case outcome == "skip":
			r.skipped = append(r.skipped, id.pkg+" "+id.test+": "+reason(c.output[id]))
		case outcome == "fail" && !(parents[id] && c.failedBelow(id)):
			r.failed++
		case outcome == "pass" && !parents[id]:
			r.passed++
		}
	}
	return r
}

// failedBelow reports whether a subtest of the test failed, which then counts
// instead of it.
func (c *counter) failedBelow(id testID) bool {
	for other, outcome := range c.outcome {
		if other.pkg == id.pkg && outcome == "fail" && strings.HasPrefix(other.test, id.test+"/") {
			return true
		}
	}
	return false
}

// reason finds the message of t.Skip in what a test wrote.
func reason(output string) string {
	for _, line := range slices.Backward(strings.Split(output, "\n")) {
		// "    file_test.go:12: message"
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") {
			continue
		}
		if _, message, ok := strings.Cut(line, ": "); ok {
			return message
		}
		return line
	}
	return "no reason given"
}
