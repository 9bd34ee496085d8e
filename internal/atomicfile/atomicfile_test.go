package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func TestWriteFileAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	must.Do(t, Write(path, text("one")))
	must.Do(t, Write(path, text("two")))
	failure := errors.New("writer gave up")
	err := Write(path, func(w io.Writer) error { io.WriteString(w, "half"); return failure })
	if !errors.Is(err, failure) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not tell the cause and the file", err)
	}
	got, _ := os.ReadFile(path)
	if string(got) != "two" {
		t.Errorf("the file holds %q, want two", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left in the directory, want 1", len(entries))
	}
	if err := Write(filepath.Join(dir, "missing", "x"), text("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if err := Explain(syscall.EROFS, dir); !strings.Contains(err.Error(), "read-only") || !errors.Is(err, syscall.EROFS) {
		t.Errorf("read-only file system: %v", err)
	}
	var odd *NotRegularError
	if err := Write(dir, text("")); !errors.As(err, &odd) || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("over a folder: %v", err)
	}
	staged := must.Get(Stage(filepath.Join(dir, "y"), text("three")))(t)
	if _, err := os.Stat(filepath.Join(dir, "y")); err == nil {
		t.Error("a staged file has its name already")
	}
	staged.Discard()
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left in the directory, want 1", len(entries))
	}
	if err := Explain(syscall.ENOSPC, dir); !strings.Contains(err.Error(), "full") || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk is explained as %v", err)
	}
}

// TestDiskFull writes to a device that is always full, where there is one.
func TestDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Log("no /dev/full on this system: the message alone is tested")
		return
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Log("cannot open /dev/full: the message alone is tested")
		return
	}
	defer f.Close()
	dir := t.TempDir()
	err = Write(filepath.Join(dir, "x"), func(w io.Writer) error { _, err := f.WriteString("x"); return err })
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("error %v does not say that the disk is full", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("%d files are left behind", len(entries))
	}
}
