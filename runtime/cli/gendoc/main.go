// Command gendoc writes docs/settings.md.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/weirstream/weir/runtime/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gendoc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: gendoc FILE")
	}
	var b strings.Builder
	if err := cli.WriteSettings(&b); err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte(b.String()), 0o644) //nolint:gosec // a page of the documentation
}
