package program

import (
	"bytes"
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

// mask is one per-step decision of the objective and the inputs of the graph that it fills.
type mask struct {
	spec       *pb.MaskSpec
	rows, cols int // cells, for keep lists and bitmaps
	height     int // pixels of the view, for corruptions
	width      int
	batch      int

	values  []*mapped  // int32 [batch, length] pieces
	removed []*mapped  // float32 [batch, cells] pieces
	cells   *core.Node // int32 [batch, length] removed cells of a bitmap, nil until it is read
	counted *core.Node // float32 [batch, length], 1 where cells holds one
	node    map[pb.MaskRef_Form]*core.Node
	seen    []bool // scratch of checkKeep, [cells]
}

// mapped is a piece of an input: the rows of one mask in a batch of several views.
type mapped struct {
	node   *core.Node
	offset int // elements
}

// newMask checks a specification against the view that it belongs to.
func (m *Model) newMask(spec *pb.MaskSpec) (*mask, error) {
	v, ok := m.views[spec.GetView()]
	if !ok {
		return nil, fmt.Errorf("mask %s belongs to view %q, which the plan does not have", spec.GetName(), spec.GetView())
	}
	s := v.Shape()
	k := &mask{spec: spec, rows: int(spec.GetRows()), cols: int(spec.GetCols()), height: s[2], width: s[3], batch: m.Batch,
		node: map[pb.MaskRef_Form]*core.Node{}}
	patch := m.Config.Info().Patch
	if k.rows == 0 {
		k.rows = s[2] / patch
	}
	if k.cols == 0 {
		k.cols = s[3] / patch
	}
	if spec.GetRows() > 1<<15 || spec.GetCols() > 1<<15 || spec.GetLength() > 1<<24 {
		return nil, fmt.Errorf("mask %s: %d×%d cells, length %d: too large", spec.GetName(), spec.GetRows(), spec.GetCols(), spec.GetLength())
	}
	length := int(spec.GetLength())
	switch spec.GetKind() {
	case pb.MaskSpec_KIND_KEEP:
		if length < 1 || length > k.rows*k.cols {
			return nil, fmt.Errorf("mask %s keeps %d of %d×%d patches: want 1 to %d", spec.GetName(), length, k.rows, k.cols, k.rows*k.cols)
		}
	case pb.MaskSpec_KIND_BITMAP:
	case pb.MaskSpec_KIND_INDICES:
		if length < 1 || spec.GetLimit() < 1 || spec.GetLimit() > 1<<31-1 {
			return nil, fmt.Errorf("mask %s draws %d integers below %d: want at least one, and a limit of 1 to 2^31-1", spec.GetName(), length, spec.GetLimit())
		}
	case pb.MaskSpec_KIND_CORRUPTION:
		if length < 1 {
			return nil, fmt.Errorf("mask %s: a corruption needs a length of at least one rectangle", spec.GetName())
		}
	default:
		return nil, fmt.Errorf("mask %s: kind %v is not known to this version of vittool", spec.GetName(), spec.GetKind())
	}
	return k, nil
}

// input returns the graph's input for one form of the mask, declared on first use.
func (k *mask) input(g *core.Graph, form pb.MaskRef_Form) (*core.Node, error) {
	if n := k.node[form]; n != nil {
		return n, nil
	}
	name, kind := "mask."+k.spec.GetName(), k.spec.GetKind()
	var n *core.Node
	switch {
	case form == pb.MaskRef_FORM_VALUES && kind == pb.MaskSpec_KIND_CORRUPTION:
		n = g.InputInt(name, tensor.Shape{k.batch, int(k.spec.GetLength()), corruptionFields})
		k.values = append(k.values, &mapped{node: n})
	case form == pb.MaskRef_FORM_VALUES && kind != pb.MaskSpec_KIND_BITMAP:
		n = g.InputInt(name, tensor.Shape{k.batch, int(k.spec.GetLength())})
		k.values = append(k.values, &mapped{node: n})
	case form == pb.MaskRef_FORM_REMOVED && (kind == pb.MaskSpec_KIND_KEEP || kind == pb.MaskSpec_KIND_BITMAP):
		n = g.Input(name+".removed", tensor.Shape{k.batch, k.rows * k.cols})
		k.removed = append(k.removed, &mapped{node: n})
	case form == pb.MaskRef_FORM_REMOVED_BLOCKS && kind == pb.MaskSpec_KIND_CORRUPTION:
		n = g.Input(name+".blocks", tensor.Shape{k.batch, k.height, k.width})
		k.removed = append(k.removed, &mapped{node: n})
	case form == pb.MaskRef_FORM_REMOVED_CELLS && kind == pb.MaskSpec_KIND_BITMAP && k.spec.GetLength() > 0:
		n = g.InputInt(name+".cells", tensor.Shape{k.batch, int(k.spec.GetLength())})
		k.cells = n
	case form == pb.MaskRef_FORM_REMOVED_COUNTED && kind == pb.MaskSpec_KIND_BITMAP && k.spec.GetLength() > 0:
		n = g.Input(name+".counted", tensor.Shape{k.batch, int(k.spec.GetLength())})
		k.counted = n
	default:
		return nil, fmt.Errorf("mask %s is of %v and has no %v", k.spec.GetName(), kind, form)
	}
	k.node[form] = n
	return n, nil
}

// corruptionFields is the number of integers that describe one corrupted rectangle.
const corruptionFields = 9

// set checks a reply and fills the inputs. Nothing is written unless the whole set is right.
func (k *mask) set(s *pb.MaskSet) error {
	length := int(k.spec.GetLength())
	if k.spec.GetKind() == pb.MaskSpec_KIND_BITMAP {
		cells := k.rows * k.cols
		if len(s.GetBitmap()) != k.batch*cells {
			return fmt.Errorf("mask %s has %d bytes: want %d samples × %d×%d cells = %d", s.GetName(), len(s.GetBitmap()), k.batch, k.rows, k.cols, k.batch*cells)
		}
		for i, b := range s.GetBitmap() {
			if b > 1 {
				return fmt.Errorf("mask %s: cell %d of sample %d is %d: want 0 or 1", s.GetName(), i%cells, i/cells, b)
			}
		}
		if length > 0 {
			for b := range k.batch {
				if n := bytes.Count(s.GetBitmap()[b*cells:][:cells], []byte{1}); n > length {
					return fmt.Errorf("mask %s: sample %d has %d removed cells: want at most %d", s.GetName(), b, n, length)
				}
			}
			k.list(s.GetBitmap(), cells, length)
		}
		for _, t := range k.removed {
			dst := t.node.Value()[t.offset:]
			for i, b := range s.GetBitmap() {
				dst[i] = float32(b)
			}
		}
		return nil
	}

	per := length
	if k.spec.GetKind() == pb.MaskSpec_KIND_CORRUPTION {
		per *= corruptionFields
	}
	values := s.GetValues()
	if len(values) != k.batch*per {
		return fmt.Errorf("mask %s has %d values: want %d samples × %d = %d", s.GetName(), len(values), k.batch, per, k.batch*per)
	}
	switch k.spec.GetKind() {
	case pb.MaskSpec_KIND_KEEP:
		if err := k.checkKeep(s.GetName(), values, length); err != nil {
			return err
		}
	case pb.MaskSpec_KIND_INDICES:
		for i, v := range values {
			if v < 0 || uint64(v) >= k.spec.GetLimit() {
				return fmt.Errorf("mask %s: index %d of sample %d is %d: want 0 to %d", s.GetName(), i%per, i/per, v, k.spec.GetLimit()-1)
			}
		}
	case pb.MaskSpec_KIND_CORRUPTION:
		if err := k.checkCorruption(s.GetName(), values, length); err != nil {
			return err
		}
	}
	for _, t := range k.values {
		copy(t.node.Ints()[t.offset:], values)
	}
	for _, t := range k.removed {
		k.remove(t.node.Value()[t.offset:], values)
	}
	return nil
}

// list fills in the removed cells of a bitmap, sample by sample.
func (k *mask) list(bitmap []byte, cells, length int) {
	for b := range k.batch {
		n := 0
		for i, v := range bitmap[b*cells:][:cells] {
			if v == 0 {
				continue
			}
			if k.cells != nil {
				k.cells.Ints()[b*length+n] = int32(i)
			}
			n++
		}
		for i := range length {
			if k.cells != nil && i >= n {
				k.cells.Ints()[b*length+i] = 0
			}
			if k.counted != nil {
				k.counted.Value()[b*length+i] = 0
				if i < n {
					k.counted.Value()[b*length+i] = 1
				}
			}
		}
	}
}

// remove turns keep lists or corrupted rectangles into ones at what is gone.
func (k *mask) remove(dst []float32, values []int32) {
	if k.spec.GetKind() == pb.MaskSpec_KIND_KEEP {
		cells, length := k.rows*k.cols, int(k.spec.GetLength())
		for b := range k.batch {
			row := dst[b*cells:][:cells]
			for i := range row {
				row[i] = 1
			}
			for _, v := range values[b*length:][:length] {
				row[v] = 0
			}
		}
		return
	}
	per := int(k.spec.GetLength()) * corruptionFields
	for b := range k.batch {
		plane := dst[b*k.height*k.width:][:k.height*k.width]
		clear(plane)
		for r := 0; r < per; r += corruptionFields {
			box := values[b*per+r:]
			for y := box[0]; y < box[0]+box[2]; y++ {
				for x := box[1]; x < box[1]+box[3]; x++ {
					plane[int(y)*k.width+int(x)] = 1
				}
			}
		}
	}
}

func (k *mask) checkKeep(name string, values []int32, length int) error {
	cells := k.rows * k.cols
	seen := k.seen
	if seen == nil {
		seen = make([]bool, cells)
		k.seen = seen
	}
	for b := range k.batch {
		clear(seen)
		for i, v := range values[b*length:][:length] {
			if v < 0 || int(v) >= cells {
				return fmt.Errorf("mask %s: entry %d of sample %d keeps patch %d: want 0 to %d", name, i, b, v, cells-1)
			}
			if seen[v] {
				return fmt.Errorf("mask %s: sample %d keeps patch %d twice", name, b, v)
			}
			seen[v] = true
		}
	}
	return nil
}

func (k *mask) checkCorruption(name string, values []int32, length int) error {
	for b := range k.batch {
		for r := range length {
			v := values[(b*length+r)*corruptionFields:][:corruptionFields]
			inside := func(top, left int32) bool {
				return top >= 0 && left >= 0 && v[2] >= 0 && v[3] >= 0 && int64(top)+int64(v[2]) <= int64(k.height) && int64(left)+int64(v[3]) <= int64(k.width)
			}
			if !inside(v[0], v[1]) {
				return fmt.Errorf("mask %s: rectangle %d of sample %d (top %d, left %d, %d×%d) does not lie inside the view of %d×%d",
					name, r, b, v[0], v[1], v[2], v[3], k.height, k.width)
			}
			switch {
			case v[4] < 0 || v[4] > 2:
				return fmt.Errorf("mask %s: rectangle %d of sample %d has fill %d: want 0, 1 or 2", name, r, b, v[4])
			case v[8] < 0 || v[8] > 1 || v[4] == 2 && v[5] >= 0 && v[8] == 0:
				return fmt.Errorf("mask %s: rectangle %d of sample %d copies from sample %d with clean = %d: want 1 for another sample, 0 or 1 for the same one (-1)",
					name, r, b, v[5], v[8])
			case v[4] == 2 && (v[5] < -1 || int(v[5]) >= k.batch || !inside(v[6], v[7])):
				return fmt.Errorf("mask %s: rectangle %d of sample %d copies from sample %d at top %d, left %d, which is outside of the batch or the view",
					name, r, b, v[5], v[6], v[7])
			}
		}
	}
	return nil
}

// SetMasks fills the masks of a step from the objective's reply. A reply that lacks a mask, has one that the plan
// does not know, or a value out of range is an error, and the step must not be run.
func (m *Model) SetMasks(reply *pb.MaskReply) error {
	seen := map[string]bool{}
	for _, s := range reply.GetSets() {
		k := m.masks[s.GetName()]
		if k == nil {
			return fmt.Errorf("plugin %s: the mask reply has a set %q that the plan does not declare", m.plugin, s.GetName())
		}
		if seen[s.GetName()] {
			return fmt.Errorf("plugin %s: the mask reply has the set %q twice", m.plugin, s.GetName())
		}
		seen[s.GetName()] = true
		if err := k.set(s); err != nil {
			return fmt.Errorf("plugin %s: %w", m.plugin, err)
		}
	}
	for _, spec := range m.Plan.GetMasks() {
		if !seen[spec.GetName()] {
			return fmt.Errorf("plugin %s: the mask reply lacks the set %q", m.plugin, spec.GetName())
		}
	}
	return nil
}
