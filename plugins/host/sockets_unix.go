//go:build unix

package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockDir takes an exclusive lock on a folder, or fails at once; it ends with the process.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
