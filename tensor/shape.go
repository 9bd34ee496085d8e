package tensor

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Shape holds the sizes of a tensor's dimensions, outermost first. The empty shape is a scalar.
type Shape []int

// Size returns the number of elements: the product of all dimensions, 1 for a scalar.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same dimensions.
func (s Shape) Equal(o Shape) bool { return slices.Equal(s, o) }

// Clone returns a copy that shares no memory with s.
func (s Shape) Clone() Shape { return append(Shape{}, s...) }

// String prints the shape as [2, 3], a scalar as [].
func (s Shape) String() string { return strings.ReplaceAll(fmt.Sprint([]int(s)), " ", ", ") }

// Last returns the innermost dimension; 1 for a scalar.
func (s Shape) Last() int {
	if len(s) == 0 {
		return 1
	}
	return s[len(s)-1]
}

// Rows returns the number of innermost vectors, Size()/Last().
func (s Shape) Rows() int { return s[:max(len(s)-1, 0)].Size() }

// WithLast returns a copy whose innermost dimension is d.
func (s Shape) WithLast(d int) Shape {
	c := s.Clone()
	c[len(c)-1] = d
	return c
}

// CheckedSize is Size, with an error for negative dimensions and overflow.
func (s Shape) CheckedSize() (int, error) {
	n := 1
	for _, d := range s {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", s)
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %v has more elements than memory can hold", s)
		}
		n *= d
	}
	return n, nil
}
