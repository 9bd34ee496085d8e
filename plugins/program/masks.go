package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// mask is a mask of the plan with the inputs of the graph that it fills.
type mask struct {
	spec   *plan.Mask
	height int // pixels of the view
	width  int
	batch  int

	values  []*maskPart // int32 [batch, length] pieces
	masked  []*maskPart // float32 [batch, cells or pixels] pieces, 1 = masked
	listed  *core.Node  // int32 [batch, length] masked cells of a bitmap, nil until it is read
	counted *core.Node  // float32 [batch, length], 1 where listed holds one
	node    map[plan.Form]*core.Node
}

// maskPart is a piece of an input: the rows of one mask in a batch of several views.
type maskPart struct {
	node   *core.Node
	offset int // elements
}

// input returns the graph's input for one form of the mask, declared on first use.
func (k *mask) input(g *core.Graph, form plan.Form) *core.Node {
	if n := k.node[form]; n != nil {
		return n
	}
	name := "mask." + k.spec.Name
	var n *core.Node
	switch form {
	case plan.FormValues:
		shape := tensor.Shape{k.batch, k.spec.Length}
		if k.spec.Kind == plan.MaskCorruption {
			shape = append(shape, plan.RectangleFields)
		}
		n = g.InputInt(name, shape)
		k.values = append(k.values, &maskPart{node: n})
	case plan.FormMasked:
		n = g.Input(name+".masked", tensor.Shape{k.batch, k.cells()})
		k.masked = append(k.masked, &maskPart{node: n})
	case plan.FormChanged:
		n = g.Input(name+".changed", tensor.Shape{k.batch, k.height, k.width})
		k.masked = append(k.masked, &maskPart{node: n})
	case plan.FormMaskedCells:
		n = g.InputInt(name+".cells", tensor.Shape{k.batch, k.spec.Length})
		k.listed = n
	case plan.FormCounted:
		n = g.Input(name+".counted", tensor.Shape{k.batch, k.spec.Length})
		k.counted = n
	}
	k.node[form] = n
	return n
}

// set fills the inputs from values that were checked.
func (k *mask) set(s *plan.MaskSet) {
	if k.spec.Kind == plan.MaskBitmap {
		if k.spec.Length > 0 {
			k.list(s.Bitmap, k.cells(), k.spec.Length)
		}
		for _, t := range k.masked {
			dst := t.node.Value()[t.offset:]
			for i, b := range s.Bitmap {
				dst[i] = float32(b)
			}
		}
		return
	}
	for _, t := range k.values {
		copy(t.node.Ints()[t.offset:], s.Values)
	}
	for _, t := range k.masked {
		k.mark(t.node.Value()[t.offset:], s.Values)
	}
}

// cells is the number of cells of one sample.
func (k *mask) cells() int { return k.spec.Rows * k.spec.Cols }

// list writes the indices of the masked cells of a bitmap, sample by sample.
func (k *mask) list(bitmap []byte, cells, length int) {
	for b := range k.batch {
		n := 0
		for i, v := range bitmap[b*cells:][:cells] {
			if v == 0 {
				continue
			}
			if k.listed != nil {
				k.listed.Ints()[b*length+n] = int32(i)
			}
			n++
		}
		for i := range length {
			if k.listed != nil && i >= n {
				k.listed.Ints()[b*length+i] = 0
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

// mark writes a keep list or rectangles as numbers: 1 at each masked cell or changed pixel, 0
// elsewhere.
func (k *mask) mark(dst []float32, values []int32) {
	if k.spec.Kind == plan.MaskKeep {
		cells, length := k.cells(), k.spec.Length
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
	per := k.spec.Length * plan.RectangleFields
	for b := range k.batch {
		plane := dst[b*k.height*k.width:][:k.height*k.width]
		clear(plane)
		for r := 0; r < per; r += plan.RectangleFields {
			box := values[b*per+r:]
			for y := box[0]; y < box[0]+box[2]; y++ {
				for x := box[1]; x < box[1]+box[3]; x++ {
					plane[int(y)*k.width+int(x)] = 1
				}
			}
		}
	}
}
