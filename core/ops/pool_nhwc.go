package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// MaxPool2DNHWC is MaxPool2D for maps x [B, H, W, C] with channels last and with windows that may
// reach over the edge by padding pixels, at most half of their size:
// [B, (H+2·padding-size)/stride+1, (W+2·padding-size)/stride+1, C], divisions rounded down. The
// gradient goes to the first largest value of a window in raster order.
func MaxPool2DNHWC(g *core.Graph, x *core.Node, size, stride, padding int) *core.Node {
	want := fmt.Sprintf("x [B, H, W, C] of at least %d×%d pixels with padding %d of 0 to %d, stride %d > 0", size, size, padding, size/2, stride)
	if !g.Check("max_pool2d_nhwc", want, []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) == 4 && !x.Integer() && size > 0 && size <= 1<<12 && stride > 0 && padding >= 0 && 2*padding <= size &&
			x.Shape()[1]+2*padding >= size && x.Shape()[2]+2*padding >= size
	}) {
		return g.Invalid()
	}
	s := x.Shape()
	m := f32.MaxPool{N: s[0], H: s[1], W: s[2], C: s[3], Size: size, Stride: stride, Pad: padding}
	shape := tensor.Shape{m.N, m.OutH(), m.OutW(), m.C}
	return g.Apply(&core.Op{
		Name: "max_pool2d_nhwc", In: []*core.Node{x}, AddsGrad: core.OperandSet(0),
		Save: []int{shape.Size()}, // number of the largest value in its window
		Forward: func(c *core.Call) {
			f32.MaxPoolForward(c.Pool, m, c.In[0], c.Out[0], c.Save[0])
		},
		Backward: func(c *core.Call) {
			f32.MaxPoolBackward(c.Pool, m, c.GradOut[0], c.Save[0], c.GradIn[0], c.Add[0])
		},
	}, shape)[0]
}
