// Command vittool pre-trains Vision Transformers by self-supervision, looks at
// what they learned, and hands their weights to other tools.
//
// Each command has a file of its own: a constructor newXCommand, its options,
// and runX, which calls the package that does the work. This file turns what
// comes back into an exit code, and nothing else does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vittool/vittool/configs"
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
	if err != nil && code != exitInterrupted {
		fmt.Fprintf(stderr, "vittool: %v\n", err)
	}
	return code
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(ctx context.Context, err error) int {
	var (
		usage  *usageError
		config *configs.Error
	)
	switch {
	case err == nil:
		return exitDone
	case interrupted(ctx):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &config):
		return exitUsage
	}
	return exitFailure
}
