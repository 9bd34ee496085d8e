package main

import "github.com/spf13/cobra"

// jsonFlag defines --json, which every command that prints results has.
func jsonFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "json", false, "print the result as JSON")
}
