package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// convChunk is about how many values of scratch a convolution uses at a time:
// images are unrolled a few at a time, so that a large batch needs no more.
const convChunk = 1 << 21

// Conv2D is the convolution (in truth, as everywhere, the cross-correlation) of
// images x [B, C, H, W] with w [O, C, R, S] and bias b [O] (nil: none):
//
//	y[n, o, i, j] = b[o] + Σ w[o, c, r, s] · x[n, c, i·stride+r-padding, j·stride+s-padding],
//
// x being zero outside of the image; y is [B, O, (H+2·padding-R)/stride+1,
// (W+2·padding-S)/stride+1], divisions rounded down.
//
// Each image is unrolled into a matrix of the patches under the kernel, which a
// matrix product multiplies by the weight (Chellapilla, Puri and Simard 2006).
// Gradients of the weight are added image by image, in order.
func Conv2D(g *core.Graph, x, w, b *core.Node, stride, padding int) *core.Node {
	want := fmt.Sprintf("x [B, C, H, W], w [O, C, R, S] no larger than the padded image, b [O] or nil, stride %d > 0, padding %d >= 0", stride, padding)
	if !g.Check("conv2d", want, []*core.Node{x, w}, []*core.Node{b}, func() bool {
		return len(x.Shape()) == 4 && len(w.Shape()) == 4 && x.Shape()[1] == w.Shape()[1] && stride > 0 && padding >= 0 &&
			w.Shape()[2] <= x.Shape()[2]+2*padding && w.Shape()[3] <= x.Shape()[3]+2*padding && (b == nil || b.Shape().Equal(w.Shape()[:1]))
	}) {
		return g.Invalid()
	}
	k := &convolution{
		c: x.Shape()[1], h: x.Shape()[2], w: x.Shape()[3], o: w.Shape()[0], r: w.Shape()[2], s: w.Shape()[3], stride: stride, padding: padding,
	}
	k.outH, k.outW = (k.h+2*padding-k.r)/stride+1, (k.w+2*padding-k.s)/stride+1
	batch, taps, pixels := x.Shape()[0], k.c*k.r*k.s, k.outH*k.outW
	inSize, outSize := k.c*k.h*k.w, k.o*pixels
	o := &core.Op{
		Name: "conv2d", In: []*core.Node{x, w, b}, KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0),
		FLOPs: float64(batch) * product(k.o, pixels, taps),
	}
	unrolled := taps * pixels
	if k.plain() {
		unrolled = 0 // the image is its own matrix of patches
	}
	per := func(values int) int { return min(batch, max(1, convChunk/max(1, values))) }
	forwardChunk, backwardChunk := per(unrolled), per(unrolled+k.o*taps)
	o.Work = forwardChunk * unrolled
	o.WorkBack = backwardChunk*(unrolled+k.o*taps) + k.o*taps

	// chunks calls f for a few images at a time, with the place of the first and their number.
	chunks := func(size int, f func(at, n int)) {
		for at := 0; at < batch; at += size {
			f(at, min(size, batch-at))
		}
	}
	// patches returns the unrolled images at..at+n-1 and their distance.
	patches := func(c *core.Call, at, n int) ([]float32, int) {
		if unrolled == 0 {
			return c.In[0][at*inSize:], inSize
		}
		c.Pool.Do(n*k.c, func(_, i int) {
			k.unroll(c.In[0][at*inSize+i*k.h*k.w:][:k.h*k.w], c.Work[i*k.r*k.s*pixels:])
		})
		return c.Work, unrolled
	}
	o.Forward = func(c *core.Call) {
		chunks(forwardChunk, func(at, n int) {
			cols, distance := patches(c, at, n)
			y := c.Out[0][at*outSize:]
			f32.GemmBatch(c.Pool, n, batchOf(k.o, taps, c.In[1], 0), batchOf(taps, pixels, cols, distance), batchOf(k.o, pixels, y, outSize), false)
			if c.In[2] == nil {
				return
			}
			c.Pool.Do(n*k.o, func(_, i int) {
				plane, bias := y[i*pixels:][:pixels], c.In[2][i%k.o]
				for j := range plane {
					plane[j] += bias
				}
			})
		})
	}
	o.Backward = func(c *core.Call) {
		dy, first := c.GradOut[0], true
		// The transposed weight, once, rather than in every product: the bits of a
		// product with a transposed left side may depend on how it is divided up.
		turned := c.Work[len(c.Work)-k.o*taps:]
		if c.GradIn[0] != nil {
			c.EachRow(taps, func(t int) {
				for i := range k.o {
					turned[t*k.o+i] = c.In[1][i*taps+t]
				}
			})
		}
		chunks(backwardChunk, func(at, n int) {
			if dw := c.GradIn[1]; dw != nil {
				cols, distance := patches(c, at, n)
				each := c.Work[backwardChunk*unrolled:]
				colsT := batchOf(taps, pixels, cols, distance)
				colsT.Matrix = colsT.T()
				f32.GemmBatch(c.Pool, n, batchOf(k.o, pixels, dy[at*outSize:], outSize), colsT, batchOf(k.o, taps, each, k.o*taps), false)
				addImages(c.Pool, dw, each, n, first)
				first = false
			}
			dx := c.GradIn[0]
			if dx == nil {
				return
			}
			dx = dx[at*inSize:]
			wT, grad := batchOf(taps, k.o, turned, 0), batchOf(k.o, pixels, dy[at*outSize:], outSize)
			if unrolled == 0 {
				f32.GemmBatch(c.Pool, n, wT, grad, batchOf(taps, pixels, dx, inSize), c.Add[0])
				return
			}
			f32.GemmBatch(c.Pool, n, wT, grad, batchOf(taps, pixels, c.Work, unrolled), false)
			c.Pool.Do(n*k.c, func(_, i int) {
				k.roll(dx[i*k.h*k.w:][:k.h*k.w], c.Work[i*k.r*k.s*pixels:], c.Add[0])
			})
		})
		if db := c.GradIn[2]; db != nil {
			c.Pool.Do(k.o, func(_, i int) {
				sum := 0.0
				for n := range batch {
					for _, v := range dy[n*outSize+i*pixels:][:pixels] {
						sum += float64(v)
					}
				}
				db[i] = float32(sum)
			})
		}
	}
	return g.Apply(o, tensor.Shape{batch, k.o, k.outH, k.outW})[0]
}

// batchOf is a sequence of dense [rows, cols] matrices that begin distance values from each other.
func batchOf(rows, cols int, data []float32, distance int) f32.Batch {
	return f32.Batch{Matrix: f32.Dense(rows, cols, data), Distance: distance}
}

// addImages adds the gradients of n images, each [len(dw)], to dw in their
// order; with first the sum so far is nothing.
func addImages(p *f32.Pool, dw, each []float32, n int, first bool) {
	const chunk = 1 << 12
	p.Do((len(dw)+chunk-1)/chunk, func(_, i int) {
		lo, hi := i*chunk, min(len(dw), (i+1)*chunk)
		sum := dw[lo:hi]
		for image := range n {
			d := each[image*len(dw)+lo:][:hi-lo]
			if image == 0 && first {
				copy(sum, d)
				continue
			}
			for j, v := range d {
				sum[j] += v
			}
		}
	})
}

// convolution is the geometry of one image: c planes of h×w pixels under o
// kernels of r×s.
type convolution struct {
	c, h, w, o, r, s, stride, padding, outH, outW int
}

// plain reports that patches are single pixels in their own order.
func (k *convolution) plain() bool {
	return k.r == 1 && k.s == 1 && k.stride == 1 && k.padding == 0
}

// span returns the columns j0..j1-1 of the result whose pixel under the kernel's
// column s lies inside the image.
func (k *convolution) span(s int) (j0, j1 int) {
	j0 = max(0, (k.padding-s+k.stride-1)/k.stride)
	j1 = min(k.outW, (k.w-1+k.padding-s)/k.stride+1)
	if k.w-1+k.padding-s < 0 {
		j1 = 0
	}
	return min(j0, k.outW), max(j1, min(j0, k.outW))
}

// unroll writes one plane of an image as rows [r·s, outH·outW].
func (k *convolution) unroll(plane, rows []float32) {
	for r := range k.r {
		for s := range k.s {
			row := rows[(r*k.s+s)*k.outH*k.outW:][:k.outH*k.outW]
			j0, j1 := k.span(s)
			for i := range k.outH {
				dst := row[i*k.outW:][:k.outW]
				y := i*k.stride + r - k.padding
				if y < 0 || y >= k.h {
					clear(dst)
					continue
				}
				clear(dst[:j0])
				clear(dst[j1:])
				if j0 == j1 {
					continue
				}
				src := plane[y*k.w+j0*k.stride+s-k.padding:]
				if k.stride == 1 {
					copy(dst[j0:j1], src)
					continue
				}
				for j := range dst[j0:j1] {
					dst[j0+j] = src[j*k.stride]
				}
			}
		}
	}
}

// roll is the transpose of unroll: it sums rows into the plane, or adds the sums
// to what is there.
func (k *convolution) roll(plane, rows []float32, add bool) {
	if !add {
		clear(plane)
	}
	for r := range k.r {
		for s := range k.s {
			row := rows[(r*k.s+s)*k.outH*k.outW:][:k.outH*k.outW]
			j0, j1 := k.span(s)
			for i := range k.outH {
				y := i*k.stride + r - k.padding
				if y < 0 || y >= k.h || j0 == j1 {
					continue
				}
				dst := plane[y*k.w+j0*k.stride+s-k.padding:]
				for j, v := range row[i*k.outW+j0 : i*k.outW+j1] {
					dst[j*k.stride] += v
				}
			}
		}
	}
}
