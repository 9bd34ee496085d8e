// Package tasks measures and shows what a pre-trained backbone has learned:
// k-nearest neighbours, linear classifiers, feature files, reconstructions,
// and the backbone's way in and out of weight files. Each task takes plain
// values and yields metrics and pictures; none of them knows the command line.
package tasks

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/data"
)

// Features is a table of one feature vector per image.
type Features struct {
	Rows, Dim int
	Data      []float32 // [Rows, Dim]
	Labels    []int32   // [Rows] class of each row, or nil
	Classes   []string  // class names, or nil when only numbers are known
	Names     []string  // [Rows] where each row comes from, or nil
	Pool      Pool      // what the rows are made of; empty when it is not known
	Blocks    []int     // and of which blocks, counted from 0
	// Height and Width of the view in pixels, and how images were brought to it.
	Height, Width int
	Fitting       data.Fitting

	IDs []int // [Rows] place of each row's image in its source, or nil for 0, 1, …
}

// ClassCount is the number of named classes, or one more than the largest
// label when the classes have no names.
func (f *Features) ClassCount() int {
	n := len(f.Classes)
	for _, l := range f.Labels {
		n = max(n, int(l)+1)
	}
	return n
}

// Check reports the first thing that no evaluation can work with: no rows,
// lengths that do not belong together, labels missing (if they are needed) or
// negative, a value that is not finite. what begins the message.
func (f *Features) Check(what string, labels bool) error {
	switch {
	case f.Rows < 1 || f.Dim < 1:
		return fmt.Errorf("%s: no features (%d rows of %d values)", what, f.Rows, f.Dim)
	case len(f.Data) != f.Rows*f.Dim:
		return fmt.Errorf("%s: %d values do not make %d rows of %d", what, len(f.Data), f.Rows, f.Dim)
	case labels && len(f.Labels) == 0:
		return fmt.Errorf("%s: the images have no labels; put them into one folder per class", what)
	case len(f.Labels) != 0 && len(f.Labels) != f.Rows:
		return fmt.Errorf("%s: %d labels for %d rows", what, len(f.Labels), f.Rows)
	}
	for i, l := range f.Labels {
		if l < 0 {
			return fmt.Errorf("%s: %s has no class (label %d)", what, f.rowName(i), l)
		}
	}
	for i, v := range f.Data {
		if v != v || math.IsInf(float64(v), 0) {
			return fmt.Errorf("%s: value %d of %s is %v; the backbone's weights are not usable", what, i%f.Dim, f.rowName(i/f.Dim), v)
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
