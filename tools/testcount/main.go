// Command testcount reads the output of `go test -json` from its standard input,
// prints it as `go test -v` would for packages that fail and as `go test` does
// for the rest, and appends one line to a file: what passed, failed and was
// skipped. It fails when a test or a package failed, or when no test ran.
//
// Tests without subtests count as one; a test with subtests counts as its
// subtests, unless it fails or skips by itself. A package that fails without a
// failed test (it does not build, or panics) counts as one failure.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	to := flag.String("to", "", "append the count and the skipped tests to this file")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *to); err != nil {
		fmt.Fprintln(os.Stderr, "testcount:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, to string) error {
	c := newCounter(out)
	if err := c.read(in); err != nil {
		return err
	}
	r := c.result()
	if to != "" {
		if err := r.appendTo(to); err != nil {
			return err
		}
	}
	switch {
	case r.failed > 0:
		return fmt.Errorf("%d failed", r.failed)
	case r.passed == 0:
		return fmt.Errorf("no test ran")
	}
	return nil
}
