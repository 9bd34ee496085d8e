package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// ConvNHWC is Conv2D without bias on images with the channels last, x [B, H, W, C], under the same
// weight w [O, C, R, S]; y is [B, (H+2·padding-R)/stride+1, (W+2·padding-S)/stride+1, O], divisions
// rounded down. A pixel is a row of the matrix product, so a kernel of one pixel needs no copy of
// the images.
func ConvNHWC(g *core.Graph, x, w *core.Node, stride, padding int) *core.Node {
	want := fmt.Sprintf("x [B, H, W, C], w [O, C, R, S] no larger than the padded image, stride %d > 0, padding %d >= 0", stride, padding)
	if !g.Check("conv_nhwc", want, []*core.Node{x, w}, nil, func() bool {
		return len(x.Shape()) == 4 && len(w.Shape()) == 4 && x.Shape()[3] == w.Shape()[1] && stride > 0 && padding >= 0 &&
			w.Shape()[2] <= x.Shape()[1]+2*padding && w.Shape()[3] <= x.Shape()[2]+2*padding
	}) {
		return g.Invalid()
	}
	k := newRowConvolution(x.Shape(), w.Shape(), stride, padding)
	return g.Apply(&core.Op{
		Name: "conv_nhwc", In: []*core.Node{x, w}, KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0),
		FLOPs:   float64(k.batch) * product(k.o, k.pixels(), k.taps()),
		Work:    k.weightSize() + k.chunk*k.unrolled(),
		Forward: k.forward,
		// the ordered weight and its gradient, unrolled images
		WorkBack: 2*k.weightSize() + k.chunk*k.unrolled(),
		Backward: k.backward,
	}, tensor.Shape{k.batch, k.outH, k.outW, k.o})[0]
}

// rowConvolution is the geometry and the arithmetic of ConvNHWC: batch images of h×w pixels of c
// channels under o kernels of r×s.
type rowConvolution struct {
	window
	batch, c, o int
	chunk       int // images unrolled at a time
}

// newRowConvolution returns the convolution of images x [B, H, W, C] with w [O, C, R, S].
func newRowConvolution(x, w tensor.Shape, stride, padding int) *rowConvolution {
	k := &rowConvolution{window: newWindow(x[1], x[2], w[2], w[3], stride, padding), batch: x[0], c: x[3], o: w[0]}
	k.chunk = min(k.batch, max(1, convChunk/max(1, k.unrolled())))
	return k
}

func (k *rowConvolution) taps() int       { return k.r * k.s * k.c } // values under a kernel
func (k *rowConvolution) pixels() int     { return k.outH * k.outW } // of a result
func (k *rowConvolution) inSize() int     { return k.h * k.w * k.c } // values of an image
func (k *rowConvolution) weightSize() int { return k.o * k.taps() }

// unrolled returns the size of the matrix of patches of an image, 0 where the image is that matrix.
func (k *rowConvolution) unrolled() int {
	if k.r == 1 && k.s == 1 && k.stride == 1 && k.padding == 0 {
		return 0
	}
	return k.taps() * k.pixels()
}

// orderWeight writes the weight [o, c, r, s] to ordered as [o, r, s, c], the order of values in a
// patch. A kernel of one pixel is in that order already.
func (k *rowConvolution) orderWeight(c *core.Call, ordered []float32) f32.Matrix {
	places := k.r * k.s
	if places == 1 {
		return f32.Dense(k.o, k.taps(), c.In[1])
	}
	c.EachRow(k.o, func(i int) {
		src, dst := c.In[1][i*k.taps():][:k.taps()], ordered[i*k.taps():][:k.taps()]
		for j, v := range src {
			dst[j%places*k.c+j/places] = v
		}
	})
	return f32.Dense(k.o, k.taps(), ordered)
}

// patches returns the matrix of patches [n·pixels, taps] of images at..at+n-1, in rows of the
// result's pixels.
func (k *rowConvolution) patches(c *core.Call, work []float32, at, n int) f32.Matrix {
	images := c.In[0][at*k.inSize():]
	rows := n * k.pixels()
	if k.unrolled() == 0 {
		return f32.Dense(rows, k.taps(), images)
	}
	c.Pool.Do(n*k.outH, func(_, line int) {
		image := images[line/k.outH*k.inSize():][:k.inSize()]
		k.unroll(image, line%k.outH, work[line*k.outW*k.taps():][:k.outW*k.taps()])
	})
	return f32.Dense(rows, k.taps(), work)
}

// unroll writes the patches of line i of the result.
func (k *rowConvolution) unroll(image []float32, i int, rows []float32) {
	for j := range k.outW {
		for r := range k.r {
			for s := range k.s {
				dst := rows[((j*k.r+r)*k.s+s)*k.c:][:k.c]
				if y, x, inside := k.source(i, j, r, s); inside {
					copy(dst, image[(y*k.w+x)*k.c:])
				} else {
					clear(dst)
				}
			}
		}
	}
}

// forward computes the result, a chunk of images at a time.
func (k *rowConvolution) forward(c *core.Call) {
	weight := k.orderWeight(c, c.Work)
	for at := 0; at < k.batch; at += k.chunk {
		n := min(k.chunk, k.batch-at)
		y := c.Out[0][at*k.pixels()*k.o:]
		f32.Gemm(c.Pool, k.patches(c, c.Work[k.weightSize():], at, n), weight.T(), f32.Dense(n*k.pixels(), k.o, y), false, nil)
	}
}

// backward computes the gradients of x and w, a chunk of images at a time.
func (k *rowConvolution) backward(c *core.Call) {
	ordered, dw, unrolled := c.Work[:k.weightSize()], c.Work[k.weightSize():][:k.weightSize()], c.Work[2*k.weightSize():]
	if k.r*k.s == 1 && c.GradIn[1] != nil {
		dw = c.GradIn[1]
	}
	weight := k.orderWeight(c, ordered)
	for at := 0; at < k.batch; at += k.chunk {
		n := min(k.chunk, k.batch-at)
		dy := f32.Dense(n*k.pixels(), k.o, c.GradOut[0][at*k.pixels()*k.o:])
		if c.GradIn[1] != nil {
			f32.Gemm(c.Pool, dy.T(), k.patches(c, unrolled, at, n), f32.Dense(k.o, k.taps(), dw), at > 0, nil)
		}
		if c.GradIn[0] != nil {
			k.imageGradient(c, dy, weight, unrolled, at, n)
		}
	}
	if c.GradIn[1] == nil || k.r*k.s == 1 {
		return
	}
	c.EachRow(k.o, func(i int) {
		src, dst := dw[i*k.taps():][:k.taps()], c.GradIn[1][i*k.taps():][:k.taps()]
		for j := range dst {
			dst[j] = src[j%(k.r*k.s)*k.c+j/(k.r*k.s)]
		}
	})
}

// imageGradient computes the gradients of images at..at+n-1 from those of their results.
func (k *rowConvolution) imageGradient(c *core.Call, dy, weight f32.Matrix, unrolled []float32, at, n int) {
	dx := c.GradIn[0][at*k.inSize():]
	if k.unrolled() == 0 {
		f32.Gemm(c.Pool, dy, weight, f32.Dense(dy.Rows, k.taps(), dx), c.Add[0], nil)
		return
	}
	f32.Gemm(c.Pool, dy, weight, f32.Dense(dy.Rows, k.taps(), unrolled), false, nil)
	c.Pool.Do(n, func(_, i int) {
		k.roll(dx[i*k.inSize():][:k.inSize()], unrolled[i*k.unrolled():], c.Add[0])
	})
}

// roll is the transpose of unroll for a whole image: it sums patches into it, or with add adds the
// sums to it.
func (k *rowConvolution) roll(image, rows []float32, add bool) {
	if !add {
		clear(image)
	}
	for p := range k.pixels() {
		for place := range k.r * k.s {
			y, x, inside := k.source(p/k.outW, p%k.outW, place/k.s, place%k.s)
			if !inside {
				continue
			}
			dst := image[(y*k.w+x)*k.c:][:k.c]
			for i, v := range rows[(p*k.r*k.s+place)*k.c:][:k.c] {
				dst[i] += v
			}
		}
	}
}

// window is the geometry of a window of r×s pixels that moves over images of h×w pixels with a
// border of padding.
type window struct {
	h, w, r, s, stride, padding, outH, outW int
}

func newWindow(h, w, r, s, stride, padding int) window {
	return window{h: h, w: w, r: r, s: s, stride: stride, padding: padding, outH: (h+2*padding-r)/stride + 1, outW: (w+2*padding-s)/stride + 1}
}

// source returns the pixel under place (r, s) of the window of result (i, j), and whether it is
// inside the image.
func (k *window) source(i, j, r, s int) (y, x int, inside bool) {
	y, x = i*k.stride+r-k.padding, j*k.stride+s-k.padding
	return y, x, y >= 0 && y < k.h && x >= 0 && x < k.w
}
