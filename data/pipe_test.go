//go:build unix

package data_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// TestPipe: a named pipe called .jpg must not make a run wait for ever.
func TestPipe(t *testing.T) {
	dir := folder(t, 1)
	for _, name := range []string{"cat/a.jpg", "cat/noext"} {
		must.Do(t, syscall.Mkfifo(filepath.Join(dir, name), 0o644))
	}
	s := open(t, dir)
	if s.Len() != 2 || s.Name(1) != "cat/a.jpg" {
		t.Fatalf("%d images, the second is %s", s.Len(), s.Name(s.Len()-1))
	}
	_, err := s.Image(1)
	expectData(t, err, filepath.Join(dir, "cat", "a.jpg"), "not a regular file")
}
