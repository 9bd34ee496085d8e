package f32

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time of the calling thread: neighbors on the machine do not count.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
