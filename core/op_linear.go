package core

import "github.com/vittool/vittool/core/internal/f32"

// Linear is y = x·Wᵀ + b for x [..., I], w [O, I] and b [O] (nil: none); y is
// [..., O].
func (g *Graph) Linear(x, w, b *Node) *Node {
	if !g.fitsLinear("linear", x, w, b) {
		return g.invalid()
	}
	rows, in, out := x.shape.rows(), w.shape[1], w.shape[0]
	return g.apply(&op{
		name: "linear", in: []*Node{x, w, b}, linear: true,
		keepIn: set(0, 1), addable: set(0, 1), flops: product(rows, in, out),
		forward: func(c *call) {
			linearForward(c, rows, in, out, c.out[0], &f32.Epilogue{Bias: c.in[2]})
		},
		backward: func(c *call) { linearBackward(c, rows, in, out, c.gout[0]) },
	}, x.shape.withLast(out))[0]
}

// LinearGelu is y = gelu(x·Wᵀ + b) with the exact GELU, shapes as in Linear.
func (g *Graph) LinearGelu(x, w, b *Node) *Node {
	if !g.fitsLinear("linear_gelu", x, w, b) {
		return g.invalid()
	}
	rows, in, out := x.shape.rows(), w.shape[1], w.shape[0]
	o := &op{
		name: "linear_gelu", in: []*Node{x, w, b}, linear: true, gelu: true,
		keepIn: set(0, 1), addable: set(0, 1), flops: product(rows, in, out),
		save: []int{rows * out}, // the slope of the GELU
		forward: func(c *call) {
			linearForward(c, rows, in, out, c.out[0], &f32.Epilogue{Bias: c.in[2], Slope: c.save[0]})
		},
	}
	o.backward = func(c *call) {
		dy := c.gout[0]
		if !o.geluDone {
			// The slope is not needed any more: its memory takes the gradient.
			f32.Mul(c.pool, c.save[0], c.save[0], dy)
			dy = c.save[0]
		}
		linearBackward(c, rows, in, out, dy)
	}
	return g.apply(o, x.shape.withLast(out))[0]
}

// LinearResidual is y = residual + rowScale·gamma·(x·Wᵀ + b): the end of a
// transformer branch in one pass. x is [B, ..., I], residual and y [B, ..., O];
// gamma [O] (layer scale, Touvron et al., arXiv:2103.17239) and rowScale [B]
// (stochastic depth, a factor per sample, never differentiated) may be nil.
func (g *Graph) LinearResidual(x, w, b, residual, gamma, rowScale *Node) *Node {
	const want = "x [B, ..., I], w [O, I], residual [B, ..., O], b [O] or nil, gamma [O] or nil, rowScale [B] or nil"
	if !g.fits("linear_residual", want, []*Node{x, w, residual}, []*Node{b, gamma, rowScale}, func() bool {
		return linearShapes(x, w, b) && residual.shape.Equal(x.shape.withLast(w.shape[0])) &&
			(gamma == nil || gamma.shape.Equal(Shape{w.shape[0]})) &&
			(rowScale == nil || len(x.shape) > 1 && rowScale.shape.Equal(Shape{x.shape[0]}))
	}) {
		return g.invalid()
	}
	rows, in, out := x.shape.rows(), w.shape[1], w.shape[0]
	rowsPer := rows / x.shape[0]
	o := &op{
		name: "linear_residual", in: []*Node{x, w, b, residual, gamma, rowScale}, linear: true,
		noGrad: set(5), pass: set(3), keepIn: set(0, 1, 4, 5), addable: set(0, 1), flops: product(rows, in, out),
	}
	// The gradient of gamma needs the branch before scaling.
	learned := gamma != nil && o.wantsInput(4)
	if learned {
		o.save = []int{rows * out}
	}
	if gamma != nil || rowScale != nil {
		o.workBack = rows * out
	}
	o.forward = func(c *call) {
		y := c.out[0]
		if !learned {
			linearForward(c, rows, in, out, y, &f32.Epilogue{Bias: c.in[2], Gamma: c.in[4], RowScale: c.in[5], RowsPer: rowsPer, Residual: c.in[3]})
			return
		}
		branch := c.save[0]
		linearForward(c, rows, in, out, branch, &f32.Epilogue{Bias: c.in[2]})
		f32.MulRow(c.pool, rows, out, branch, c.in[4], y)
		if c.in[5] != nil {
			f32.ScaleRows(c.pool, rows, out, y, c.in[5], rowsPer, y)
		}
		f32.Add(c.pool, y, y, c.in[3])
	}
	o.backward = func(c *call) {
		dy := c.gout[0]
		if c.in[5] != nil {
			f32.ScaleRows(c.pool, rows, out, dy, c.in[5], rowsPer, c.work)
			dy = c.work
		}
		if c.gin[4] != nil {
			f32.ColumnDot(c.pool, rows, out, dy, c.save[0], c.gin[4])
		}
		if c.in[4] != nil {
			f32.MulRow(c.pool, rows, out, dy, c.in[4], c.work)
			dy = c.work
		}
		linearBackward(c, rows, in, out, dy)
	}
	return g.apply(o, residual.shape)[0]
}

func (g *Graph) fitsLinear(name string, x, w, b *Node) bool {
	return g.fits(name, "x [..., I], w [O, I], b [O] or nil", []*Node{x, w}, []*Node{b}, func() bool { return linearShapes(x, w, b) })
}

func linearShapes(x, w, b *Node) bool {
	return len(x.shape) > 0 && len(w.shape) == 2 && x.shape.last() == w.shape[1] &&
		(b == nil || b.shape.Equal(Shape{w.shape[0]}))
}

// product returns 2 × the multiply-adds of a matrix product.
func product(m, n, k int) float64 { return 2 * float64(m) * float64(n) * float64(k) }

// linearForward computes x·Wᵀ with an epilogue. in[0] is x, in[1] is W.
func linearForward(c *call, rows, in, out int, y []float32, ep *f32.Epilogue) {
	if c.pack == nil {
		f32.Gemm(c.pool, false, true, rows, out, in, c.in[0], in, c.in[1], in, y, out, false, ep)
		return
	}
	if c.pack.run != c.run {
		f32.PackB(c.pool, true, out, in, c.in[1], in, &c.pack.packed)
		c.pack.run = c.run
	}
	f32.GemmPacked(c.pool, false, rows, out, in, c.in[0], in, &c.pack.packed, y, out, false, ep)
}

// linearBackward computes dx = dy·W, dW = dyᵀ·x, db = the column sums of dy, as
// far as they are wanted.
func linearBackward(c *call, rows, in, out int, dy []float32) {
	if dx := c.gin[0]; dx != nil {
		var ep *f32.Epilogue
		if c.slope != nil {
			ep = &f32.Epilogue{Times: c.slope}
		}
		if c.pack == nil {
			f32.Gemm(c.pool, false, false, rows, in, out, dy, out, c.in[1], in, dx, in, c.add[0], ep)
		} else {
			if c.pack.run != c.run {
				f32.PackB(c.pool, false, in, out, c.in[1], in, &c.pack.packed)
				c.pack.run = c.run
			}
			f32.GemmPacked(c.pool, false, rows, in, out, dy, out, &c.pack.packed, dx, in, c.add[0], ep)
		}
	}
	if dw := c.gin[1]; dw != nil {
		f32.Gemm(c.pool, true, false, out, in, rows, dy, out, c.in[0], in, dw, in, c.add[1], nil)
	}
	if db := c.gin[2]; db != nil {
		f32.ColumnSum(c.pool, rows, out, dy, db)
	}
}
