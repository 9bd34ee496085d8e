//go:build unix

package runs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFolder takes an exclusive lock on the folder itself, so that no file is left behind when the
// process is killed: the system drops the lock then.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf("run folder %s is in use by another vittool process: wait for it to end, or choose another folder with --out", dir)
	}
	if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOLCK) { // file systems without locks
		f.Close()
		return nil, fmt.Errorf("lock run folder %s: %w", dir, err)
	}
	return f, nil
}
