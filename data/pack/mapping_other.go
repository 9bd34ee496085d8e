//go:build !unix

package pack

import "os"

// mapping is a file that was read whole, where systems cannot map it.
type mapping struct{ bytes []byte }

func mapFile(path string) (*mapping, error) {
	b, err := os.ReadFile(path)
	return &mapping{b}, err
}

func (m *mapping) close() error {
	m.bytes = nil
	return nil
}
