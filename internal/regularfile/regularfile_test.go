//go:build unix

package regularfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	must.Do(t, os.WriteFile(file, []byte("four"), 0o600))
	must.Do(t, os.Symlink(file, link))
	must.Do(t, syscall.Mkfifo(pipe, 0o600))
	for _, c := range []struct{ path, want string }{
		{file, ""}, {link, ""}, {pipe, "a pipe"}, {dir, "a folder"}, {"/dev/zero", "a device"}, {filepath.Join(dir, "nothing"), "no such file"},
	} {
		f, size, err := Open(c.path)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("%s: %v, want an error with %q", c.path, err, c.want)
			}
			continue
		}
		if err != nil || size != 4 {
			t.Fatalf("%s: %d bytes, %v", c.path, size, err)
		}
		f.Close()
	}
}
