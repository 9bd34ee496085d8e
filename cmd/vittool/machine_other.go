//go:build !linux

package main

import (
	"errors"
	"runtime"
)

var errUnknown = errors.New("not known on " + runtime.GOOS)

// memory returns the memory that this process may still take and the total, in bytes.
func memory() (available, total uint64, err error) { return 0, 0, errUnknown }

// anonymousMemory reports why memory without a path can't be shared.
func anonymousMemory() error { return errors.New("memory without a path is a matter of Linux") }
