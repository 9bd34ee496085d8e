//go:build unix && !linux

package host

import (
	"fmt"
	"os"
)

// newSegment makes a temporary file and removes its name at once, so that nothing is left behind
// however the host ends. The plugin inherits a descriptor, of a read-only segment one that cannot
// be mapped writable.
func newSegment(name string, readOnly bool) (*segment, error) {
	f, err := os.CreateTemp("", "vittool-"+name)
	if err != nil {
		return nil, fmt.Errorf("shared memory %s: %w", name, err)
	}
	child := f
	if readOnly {
		if child, err = os.Open(f.Name()); err != nil {
			f.Close()
			os.Remove(f.Name())
			return nil, fmt.Errorf("shared memory %s: %w", name, err)
		}
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("shared memory %s: %w", name, err)
	}
	return &segment{name: name, file: f, child: child, readOnly: readOnly}, nil
}

func (s *segment) seal() error { return nil }
