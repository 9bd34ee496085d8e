// Package atomicfile writes files that are whole or absent: under a temporary name, synced, renamed.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Write writes the file at path so that a reader, or a machine that
// loses power, sees either the old file or the whole new one: write is called
// with a buffered writer to a temporary file in the same directory, which is
// synced, renamed to path, and the directory synced. On any error, of write or
// of the file system, the temporary file is removed and path is left as it was.
func Write(path string, write func(io.Writer) error) error {
	s, err := Stage(path, write)
	if err != nil {
		return err
	}
	return s.Commit()
}

// Staged is a file that is whole and synced under a temporary name. Files that
// belong together are all staged before the first is committed: what can fail, a
// full disk above all, fails before anything has changed.
type Staged struct{ path, temporary string }

// Stage writes a file that Commit is to put at path. That must be a free name
// or a regular file: renaming over a device or a pipe would replace it.
func Stage(path string, write func(io.Writer) error) (s *Staged, err error) {
	dir := filepath.Dir(path)
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", path, Explain(err, dir))
		}
	}()
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &NotRegularError{info.Mode()}
	}
	f, err := createTemporary(dir, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close() // a second close only returns an error
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return &Staged{path, f.Name()}, nil
}

// Commit gives the file its name.
func (s *Staged) Commit() error {
	dir := filepath.Dir(s.path)
	err := os.Rename(s.temporary, s.path)
	if err == nil {
		err = syncDirectory(dir)
	} else {
		s.Discard()
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", s.path, Explain(err, dir))
	}
	return nil
}

// Discard removes the file before it has a name.
func (s *Staged) Discard() { os.Remove(s.temporary) }

// NotRegularError says what stands where a file was to be written.
type NotRegularError struct{ Mode os.FileMode }

func (e *NotRegularError) Error() string {
	what := "something that is not a regular file"
	switch {
	case e.Mode.IsDir():
		what = "a folder"
	case e.Mode&os.ModeDevice != 0:
		what = "a device"
	case e.Mode&os.ModeNamedPipe != 0:
		what = "a pipe"
	case e.Mode&os.ModeSocket != 0:
		what = "a socket"
	}
	return "there is " + what + " of that name; choose another one"
}

// createTemporary makes a new file with the permissions a plain os.Create would
// give (os.CreateTemp makes files that only the owner can read).
func createTemporary(dir, base string) (*os.File, error) {
	stamp := uint64(time.Now().UnixNano()) ^ uint64(os.Getpid())<<40
	for try := uint64(0); ; try++ {
		name := filepath.Join(dir, "."+base+".tmp-"+strconv.FormatUint((stamp+try)*0x9e3779b97f4a7c15, 36))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) && try < 100 {
			continue
		}
		return f, err
	}
}

// syncDirectory makes a rename durable. Windows has no such call and needs none.
func syncDirectory(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err // EINVAL: a file system that cannot sync directories
	}
	return nil
}

// Explain says what to do about the errors of writing in a folder that a user
// can mend; others it returns as they are.
func Explain(err error, dir string) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the disk that holds %s is full (nothing was changed; free some space or write elsewhere): %w", dir, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the file system that holds %s is read-only (make it writable or write elsewhere): %w", dir, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no permission to write in %s: %w", dir, err)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the directory %s does not exist: %w", dir, err)
	}
	return err
}

// IsTemporary reports whether a file of that name is what Write of a
// killed process left behind. No other program's file is named like it.
func IsTemporary(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, ".tmp-")
}
