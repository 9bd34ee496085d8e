package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// MaxPoolNHWC is MaxPool2D on images with the channels last, x [B, H, W, C], with a border of
// padding pixels that are never the largest; the result is [B, (H+2·padding-size)/stride+1,
// (W+2·padding-size)/stride+1, C], divisions rounded down.
func MaxPoolNHWC(g *core.Graph, x *core.Node, size, stride, padding int) *core.Node {
	want := fmt.Sprintf("x [B, H, W, C] of at least %d×%d pixels with a border of %d < %d, stride %d > 0", size, size, padding, size, stride)
	if !g.Check("max_pool_nhwc", want, []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) == 4 && !x.Integer() && size > 0 && size <= 1<<12 && stride > 0 && padding >= 0 && padding < size &&
			x.Shape()[1]+2*padding >= size && x.Shape()[2]+2*padding >= size
	}) {
		return g.Invalid()
	}
	s := x.Shape()
	k := &rowPool{window: newWindow(s[1], s[2], size, size, stride, padding), c: s[3]}
	return g.Apply(&core.Op{
		Name: "max_pool_nhwc", In: []*core.Node{x}, AddsGrad: core.OperandSet(0),
		Save: []int{s[0] * k.outH * k.outW * k.c}, // place of the largest value in its window
		Forward: func(c *core.Call) {
			c.Pool.Do(s[0]*k.outH, func(_, line int) { k.forward(c, line/k.outH, line%k.outH) })
		},
		Backward: func(c *core.Call) {
			c.Pool.Do(s[0], func(_, image int) { k.backward(c, image) })
		},
	}, tensor.Shape{s[0], k.outH, k.outW, k.c})[0]
}

// rowPool is the arithmetic of MaxPoolNHWC.
type rowPool struct {
	window
	c int
}

// forward computes line i of an image's result.
func (k *rowPool) forward(c *core.Call, image, i int) {
	in := c.In[0][image*k.h*k.w*k.c:]
	for j := range k.outW {
		at := ((image*k.outH+i)*k.outW + j) * k.c
		out, place := c.Out[0][at:][:k.c], c.Save[0][at:][:k.c]
		first := true
		for p := range k.r * k.s {
			y, x, inside := k.source(i, j, p/k.s, p%k.s)
			if !inside {
				continue
			}
			for channel, v := range in[(y*k.w+x)*k.c:][:k.c] {
				if first || v > out[channel] || v != v {
					out[channel], place[channel] = v, float32(p)
				}
			}
			first = false
		}
	}
}

// backward adds the gradients of an image's result to the largest values.
func (k *rowPool) backward(c *core.Call, image int) {
	size := k.h * k.w * k.c
	dx := c.GradIn[0][image*size:][:size]
	if !c.Add[0] {
		clear(dx)
	}
	for p := range k.outH * k.outW {
		at := (image*k.outH*k.outW + p) * k.c
		dy, place := c.GradOut[0][at:][:k.c], c.Save[0][at:][:k.c]
		for channel, d := range dy {
			y, x, _ := k.source(p/k.outW, p%k.outW, int(place[channel])/k.s, int(place[channel])%k.s)
			dx[(y*k.w+x)*k.c+channel] += d
		}
	}
}
