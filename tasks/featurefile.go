package tasks

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tasks/npy"
)

// WriteFeatures stores features as path, a float32 array [Rows, Dim], and
// beside it what belongs to them: NAME.labels.npy with the class of each row
// (int64, only where there are labels), NAME.classes.txt with the class names
// and NAME.names.txt with the images, one per line. It returns the files
// written.
func WriteFeatures(path string, f *Features) ([]string, error) {
	if err := f.Check("features", false); err != nil {
		return nil, err
	}
	if err := WriteNPY(path, npy.Array{Shape: []int{f.Rows, f.Dim}, Float32: f.Data}); err != nil {
		return nil, err
	}
	files := []string{path}
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	if len(f.Labels) > 0 {
		labels := make([]int64, len(f.Labels))
		for i, l := range f.Labels {
			labels[i] = int64(l)
		}
		if err := WriteNPY(stem+".labels.npy", npy.Array{Shape: []int{f.Rows}, Int64: labels}); err != nil {
			return files, err
		}
		files = append(files, stem+".labels.npy")
	}
	for _, list := range []struct {
		suffix string
		lines  []string
	}{{".classes.txt", f.Classes}, {".names.txt", f.Names}} {
		if len(list.lines) == 0 {
			continue
		}
		if err := writeLines(stem+list.suffix, list.lines); err != nil {
			return files, err
		}
		files = append(files, stem+list.suffix)
	}
	return files, nil
}

// WriteNPY stores an array; the file appears whole or not at all.
func WriteNPY(path string, a npy.Array) error {
	if err := core.WriteFileAtomic(path, func(w io.Writer) error { return npy.Write(w, a) }); err != nil {
		return fmt.Errorf("write array: %w", err)
	}
	return nil
}

// ReadNPY reads an array file.
func ReadNPY(path string) (npy.Array, error) {
	file, err := os.Open(path)
	if err != nil {
		return npy.Array{}, err
	}
	defer file.Close()
	a, err := npy.Read(file)
	if err != nil {
		return npy.Array{}, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// writeLines stores one line per entry. A name with a line break, which no
// reader could tell from two, is written as a Go string.
func writeLines(path string, lines []string) error {
	var b strings.Builder
	for _, l := range lines {
		if strings.ContainsAny(l, "\r\n") {
			l = fmt.Sprintf("%q", l)
		}
		b.WriteString(l)
		b.WriteByte('\n')
	}
	err := core.WriteFileAtomic(path, func(w io.Writer) error {
		_, err := io.WriteString(w, b.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	return nil
}
