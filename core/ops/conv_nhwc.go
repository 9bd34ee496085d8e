package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// ConvOptions are the settings of Conv2DNHWC.
type ConvOptions struct {
	Stride   int // at least 1
	Padding  int // pixels of zeros around the image
	Dilation int // distance of neighbors under the kernel; 0 is 1
}

// Conv2DNHWC is Conv2D for maps with channels last: x [B, H, W, C] with w [O, C, R, S] and b [O]
// (nil: none) gives [B, H', W', O], H' = (H + 2·Padding - Dilation·(R-1) - 1)/Stride + 1, rounded
// down, and W' likewise.
//
// A kernel of 1×1 at stride 1 is one matrix product, one of 3×3 at stride 1 goes by Winograd's
// method, and for all others a matrix product gathers its patches block by block in cache. The
// choice depends on the shapes alone. Networks of convolutions use it throughout; Conv2D remains
// for programs of plans, whose maps have channels first.
func Conv2DNHWC(g *core.Graph, x, w, b *core.Node, opt ConvOptions) *core.Node {
	want := fmt.Sprintf("x [B, H, W, C], w [O, C, R, S] no larger than the padded image, b [O] or nil, stride %d > 0, padding %d >= 0, dilation %d >= 0", opt.Stride, opt.Padding, opt.Dilation)
	reach := func(n int) int { return max(1, opt.Dilation)*(n-1) + 1 }
	if !g.Check("conv2d_nhwc", want, []*core.Node{x, w}, []*core.Node{b}, func() bool {
		return len(x.Shape()) == 4 && len(w.Shape()) == 4 && !x.Integer() && x.Shape()[3] == w.Shape()[1] &&
			opt.Stride > 0 && opt.Padding >= 0 && opt.Dilation >= 0 && isVector(b, w.Shape()[0]) &&
			reach(w.Shape()[2]) <= x.Shape()[1]+2*opt.Padding && reach(w.Shape()[3]) <= x.Shape()[2]+2*opt.Padding
	}) {
		return g.Invalid()
	}
	s, k := x.Shape(), w.Shape()
	v := f32.Conv{
		N: s[0], H: s[1], W: s[2], C: s[3], O: k[0], R: k[2], S: k[3],
		Stride: opt.Stride, Pad: opt.Padding, Dilation: opt.Dilation,
	}
	pixels := v.N * v.OutH() * v.OutW()
	return g.Apply(&core.Op{
		Name: "conv2d_nhwc", In: []*core.Node{x, w, b}, KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0),
		FLOPs: product(pixels, v.O, v.C*v.R*v.S),
		Forward: func(c *core.Call) {
			f32.ConvForward(c.Pool, v, c.In[0], c.In[1], c.In[2], c.Out[0])
		},
		Backward: func(c *core.Call) {
			dy := c.GradOut[0]
			if dw := c.GradIn[1]; dw != nil {
				f32.ConvBackwardWeight(c.Pool, v, c.In[0], dy, dw)
			}
			if dx := c.GradIn[0]; dx != nil {
				f32.ConvBackwardInput(c.Pool, v, dy, c.In[1], dx, c.Add[0])
			}
			if db := c.GradIn[2]; db != nil {
				f32.ColumnSum(c.Pool, pixels, v.O, dy, db)
			}
		},
	}, tensor.Shape{v.N, v.OutH(), v.OutW(), v.O})[0]
}
