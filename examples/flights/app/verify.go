//go:build !wasip1

package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir/examples/flights/traffic"
	"github.com/weirstream/weir/runtime"
	"github.com/weirstream/weir/runtime/cli"
)

func (a *application) verifyCommand() *cobra.Command {
	var (
		file, airports string
		wait           time.Duration
	)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare every table and all late flights with a plain count over the file",
		Long: `Compare every value of every table and every record of late-flights with what
one plain pass over the file comes to, and print what differs. Only committed
data is read. Before that, wait until the workers are done.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := cli.From(cmd.Context())
			tr, err := e.Connect(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(e, tr)
			x, err := traffic.Expect(file, airports)
			if err != nil {
				return err
			}
			c, err := verify(cmd.Context(), e, tr, x, wait)
			if err != nil {
				return err
			}
			c.print(e.Out)
			fmt.Fprintf(e.Out, "verify: records=%d checked=%d mismatches=%d\n", x.Flights, c.checked, c.mismatches)
			if c.mismatches > 0 {
				return fmt.Errorf("%d of %d values differ", c.mismatches, c.checked)
			}
			return nil
		},
	}
	addFiles(cmd, &file, &airports)
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for the workers to be done")
	return cmd
}

// verify waits until all input is processed, and compares.
func verify(ctx context.Context, e *cli.Env, tr runtime.Transport, x *traffic.Expectation, wait time.Duration) (*comparison, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := waitDrained(waiting, e, tr); err != nil {
		return nil, err
	}
	return compareAll(ctx, e, tr, x)
}

// print writes examples of what differs.
func (c *comparison) print(w io.Writer) {
	for _, line := range c.examples {
		fmt.Fprintln(w, line)
	}
	if more := c.mismatches - int64(len(c.examples)); more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
}
