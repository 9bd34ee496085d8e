//go:build unix

package bench

import (
	"syscall"
	"time"
)

// cpuTime is the time that this process has used of all cores. Unlike the clock it leaves out
// neighbors on the machine.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return time.Since(began)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

var began = time.Now()
