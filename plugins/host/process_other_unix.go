//go:build unix && !linux

package host

import (
	"os"
	"syscall"
)

func selfPath() (string, error) { return os.Executable() }

// processAttributes: a process group of its own. There is no parent-death signal here; the lifeline
// ends the plugin with the host.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// limitResources: another process's limits cannot be set here.
func limitResources(int, uint64) {}
