package plan

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
)

// MaskRequest asks an objective for the masks of a batch.
type MaskRequest struct {
	MicroBatch uint64 // its number in the run, from 0
	Seed       uint64 // of the run
	SampleIDs  []uint64
	Geometry   []ViewGeometry
}

// ViewGeometry holds the boxes of a view, one per sample.
type ViewGeometry struct {
	View  string
	Boxes []Box
}

// Box is the part of a source image that a view shows, in pixels of the source.
type Box struct {
	Top, Left, Height, Width  float64
	Flip                      bool
	SourceHeight, SourceWidth int
}

// MaskSet holds the values of one mask for a batch.
type MaskSet struct {
	Name string
	// Values holds Length numbers per sample of a keep list or of indices, sample after sample, and
	// Length rectangles of RectangleFields numbers of a corruption: top, left, height (0: unused),
	// width, fill (0 zeros, 1 noise, 2 copy), and for a copy the place in the batch of the source
	// sample (-1: itself), source top, source left, and 1 to copy from a clean image.
	Values []int32
	// Bitmap holds one byte, 0 or 1, per cell, sample after sample.
	Bitmap []byte
}

// RectangleFields is the number of integers that describe one rectangle of a corruption.
const RectangleFields = 9

// Has reports whether the mask can be read in a form.
func (m *Mask) Has(f Form) bool {
	switch f {
	case FormValues:
		return m.Kind != MaskBitmap
	case FormMasked:
		return m.Kind == MaskKeep || m.Kind == MaskBitmap
	case FormChanged:
		return m.Kind == MaskCorruption
	case FormMaskedCells, FormCounted:
		return m.Kind == MaskBitmap && m.Length > 0
	}
	return false
}

// Masked is the form that tells which cells of a view are masked, or which pixels are changed.
func (m *Mask) Masked() Form {
	if m.Kind == MaskCorruption {
		return FormChanged
	}
	return FormMasked
}

// CheckMasks checks the masks of a batch of samples against the plan: each mask once, lengths,
// ranges, keep lists without duplicates. Errors name field, mask and sample.
func (p *Plan) CheckMasks(sets []MaskSet, samples int) error {
	find := func(name string) int {
		return slices.IndexFunc(sets, func(s MaskSet) bool { return s.Name == name })
	}
	for i, s := range sets {
		if find(s.Name) != i {
			return fmt.Errorf("field sets: mask %q twice", s.Name)
		}
		if p.Mask(s.Name) == nil {
			return fmt.Errorf("field sets: the plan has no mask %q", s.Name)
		}
	}
	for _, m := range p.Masks {
		i := find(m.Name)
		if i < 0 {
			return fmt.Errorf("field sets: mask %q of the plan is missing", m.Name)
		}
		if err := p.checkMask(m, &sets[i], samples); err != nil {
			return fmt.Errorf("mask %q: %w", m.Name, err)
		}
	}
	return nil
}

func (p *Plan) checkMask(m *Mask, s *MaskSet, samples int) error {
	if m.Kind == MaskBitmap {
		return m.checkBitmap(s, samples)
	}
	if len(s.Bitmap) > 0 {
		return fmt.Errorf("field bitmap is set for a mask of %v", m.Kind)
	}
	stride := m.Length
	if m.Kind == MaskCorruption {
		stride *= RectangleFields
	}
	if len(s.Values) != stride*samples {
		return fmt.Errorf("field values has %d numbers, expected %d for each of %d samples", len(s.Values), stride, samples)
	}
	switch m.Kind {
	case MaskKeep:
		return m.checkKeep(s.Values)
	case MaskIndices:
		for i, v := range s.Values {
			if v < 0 || int(v) >= m.Limit {
				return fmt.Errorf("field values, sample %d: index %d, valid are 0..%d", i/stride, v, m.Limit-1)
			}
		}
	case MaskCorruption:
		view := p.View(m.View)
		for i := 0; i < len(s.Values); i += RectangleFields {
			if err := checkRectangle(s.Values[i:i+RectangleFields], view.Height, view.Width, samples); err != nil {
				return fmt.Errorf("field values, sample %d, rectangle %d: %w", i/stride, i%stride/RectangleFields, err)
			}
		}
	}
	return nil
}

func (m *Mask) checkBitmap(s *MaskSet, samples int) error {
	cells := m.Rows * m.Cols
	if len(s.Values) > 0 {
		return fmt.Errorf("field values is set for a bitmap")
	}
	if len(s.Bitmap) != cells*samples {
		return fmt.Errorf("field bitmap has %d cells, expected %d x %d for each of %d samples", len(s.Bitmap), m.Rows, m.Cols, samples)
	}
	for i, b := range s.Bitmap {
		if b > 1 {
			return fmt.Errorf("field bitmap, sample %d: cell %d is %d, valid are 0 and 1", i/cells, i%cells, b)
		}
	}
	for sample := 0; m.Length > 0 && sample < samples; sample++ {
		if n := bytes.Count(s.Bitmap[sample*cells:][:cells], []byte{1}); n > m.Length {
			return fmt.Errorf("field bitmap, sample %d: %d cells are masked, the plan has at most %d", sample, n, m.Length)
		}
	}
	return nil
}

// seenPatches keeps the scratch memory of checkKeep, which runs in every step.
var seenPatches = sync.Pool{New: func() any { return new([]int) }}

func (m *Mask) checkKeep(values []int32) error {
	scratch := seenPatches.Get().(*[]int)
	defer seenPatches.Put(scratch)
	*scratch = slices.Grow((*scratch)[:0], m.Rows*m.Cols)[:m.Rows*m.Cols]
	seen := *scratch // sample+1 that a patch was last seen in
	clear(seen)
	for i, v := range values {
		sample := i / m.Length
		if v < 0 || int(v) >= len(seen) {
			return fmt.Errorf("field values, sample %d: patch %d, valid are 0..%d", sample, v, len(seen)-1)
		}
		if seen[v] == sample+1 {
			return fmt.Errorf("field values, sample %d: patch %d twice", sample, v)
		}
		seen[v] = sample + 1
	}
	return nil
}

// checkRectangle checks one rectangle of a corruption; see MaskSet.Values.
func checkRectangle(v []int32, height, width, samples int) error {
	inside := func(top, left int32) bool {
		return top >= 0 && left >= 0 && int(top)+int(v[2]) <= height && int(left)+int(v[3]) <= width
	}
	switch {
	case v[2] == 0: // unused
		return nil
	case v[2] < 0 || v[3] < 0 || !inside(v[0], v[1]):
		return fmt.Errorf("%d x %d at (%d,%d) is not inside %d x %d pixels", v[2], v[3], v[0], v[1], height, width)
	case v[4] < 0 || v[4] > 2:
		return fmt.Errorf("fill %d, valid are 0, 1 and 2", v[4])
	case v[4] == 2 && (v[5] < -1 || int(v[5]) >= samples):
		return fmt.Errorf("source sample %d, valid are -1..%d", v[5], samples-1)
	case v[8] < 0 || v[8] > 1 || v[4] == 2 && v[5] >= 0 && v[8] == 0:
		return fmt.Errorf("clean is %d, valid are 0 and 1, and only 1 for a copy from another sample", v[8])
	case v[4] == 2 && !inside(v[6], v[7]):
		return fmt.Errorf("source (%d,%d) of %d x %d is not inside %d x %d pixels", v[6], v[7], v[2], v[3], height, width)
	}
	return nil
}
