//go:build !linux

package f32

import "time"

var began = time.Now()

// threadTime is wall time where a thread's own is not to be had.
func threadTime() time.Duration { return time.Since(began) }
