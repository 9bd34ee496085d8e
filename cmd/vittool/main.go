// Command vittool pre-trains Vision Transformers by self-supervision, evaluates their features, and
// exports their weights to other tools.
//
// Each command has a file of its own: a constructor newXCommand, its options, and runX, which calls
// the package that does the work. This file alone turns an error into an exit code.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/schema"
)

// Exit codes, part of the interface: scripts may rely on them.
const (
	exitDone        = 0
	exitFailure     = 1
	exitUsage       = 2 // of the command line, or settings that are wrong
	exitData        = 3 // images that are missing or can't be read
	exitPlugin      = 4 // an objective that can't be started, or fails
	exitInterrupted = 130
)

func main() {
	ctx, stop := interruptible(context.Background(), os.Stderr)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and reports its error as one message on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	code := exitCode(ctx, err)
	if err != nil && code != exitInterrupted { // the signal was answered when it came
		fmt.Fprintf(stderr, "vittool: %v\n", err)
	}
	return code
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(ctx context.Context, err error) int {
	var (
		usage  *usageError
		config *configs.Error
		option *schema.Error
		images *data.Error
		plugin *host.PluginError
	)
	switch {
	case err == nil:
		return exitDone
	case interrupted(ctx) && onlyCancelled(err):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &config), errors.As(err, &option):
		return exitUsage
	case errors.As(err, &images):
		return exitData
	case errors.As(err, &plugin):
		if plugin.Kind == host.Refused { // the options or the run don't suit it
			return exitUsage
		}
		return exitPlugin
	}
	return exitFailure
}

// onlyCancelled reports whether err says that work was cancelled and nothing else: a checkpoint
// that could not be written on the way out is a failure.
func onlyCancelled(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if !onlyCancelled(part) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return onlyCancelled(e.Unwrap())
	}
	return err == context.Canceled
}
