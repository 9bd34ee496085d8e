package host

import (
	"os"
	"syscall"
)

const inheritsFiles = false // exec.Cmd.ExtraFiles does not exist on Windows

func selfPath() (string, error) { return os.Executable() }

// processAttributes: a group of its own, so that Ctrl-C is the host's alone.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// limitResources: limits need a job object, which go-plugin's processes have none of.
func limitResources(int, uint64) {}

func killGroup(p *os.Process) { _ = p.Kill() }
