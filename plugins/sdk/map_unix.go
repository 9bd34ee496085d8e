//go:build unix

package sdk

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// mapShared maps a segment from its inherited descriptor, or from its path.
func mapShared(s *pb.Segment) ([]byte, error) {
	fd := int(s.Fd)
	prot, flag := unix.PROT_READ|unix.PROT_WRITE, os.O_RDWR
	if s.ReadOnly {
		prot, flag = unix.PROT_READ, os.O_RDONLY
	}
	if fd == 0 {
		f, err := os.OpenFile(s.Path, flag, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		fd = int(f.Fd())
	}
	if s.Size == 0 || s.Size > plan.MaxShared {
		return nil, fmt.Errorf("a size of %d bytes", s.Size)
	}
	return unix.Mmap(fd, 0, int(s.Size), prot, unix.MAP_SHARED)
}

// unmapShared may only fail for memory that mapShared did not return.
func unmapShared(b []byte) { _ = unix.Munmap(b) }
