package core

import "fmt"

// MaxPool2D is the largest value of each window of size×size pixels, stride
// apart, of images x [B, C, H, W]: [B, C, (H-size)/stride+1,
// (W-size)/stride+1], divisions rounded down. The gradient goes to the first
// largest value of a window, in raster order.
func (g *Graph) MaxPool2D(x *Node, size, stride int) *Node {
	if !g.fits("max_pool2d", fmt.Sprintf("x [B, C, H, W] of at least %d×%d pixels, stride %d > 0", size, size, stride), []*Node{x}, nil, func() bool {
		return len(x.shape) == 4 && !x.integer && size > 0 && size <= 1<<12 && stride > 0 && x.shape[2] >= size && x.shape[3] >= size
	}) {
		return g.invalid()
	}
	s := x.shape
	h, w := s[2], s[3]
	outH, outW := (h-size)/stride+1, (w-size)/stride+1
	planes := s[0] * s[1]
	return g.apply(&op{
		name: "max_pool2d", in: []*Node{x}, addable: set(0),
		save: []int{planes * outH * outW}, // place of the largest value in its window
		forward: func(c *call) {
			c.pool.Do(planes, func(_, p int) {
				in, out, place := c.in[0][p*h*w:][:h*w], c.out[0][p*outH*outW:][:outH*outW], c.save[0][p*outH*outW:]
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
		backward: func(c *call) {
			c.pool.Do(planes, func(_, p int) {
				dx, dy, place := c.gin[0][p*h*w:][:h*w], c.gout[0][p*outH*outW:][:outH*outW], c.save[0][p*outH*outW:]
				if !c.add[0] {
					clear(dx)
				}
				for i, d := range dy {
					k := int(place[i])
					dx[i/outW*stride*w+i%outW*stride+k/size*w+k%size] += d
				}
			})
		},
	}, Shape{s[0], s[1], outH, outW})[0]
}

// UpsampleNearest repeats every pixel of images x [B, C, H, W] factor times in
// both directions: [B, C, factor·H, factor·W].
func (g *Graph) UpsampleNearest(x *Node, factor int) *Node {
	if !g.fits("upsample_nearest", fmt.Sprintf("x [B, C, H, W], factor %d of 1 to 4096", factor), []*Node{x}, nil, func() bool {
		return len(x.shape) == 4 && !x.integer && factor > 0 && factor <= 1<<12
	}) {
		return g.invalid()
	}
	s := x.shape
	h, w := s[2], s[3]
	width := w * factor
	return g.apply(&op{
		name: "upsample_nearest", in: []*Node{x},
		forward: func(c *call) {
			c.pool.Do(s[0]*s[1], func(_, p int) {
				in, out := c.in[0][p*h*w:], c.out[0][p*h*factor*width:]
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
		backward: func(c *call) {
			c.pool.Do(s[0]*s[1], func(_, p int) {
				dx, dy := c.gin[0][p*h*w:][:h*w], c.gout[0][p*h*factor*width:]
				clear(dx)
				for y := range h * factor {
					for j, d := range dy[y*width:][:width] {
						dx[y/factor*w+j/factor] += d
					}
				}
			})
		},
	}, Shape{s[0], s[1], h * factor, width})[0]
}
