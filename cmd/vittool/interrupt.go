package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// interruptible returns a context that SIGINT, SIGTERM or SIGHUP ends, so that work in progress can
// write a checkpoint. A second signal ends the process at once.
func interruptible(parent context.Context, stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // of a terminal that closes; nohup asks to live on
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		for range signals {
			if interrupted(ctx) {
				fmt.Fprintln(stderr, "vittool: stopped at once; the last checkpoint stands")
				os.Exit(exitInterrupted)
			}
			fmt.Fprintln(stderr, "vittool: interrupted: finishing up (again: stop at once)")
			cancel(errInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// interrupted reports whether a signal ended the context.
func interrupted(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), errInterrupted)
}
