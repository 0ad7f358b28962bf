package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirstream/weir/core/topology"
)

func topologyCommand() *cobra.Command {
	format := topology.Text
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Show what the application is made of",
		Long:  "Show what the application is made of. No broker is needed.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := From(cmd.Context())
			t, err := e.Topology()
			if err != nil {
				return err
			}
			text, err := t.Render(format)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.Out, strings.TrimRight(text, "\n"))
			return err
		},
	}
	cmd.Flags().Var(choice(&format, topology.Formats()...), "format", strings.Join(topology.Formats(), ", ")+"; dot is for Graphviz")
	return cmd
}
