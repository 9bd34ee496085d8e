package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/train"
)

// jsonFlag defines --json, which every command that prints results has.
func jsonFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "json", false, "print the result as JSON")
}

// outputOptions says how much a command that takes time prints. Results go to standard output,
// everything about the way there to standard error.
type outputOptions struct {
	json    bool
	verbose bool
	quiet   bool
}

func (o *outputOptions) addFlags(cmd *cobra.Command) {
	jsonFlag(cmd, &o.json)
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "print every step")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print errors and results only")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if o.verbose && o.quiet {
			return &usageError{"--verbose and --quiet ask for opposite things", "give one of them"}
		}
		return nil
	}
}

func (o *outputOptions) progress(stderr io.Writer) train.Progress {
	level := ui.Normal
	switch {
	case o.quiet:
		level = ui.Quiet
	case o.verbose:
		level = ui.Verbose
	}
	return ui.NewProgress(stderr, isTerminal(stderr), level)
}

// passedOver reports a damaged checkpoint in whose place an older one is read.
func passedOver(stderr io.Writer) func(path string, err error) {
	return func(path string, err error) {
		fmt.Fprintf(stderr, "passed over a damaged checkpoint: %s: %v\n", path, err)
	}
}

// leftOut reports an image that can't be read.
func leftOut(stderr io.Writer) func(name string, err error) {
	return func(name string, err error) { fmt.Fprintf(stderr, "left out: %s: %v\n", name, err) }
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
