package sdk

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// mapShared maps a segment from the file at its path; Windows hands over no descriptors.
func mapShared(s *pb.Segment) ([]byte, error) {
	if s.Path == "" || s.Size == 0 || s.Size > plan.MaxShared {
		return nil, errors.New("needs a path and a size")
	}
	flag, protect, access := os.O_RDWR, uint32(windows.PAGE_READWRITE), uint32(windows.FILE_MAP_READ|windows.FILE_MAP_WRITE)
	if s.ReadOnly {
		flag, protect, access = os.O_RDONLY, windows.PAGE_READONLY, windows.FILE_MAP_READ
	}
	f, err := os.OpenFile(s.Path, flag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, protect, uint32(s.Size>>32), uint32(s.Size), nil)
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(h)
	addr, err := windows.MapViewOfFile(h, access, 0, 0, uintptr(s.Size))
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), int(s.Size)), nil
}

// unmapShared may only fail for memory that mapShared did not return.
func unmapShared(b []byte) { _ = windows.UnmapViewOfFile(uintptr(unsafe.Pointer(&b[0]))) }
