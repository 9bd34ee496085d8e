//go:build unix

package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// resize sets the size, maps the segment into the host and seals it.
func (s *segment) resize(size int) error {
	if err := s.file.Truncate(int64(size)); err != nil {
		return fmt.Errorf("shared memory %s of %d bytes: %w", s.name, size, err)
	}
	mem, err := unix.Mmap(int(s.file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("shared memory %s of %d bytes: %w", s.name, size, err)
	}
	s.mem = mem
	return s.seal()
}

func (s *segment) close() {
	if s.mem != nil {
		_ = unix.Munmap(s.mem) // only fails for memory that was not mapped
		s.mem = nil
	}
	if s.child != s.file {
		s.child.Close()
	}
	s.file.Close()
}
