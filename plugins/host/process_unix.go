//go:build unix

package host

import (
	"os"
	"syscall"
)

const inheritsFiles = true

// killGroup kills the process and all of its group.
func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // fails only when all are gone
	_ = p.Kill()
}
