package main

import "github.com/spf13/cobra"

// newRoot builds the command tree. Each subcommand has a file of its own.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "weir",
		Short:         "Tools for weir applications",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newDev(), newSim(), newCheck())
	return root
}
