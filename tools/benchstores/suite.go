package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A suite is the outcome of the conformance suites of one store.
type suite struct {
	run     int      // checks that ran and passed
	crashes int      // power cuts, failing disks and kills in them
	missing []string // capabilities that none of its suites declares
}

var (
	passed      = regexp.MustCompile(`(?m)^\s*--- PASS: \S+/store/\S+/\S+ `)
	crashPoints = regexp.MustCompile(`(\d+) power cuts|disk failed at (\d+) writes|disk was full at (\d+) sizes|(\d+) kills`)
	undeclared  = regexp.MustCompile(`(?m)does not declare: (.*)$`)
	complete    = regexp.MustCompile(`declares every capability`)
)

// runSuite runs the suites of a store and counts.
func runSuite(ctx context.Context, s string, short bool) (suite, error) {
	dir := all()[s].suite
	fmt.Fprintf(os.Stderr, "%s: conformance suites of %s\n", s, dir)
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "Conformance", fmt.Sprintf("-short=%v", short), "./"+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return suite{}, fmt.Errorf("its suites fail: %w\n%s", err, tail(out, 4000))
	}
	r := suite{run: len(passed.FindAll(out, -1))}
	for _, m := range crashPoints.FindAllSubmatch(out, -1) {
		n, _ := strconv.Atoi(string(bytes.Join(m[1:], nil)))
		r.crashes += n
	}
	// A capability counts as declared when any suite of the store has it.
	for i, m := range undeclared.FindAllSubmatch(out, -1) {
		names := strings.Split(string(m[1]), ", ")
		if i == 0 {
			r.missing = names
		}
		r.missing = slices.DeleteFunc(r.missing, func(n string) bool { return !slices.Contains(names, n) })
	}
	if complete.Match(out) {
		r.missing = nil
	}
	return r, nil
}

func tail(b []byte, n int) []byte { return b[max(len(b)-n, 0):] }
