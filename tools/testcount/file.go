package main

import (
	"fmt"
	"os"
	"strings"
)

// appendTo adds the result to a file of lines: "count PASSED FAILED SKIPPED",
// then "skip NAME: REASON" for each skipped test.
func (r result) appendTo(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "count %d %d %d\n", r.passed, r.failed, len(r.skipped))
	for _, s := range r.skipped {
		fmt.Fprintf(&b, "skip %s\n", s)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("record the count: %w", err)
	}
	_, err = f.WriteString(b.String())
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("record the count: %w", err)
	}
	return nil
}
