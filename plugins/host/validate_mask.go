package host

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// ValidateMasks checks a reply against the plan: the right step, each mask once, lengths,
// keep lists without duplicates and in range. Errors name field, mask and sample.
func ValidateMasks(plan *pb.Plan, info *pb.BackboneInfo, r *pb.MaskRequest, reply *pb.MaskReply) error {
	if reply == nil {
		return fmt.Errorf("no reply")
	}
	if reply.Step != r.Step {
		return fmt.Errorf("field step is %d, asked for %d", reply.Step, r.Step)
	}
	sets := map[string]*pb.MaskSet{}
	for _, s := range reply.Sets {
		if sets[s.GetName()] != nil {
			return fmt.Errorf("field sets: mask %q twice", s.GetName())
		}
		sets[s.GetName()] = s
	}
	for _, m := range plan.Masks {
		s := sets[m.Name]
		if s == nil {
			return fmt.Errorf("field sets: mask %q of the plan is missing", m.Name)
		}
		delete(sets, m.Name)
		if err := validateMask(plan, info, m, s, len(r.SampleIds)); err != nil {
			return fmt.Errorf("mask %q: %w", m.Name, err)
		}
	}
	for name := range sets {
		return fmt.Errorf("field sets: the plan has no mask %q", name)
	}
	return nil
}

// seenPatches keeps the memory of validateMask, which runs in every step.
var seenPatches = sync.Pool{New: func() any { return new([]int) }}

func validateMask(plan *pb.Plan, info *pb.BackboneInfo, m *pb.MaskSpec, s *pb.MaskSet, samples int) error {
	rows, cols := grid(viewNamed(plan, m.View), info)
	if m.Kind == pb.MaskSpec_KIND_BITMAP {
		if m.Rows > 0 {
			rows, cols = int(m.Rows), int(m.Cols)
		}
		if len(s.Values) > 0 {
			return fmt.Errorf("field values is set for a bitmap")
		}
		if len(s.Bitmap) != rows*cols*samples {
			return fmt.Errorf("field bitmap has %d cells, expected %d x %d for each of %d samples", len(s.Bitmap), rows, cols, samples)
		}
		for i, b := range s.Bitmap {
			if b > 1 {
				return fmt.Errorf("field bitmap, sample %d: cell %d is %d, valid are 0 and 1", i/(rows*cols), i%(rows*cols), b)
			}
		}
		for sample := range samples {
			if n := bytes.Count(s.Bitmap[sample*rows*cols:][:rows*cols], []byte{1}); m.Length > 0 && n > int(m.Length) {
				return fmt.Errorf("field bitmap, sample %d: %d cells are removed, the plan says at most %d", sample, n, m.Length)
			}
		}
		return nil
	}
	if len(s.Bitmap) > 0 {
		return fmt.Errorf("field bitmap is set for a %s", m.Kind)
	}
	n := int(m.Length)
	stride := n
	if m.Kind == pb.MaskSpec_KIND_CORRUPTION {
		stride *= sdk.CorruptionStride
	}
	if len(s.Values) != stride*samples {
		return fmt.Errorf("field values has %d numbers, expected %d for each of %d samples", len(s.Values), stride, samples)
	}
	switch m.Kind {
	case pb.MaskSpec_KIND_KEEP:
		memory := seenPatches.Get().(*[]int)
		defer seenPatches.Put(memory)
		*memory = slices.Grow((*memory)[:0], rows*cols)[:rows*cols]
		seen := *memory // sample+1 that a patch was last seen in
		clear(seen)
		for i, v := range s.Values {
			sample := i / n
			if v < 0 || int(v) >= len(seen) {
				return fmt.Errorf("field values, sample %d: patch %d, valid are 0..%d", sample, v, len(seen)-1)
			}
			if seen[v] == sample+1 {
				return fmt.Errorf("field values, sample %d: patch %d twice", sample, v)
			}
			seen[v] = sample + 1
		}
	case pb.MaskSpec_KIND_INDICES:
		for i, v := range s.Values {
			if v < 0 || uint64(v) >= m.Limit {
				return fmt.Errorf("field values, sample %d: index %d, valid are 0..%d", i/n, v, m.Limit-1)
			}
		}
	case pb.MaskSpec_KIND_CORRUPTION:
		height, width := size(viewNamed(plan, m.View), info)
		for i := 0; i < len(s.Values); i += sdk.CorruptionStride {
			if err := validateRect(s.Values[i:i+sdk.CorruptionStride], height, width, samples); err != nil {
				return fmt.Errorf("field values, sample %d, rectangle %d: %w", i/stride, i%stride/sdk.CorruptionStride, err)
			}
		}
	}
	return nil
}

// validateRect checks one rectangle; see MaskSet.values for the nine numbers.
func validateRect(v []int32, height, width, samples int) error {
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

func viewNamed(plan *pb.Plan, name string) *pb.ViewSpec {
	for _, v := range plan.Views {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// size is the height and width of a view in pixels.
func size(v *pb.ViewSpec, info *pb.BackboneInfo) (height, width int) {
	height, width = int(v.GetHeight()), int(v.GetWidth())
	if height == 0 {
		height = int(info.GetImageH())
	}
	if width == 0 {
		width = int(info.GetImageW())
	}
	return height, width
}

// grid is the patch grid of a view.
func grid(v *pb.ViewSpec, info *pb.BackboneInfo) (rows, cols int) {
	h, w := size(v, info)
	p := max(1, int(info.GetPatch()))
	return h / p, w / p
}
