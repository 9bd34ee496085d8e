//go:build !amd64

package f32

import "runtime"

// pause lets other goroutines run: without a PAUSE instruction, spinning on a shared core would
// only delay the worker in question.
func pause() { runtime.Gosched() }
