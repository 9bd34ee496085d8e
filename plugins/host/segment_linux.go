package host

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newSegment makes an anonymous file in memory: no path, nothing left behind however the host ends.
// The plugin inherits its descriptor.
func newSegment(name string, readOnly bool) (*segment, error) {
	fd, err := unix.MemfdCreate("vittool-"+name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("shared memory %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), "vittool-"+name)
	return &segment{name: name, file: f, child: f, readOnly: readOnly}, nil
}

// seal makes the segment's size final, and a read-only one immutable for everybody who has not
// mapped it writable yet: that is everybody but the host. Kernels before 5.1 know no such seal;
// there the plugin's mapping is read-only by its own good will.
func (s *segment) seal() error {
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	if s.readOnly {
		const sealFutureWrite = 0x10
		if _, err := unix.FcntlInt(s.file.Fd(), unix.F_ADD_SEALS, sealFutureWrite); err != nil && err != unix.EINVAL {
			return fmt.Errorf("shared memory %s: %w", s.name, err)
		}
	}
	if _, err := unix.FcntlInt(s.file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("shared memory %s: %w", s.name, err)
	}
	return nil
}
