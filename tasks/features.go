// Package tasks evaluates pre-trained backbones and uses them: k-nearest neighbors, linear
// classifiers, feature files, reconstructions, attention maps, loading and exporting of weights.
// Each task takes plain values and yields metrics and pictures; none knows the command line.
package tasks

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/data"
)

// Features is a table with one feature vector per image.
type Features struct {
	Rows, Dim int
	Data      []float32 // [Rows, Dim]
	Labels    []int32   // [Rows] class of each row, -1 without one, or nil
	Classes   []string  // class names, or nil where classes are numbers
	Names     []string  // [Rows] the images, or nil
	Pool      Pool      // the tokens of a row; empty if unknown
	Blocks    []int     // the blocks of a row, from 0
	// Height and Width of the view in pixels, and the fitting of images to it.
	Height, Width int
	Fitting       data.Fitting

	IDs []int // [Rows] sample id of each row, or nil for 0, 1, …
}

// ClassCount is the number of named classes, or one more than the largest label when the classes
// have no names.
func (f *Features) ClassCount() int {
	n := len(f.Classes)
	for _, l := range f.Labels {
		n = max(n, int(l)+1)
	}
	return n
}

// Check returns the first fault that no evaluation can work with: no rows, lengths that contradict
// each other, a non-finite value, a label below -1; with labels also missing ones. The message
// begins with name.
func (f *Features) Check(name string, labels bool) error {
	switch {
	case f.Rows < 1 || f.Dim < 1:
		return fmt.Errorf("%s: no features (%d rows of %d values)", name, f.Rows, f.Dim)
	case len(f.Data) != f.Rows*f.Dim:
		return fmt.Errorf("%s: %d values do not make %d rows of %d", name, len(f.Data), f.Rows, f.Dim)
	case labels && len(f.Labels) == 0:
		return fmt.Errorf("%s: the images have no labels; put them into one folder per class", name)
	case len(f.Labels) != 0 && len(f.Labels) != f.Rows:
		return fmt.Errorf("%s: %d labels for %d rows", name, len(f.Labels), f.Rows)
	}
	for i, l := range f.Labels {
		if l < -1 || labels && l < 0 {
			return fmt.Errorf("%s: %s has no class (label %d)", name, f.rowName(i), l)
		}
	}
	if err := f.checkFinite(0); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// checkFinite returns an error for the first non-finite value from a row on.
func (f *Features) checkFinite(row int) error {
	for i, v := range f.Data[row*f.Dim:] {
		if v != v || math.IsInf(float64(v), 0) {
			return fmt.Errorf("value %d of %s is %v; the backbone's weights are not usable", i%f.Dim, f.rowName(row+i/f.Dim), v)
		}
	}
	return nil
}

func (f *Features) rowName(i int) string {
	if i < len(f.Names) {
		return f.Names[i]
	}
	return fmt.Sprintf("row %d", i)
}
