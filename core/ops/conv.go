package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// convChunk is the approximate scratch of a convolution in floats. A batch is unrolled a few images
// at a time, so that a large batch needs no more.
const convChunk = 1 << 21

// Conv2D is the convolution, as usual without a flip of the kernel, of images x [B, C, H, W] with
// w [O, C, R, S] and bias b [O] (nil: none):
//
//	y[n, o, i, j] = b[o] + Σ w[o, c, r, s] · x[n, c, i·stride+r-padding, j·stride+s-padding],
//
// x being zero outside of the image; y is
// [B, O, (H+2·padding-R)/stride+1, (W+2·padding-S)/stride+1], divisions rounded down. Of the
// built-in objectives only the tokenizers of BEiT need it.
//
// Each image is unrolled into the matrix of the patches under the kernel, which a matrix product
// multiplies by the weight (Chellapilla, Puri and Simard 2006). Gradients of the weight are added
// image by image, in order.
func Conv2D(g *core.Graph, x, w, b *core.Node, stride, padding int) *core.Node {
	want := fmt.Sprintf("x [B, C, H, W], w [O, C, R, S] no larger than the padded image, b [O] or nil, stride %d > 0, padding %d >= 0", stride, padding)
	if !g.Check("conv2d", want, []*core.Node{x, w}, []*core.Node{b}, func() bool {
		return len(x.Shape()) == 4 && len(w.Shape()) == 4 && x.Shape()[1] == w.Shape()[1] && stride > 0 && padding >= 0 &&
			w.Shape()[2] <= x.Shape()[2]+2*padding && w.Shape()[3] <= x.Shape()[3]+2*padding && isVector(b, w.Shape()[0])
	}) {
		return g.Invalid()
	}
	k := newConvolution(x.Shape(), w.Shape(), stride, padding)
	return g.Apply(&core.Op{
		Name: "conv2d", In: []*core.Node{x, w, b}, KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0),
		FLOPs:   float64(k.batch) * product(k.o, k.pixels(), k.taps()),
		Work:    k.forwardChunk * k.unrolled(),
		Forward: k.forward,
		// unrolled images and their gradients of the weight, and the transposed weight
		WorkBack: k.backwardChunk*(k.unrolled()+k.o*k.taps()) + k.o*k.taps(),
		Backward: k.backward,
	}, tensor.Shape{k.batch, k.o, k.outH, k.outW})[0]
}

// convolution is the geometry and the arithmetic of Conv2D: batch images of c planes of h×w pixels
// under o kernels of r×s.
type convolution struct {
	c, h, w, o, r, s, stride, padding, outH, outW int
	batch                                         int
	forwardChunk, backwardChunk                   int // images unrolled at a time
}

// newConvolution returns the convolution of images x [B, C, H, W] with w [O, C, R, S].
func newConvolution(x, w tensor.Shape, stride, padding int) *convolution {
	k := &convolution{batch: x[0], c: x[1], h: x[2], w: x[3], o: w[0], r: w[2], s: w[3], stride: stride, padding: padding}
	k.outH, k.outW = (k.h+2*padding-k.r)/stride+1, (k.w+2*padding-k.s)/stride+1
	chunk := func(values int) int { return min(k.batch, max(1, convChunk/max(1, values))) }
	k.forwardChunk, k.backwardChunk = chunk(k.unrolled()), chunk(k.unrolled()+k.o*k.taps())
	return k
}

func (k *convolution) taps() int    { return k.c * k.r * k.s }       // values under a kernel
func (k *convolution) pixels() int  { return k.outH * k.outW }       // of a plane of the result
func (k *convolution) inSize() int  { return k.c * k.h * k.w }       // values of an image
func (k *convolution) outSize() int { return k.o * k.outH * k.outW } // values of its result

// unrolled returns the size of the matrix of patches of an image, 0 where the image is that matrix:
// patches are single pixels in their own order.
func (k *convolution) unrolled() int {
	if k.r == 1 && k.s == 1 && k.stride == 1 && k.padding == 0 {
		return 0
	}
	return k.taps() * k.pixels()
}

// patches returns the matrices of patches [taps, pixels] of images at..at+n-1.
func (k *convolution) patches(c *core.Call, at, n int) f32.Batch {
	taps, pixels, plane := k.taps(), k.pixels(), k.h*k.w
	images := c.In[0][at*k.inSize():]
	if k.unrolled() == 0 {
		return batchOf(taps, pixels, images, k.inSize())
	}
	c.Pool.Do(n*k.c, func(_, i int) {
		k.unroll(images[i*plane:][:plane], c.Work[i*k.r*k.s*pixels:])
	})
	return batchOf(taps, pixels, c.Work, k.unrolled())
}

// forward computes the result, a chunk of images at a time.
func (k *convolution) forward(c *core.Call) {
	taps, pixels := k.taps(), k.pixels()
	for at := 0; at < k.batch; at += k.forwardChunk {
		n := min(k.forwardChunk, k.batch-at)
		y := c.Out[0][at*k.outSize():]
		f32.GemmBatch(c.Pool, n, batchOf(k.o, taps, c.In[1], 0), k.patches(c, at, n), batchOf(k.o, pixels, y, k.outSize()), false)
		if c.In[2] == nil {
			continue
		}
		c.Pool.Do(n*k.o, func(_, i int) {
			plane, bias := y[i*pixels:][:pixels], c.In[2][i%k.o]
			for j := range plane {
				plane[j] += bias
			}
		})
	}
}

// backward computes the gradients of x, w and b, a chunk of images at a time.
func (k *convolution) backward(c *core.Call) {
	// The weight is transposed once and not in every product: the bits of a product with a
	// transposed left side may depend on its division into tiles.
	transposed := c.Work[len(c.Work)-k.o*k.taps():]
	if c.GradIn[0] != nil {
		k.transposeWeight(c, transposed)
	}
	for at := 0; at < k.batch; at += k.backwardChunk {
		n := min(k.backwardChunk, k.batch-at)
		if c.GradIn[1] != nil {
			k.weightGradient(c, at, n)
		}
		if c.GradIn[0] != nil {
			k.imageGradient(c, transposed, at, n)
		}
	}
	if c.GradIn[2] != nil {
		k.biasGradient(c)
	}
}

// transposeWeight writes the weight [o, taps] as [taps, o].
func (k *convolution) transposeWeight(c *core.Call, dst []float32) {
	taps := k.taps()
	c.EachRow(taps, func(t int) {
		for i := range k.o {
			dst[t*k.o+i] = c.In[1][i*taps+t]
		}
	})
}

// gradients returns the gradients [o, pixels] of the results of images at, at+1, ….
func (k *convolution) gradients(c *core.Call, at int) f32.Batch {
	return batchOf(k.o, k.pixels(), c.GradOut[0][at*k.outSize():], k.outSize())
}

// weightGradient adds up the gradients of the weight from images at..at+n-1.
func (k *convolution) weightGradient(c *core.Call, at, n int) {
	size := k.o * k.taps()
	each := c.Work[k.backwardChunk*k.unrolled():]
	patches := k.patches(c, at, n)
	patches.Matrix = patches.T()
	f32.GemmBatch(c.Pool, n, k.gradients(c, at), patches, batchOf(k.o, k.taps(), each, size), false)
	addImages(c.Pool, c.GradIn[1], each, n, at == 0)
}

// imageGradient computes the gradients of images at..at+n-1.
func (k *convolution) imageGradient(c *core.Call, transposed []float32, at, n int) {
	taps, pixels, plane := k.taps(), k.pixels(), k.h*k.w
	dx, wT := c.GradIn[0][at*k.inSize():], batchOf(taps, k.o, transposed, 0)
	if k.unrolled() == 0 {
		f32.GemmBatch(c.Pool, n, wT, k.gradients(c, at), batchOf(taps, pixels, dx, k.inSize()), c.Add[0])
		return
	}
	f32.GemmBatch(c.Pool, n, wT, k.gradients(c, at), batchOf(taps, pixels, c.Work, k.unrolled()), false)
	c.Pool.Do(n*k.c, func(_, i int) {
		k.roll(dx[i*plane:][:plane], c.Work[i*k.r*k.s*pixels:], c.Add[0])
	})
}

// biasGradient adds up the gradient of the bias in float64.
func (k *convolution) biasGradient(c *core.Call) {
	pixels := k.pixels()
	c.Pool.Do(k.o, func(_, i int) {
		sum := 0.0
		for n := range k.batch {
			for _, v := range c.GradOut[0][n*k.outSize()+i*pixels:][:pixels] {
				sum += float64(v)
			}
		}
		c.GradIn[2][i] = float32(sum)
	})
}

// batchOf is a sequence of dense [rows, cols] matrices that begin distance values from each other.
func batchOf(rows, cols int, data []float32, distance int) f32.Batch {
	return f32.Batch{Matrix: f32.Dense(rows, cols, data), Distance: distance}
}

// addImages adds the gradients of n images, each of len(dw) elements, to dw in their order; with
// first they start the sum.
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

// span returns the columns j0..j1-1 of the result whose pixel under column s of the kernel is inside
// the image.
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

// roll is the transpose of unroll: it sums rows into the plane, or with add adds the sums to it.
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
