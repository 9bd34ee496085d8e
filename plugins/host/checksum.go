package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/vittool/vittool/internal/atomicfile"
)

// LockFile is the name of the file that pins third-party plugins.
const LockFile = "vittool.lock"

// Locked is one pinned plugin.
type Locked struct {
	Path    string `json:"path"` // as given by the user, relative to the lock file's folder or absolute
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // hexadecimal
}

type lockFile struct {
	Plugins []Locked `json:"plugins"`
}

// ReadLock reads a lock file; a missing one is an empty list.
func ReadLock(path string) ([]Locked, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var f lockFile
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it and lock the plugins again", path, err)
	}
	for i, l := range f.Plugins {
		if b, err := hex.DecodeString(l.SHA256); err != nil || len(b) != sha256.Size || l.Path == "" {
			return nil, fmt.Errorf("%s: entry %d needs a path and a sha256 of 64 hexadecimal digits", path, i+1)
		}
	}
	return f.Plugins, nil
}

// WriteLock writes a lock file atomically, sorted by path.
func WriteLock(path string, plugins []Locked) error {
	f := lockFile{Plugins: append([]Locked{}, plugins...)}
	sort.Slice(f.Plugins, func(i, j int) bool { return f.Plugins[i].Path < f.Plugins[j].Path })
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// lockedSum finds the checksum that lock says plugin must have; "" when it says nothing.
func lockedSum(lock, plugin string) (string, error) {
	entries, err := ReadLock(lock)
	if err != nil {
		return "", err
	}
	want, err := filepath.Abs(plugin)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		p := e.Path
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(lock), p)
		}
		if abs, err := filepath.Abs(p); err == nil && abs == want {
			return e.SHA256, nil
		}
	}
	return "", nil
}

// Sum is the SHA-256 of a file in hexadecimal digits.
func Sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
