package tasks

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/vittool/vittool/internal/atomicfile"
	"github.com/vittool/vittool/tasks/npy"
)

// WriteFeatures stores features as path, a float32 array [Rows, Dim], and beside it NAME.labels.npy
// with the class of each row (int64, -1 for a row without one; only where there are labels),
// NAME.classes.txt with the class names and NAME.names.txt with the images, one per line. It returns the files written: all of
// them, or none with an error.
func WriteFeatures(path string, f *Features) ([]string, error) {
	if err := f.Check("features", false); err != nil {
		return nil, err
	}
	var files []string
	var staged []*atomicfile.Staged
	defer func() { // does nothing to a file that has its final name
		for _, s := range staged {
			s.Discard()
		}
	}()
	stage := func(path string, write func(w io.Writer) error) error {
		s, err := atomicfile.Stage(path, write)
		if err != nil {
			return fmt.Errorf("write features: %w", err)
		}
		files, staged = append(files, path), append(staged, s)
		return nil
	}
	array := func(a npy.Array) func(w io.Writer) error { return func(w io.Writer) error { return npy.Write(w, a) } }
	if err := stage(path, array(npy.Array{Shape: []int{f.Rows, f.Dim}, Float32: f.Data})); err != nil {
		return nil, err
	}
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	if len(f.Labels) > 0 {
		labels := make([]int64, len(f.Labels))
		for i, l := range f.Labels {
			labels[i] = int64(l)
		}
		if err := stage(stem+".labels.npy", array(npy.Array{Shape: []int{f.Rows}, Int64: labels})); err != nil {
			return nil, err
		}
	}
	for _, list := range []struct {
		suffix string
		lines  []string
	}{{".classes.txt", f.Classes}, {".names.txt", f.Names}} {
		if len(list.lines) == 0 {
			continue
		}
		if err := stage(stem+list.suffix, lines(list.lines)); err != nil {
			return nil, err
		}
	}
	for _, s := range staged {
		if err := s.Commit(); err != nil {
			return nil, fmt.Errorf("write features: %w", err)
		}
	}
	return files, nil
}

// lines writes one line per entry. A name with a line break is written as a quoted Go string, so
// that it stays one line.
func lines(list []string) func(io.Writer) error {
	var b strings.Builder
	for _, l := range list {
		if strings.ContainsAny(l, "\r\n") {
			l = fmt.Sprintf("%q", l)
		}
		b.WriteString(l)
		b.WriteByte('\n')
	}
	return func(w io.Writer) error {
		_, err := io.WriteString(w, b.String())
		return err
	}
}
