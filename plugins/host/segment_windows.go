package host

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// newSegment makes a temporary file that the plugin opens by its path.
func newSegment(name string, readOnly bool) (*segment, error) {
	f, err := os.CreateTemp("", "vittool-"+name)
	if err != nil {
		return nil, fmt.Errorf("shared memory %s: %w", name, err)
	}
	return &segment{name: name, file: f, path: f.Name(), readOnly: readOnly}, nil
}

// resize sets the size and maps the segment into the host.
func (s *segment) resize(size int) error {
	if err := s.file.Truncate(int64(size)); err != nil {
		return fmt.Errorf("shared memory %s of %d bytes: %w", s.name, size, err)
	}
	h, err := windows.CreateFileMapping(windows.Handle(s.file.Fd()), nil, windows.PAGE_READWRITE, uint32(uint64(size)>>32), uint32(size), nil)
	if err != nil {
		return fmt.Errorf("shared memory %s of %d bytes: %w", s.name, size, err)
	}
	defer windows.CloseHandle(h)
	addr, err := windows.MapViewOfFile(h, windows.FILE_MAP_READ|windows.FILE_MAP_WRITE, 0, 0, uintptr(size))
	if err != nil {
		return fmt.Errorf("shared memory %s of %d bytes: %w", s.name, size, err)
	}
	s.mem = unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), size)
	return nil
}

func (s *segment) close() {
	if s.mem != nil {
		_ = windows.UnmapViewOfFile(uintptr(unsafe.Pointer(&s.mem[0])))
		s.mem = nil
	}
	s.file.Close()
	os.Remove(s.path)
}
