package host

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// selfPath is the running program itself, also when its file has been replaced meanwhile.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// processAttributes: a process group of its own, and death with the host.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitResources forbids core dumps and, when memory is set, more data than that. A limit that the
// system refuses (an exotic kernel) is no reason not to run.
func limitResources(pid int, memory uint64) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	if memory > 0 {
		_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: memory, Max: memory}, nil)
	}
}
