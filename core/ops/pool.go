package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// MaxPool2D is the largest value of each window of size×size pixels, stride
// apart, of images x [B, C, H, W]: [B, C, (H-size)/stride+1,
// (W-size)/stride+1], divisions rounded down. The gradient goes to the first
// largest value of a window, in raster order.
func MaxPool2D(g *core.Graph, x *core.Node, size, stride int) *core.Node {
	if !g.Check("max_pool2d", fmt.Sprintf("x [B, C, H, W] of at least %d×%d pixels, stride %d > 0", size, size, stride), []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) == 4 && !x.Integer() && size > 0 && size <= 1<<12 && stride > 0 && x.Shape()[2] >= size && x.Shape()[3] >= size
	}) {
		return g.Invalid()
	}
	s := x.Shape()
	h, w := s[2], s[3]
	outH, outW := (h-size)/stride+1, (w-size)/stride+1
	planes := s[0] * s[1]
	return g.Apply(&core.Op{
		Name: "max_pool2d", In: []*core.Node{x}, AddsGrad: core.OperandSet(0),
		Save: []int{planes * outH * outW}, // place of the largest value in its window
		Forward: func(c *core.Call) {
			c.Pool.Do(planes, func(_, p int) {
				in, out, place := c.In[0][p*h*w:][:h*w], c.Out[0][p*outH*outW:][:outH*outW], c.Save[0][p*outH*outW:]
				for i := range out {
					corner := i/outW*stride*w + i%outW*stride
					best, at := in[corner], 0
					for k := 1; k < size*size; k++ {
						if v := in[corner+k/size*w+k%size]; v > best || v != v {
							best, at = v, k
						}
					}
					out[i], place[i] = best, float32(at)
				}
			})
		},
		Backward: func(c *core.Call) {
			c.Pool.Do(planes, func(_, p int) {
				dx, dy, place := c.GradIn[0][p*h*w:][:h*w], c.GradOut[0][p*outH*outW:][:outH*outW], c.Save[0][p*outH*outW:]
				if !c.Add[0] {
					clear(dx)
				}
				for i, d := range dy {
					k := int(place[i])
					dx[i/outW*stride*w+i%outW*stride+k/size*w+k%size] += d
				}
			})
		},
	}, tensor.Shape{s[0], s[1], outH, outW})[0]
}

// UpsampleNearest repeats every pixel of images x [B, C, H, W] factor times in
// both directions: [B, C, factor·H, factor·W].
func UpsampleNearest(g *core.Graph, x *core.Node, factor int) *core.Node {
	if !g.Check("upsample_nearest", fmt.Sprintf("x [B, C, H, W], factor %d of 1 to 4096", factor), []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) == 4 && !x.Integer() && factor > 0 && factor <= 1<<12
	}) {
		return g.Invalid()
	}
	s := x.Shape()
	h, w := s[2], s[3]
	width := w * factor
	return g.Apply(&core.Op{
		Name: "upsample_nearest", In: []*core.Node{x},
		Forward: func(c *core.Call) {
			c.Pool.Do(s[0]*s[1], func(_, p int) {
				in, out := c.In[0][p*h*w:], c.Out[0][p*h*factor*width:]
				for y := range h * factor {
					line := out[y*width:][:width]
					if y%factor > 0 {
						copy(line, out[(y-1)*width:])
						continue
					}
					for j := range line {
						line[j] = in[y/factor*w+j/factor]
					}
				}
			})
		},
		Backward: func(c *core.Call) {
			c.Pool.Do(s[0]*s[1], func(_, p int) {
				dx, dy := c.GradIn[0][p*h*w:][:h*w], c.GradOut[0][p*h*factor*width:]
				clear(dx)
				for y := range h * factor {
					for j, d := range dy[y*width:][:width] {
						dx[y/factor*w+j/factor] += d
					}
				}
			})
		},
	}, tensor.Shape{s[0], s[1], h * factor, width})[0]
}
