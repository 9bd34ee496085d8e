package sdk

import (
	"os"

	"golang.org/x/sys/windows"
)

// watchParent waits for the end of the parent, which hands over no descriptor on Windows.
func watchParent() {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(os.Getppid()))
	if err != nil { // the parent is gone already
		os.Exit(0)
	}
	go func() {
		_, _ = windows.WaitForSingleObject(h, windows.INFINITE)
		os.Exit(0)
	}()
}
