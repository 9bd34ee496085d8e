package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// Linear is y = x·Wᵀ + b for x [..., I], w [O, I] and b [O] (nil: none); y is
// [..., O].
func Linear(g *core.Graph, x, w, b *core.Node) *core.Node {
	if !fitsLinear(g, "linear", x, w, b) {
		return g.Invalid()
	}
	rows, in, out := x.Shape().Rows(), w.Shape()[1], w.Shape()[0]
	return g.Apply(&core.Op{
		Name: "linear", In: []*core.Node{x, w, b}, Weighted: true,
		KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0, 1), FLOPs: product(rows, in, out),
		Forward: func(c *core.Call) {
			linearForward(c, rows, in, out, c.Out[0], &f32.Epilogue{Bias: c.In[2]})
		},
		Backward: func(c *core.Call) { linearBackward(c, rows, in, out, c.GradOut[0]) },
	}, x.Shape().WithLast(out))[0]
}

// LinearGelu is y = gelu(x·Wᵀ + b) with the exact GELU, shapes as in Linear.
func LinearGelu(g *core.Graph, x, w, b *core.Node) *core.Node {
	if !fitsLinear(g, "linear_gelu", x, w, b) {
		return g.Invalid()
	}
	rows, in, out := x.Shape().Rows(), w.Shape()[1], w.Shape()[0]
	o := &core.Op{
		Name: "linear_gelu", In: []*core.Node{x, w, b}, Weighted: true, SlopeSaved: true,
		KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0, 1), FLOPs: product(rows, in, out),
		Save: []int{rows * out}, // the slope of the GELU
		Forward: func(c *core.Call) {
			linearForward(c, rows, in, out, c.Out[0], &f32.Epilogue{Bias: c.In[2], Slope: c.Save[0]})
		},
	}
	o.Backward = func(c *core.Call) {
		dy := c.GradOut[0]
		if !o.SlopeApplied {
			// The slope is not needed any more: its memory takes the gradient.
			f32.Mul(c.Pool, c.Save[0], c.Save[0], dy)
			dy = c.Save[0]
		}
		linearBackward(c, rows, in, out, dy)
	}
	return g.Apply(o, x.Shape().WithLast(out))[0]
}

// LinearResidual is y = residual + rowScale·gamma·(x·Wᵀ + b): the end of a
// transformer branch in one pass. x is [B, ..., I], residual and y [B, ..., O];
// gamma [O] (layer scale, Touvron et al., arXiv:2103.17239) and rowScale [B]
// (stochastic depth, a factor per sample, never differentiated) may be nil.
func LinearResidual(g *core.Graph, x, w, b, residual, gamma, rowScale *core.Node) *core.Node {
	const want = "x [B, ..., I], w [O, I], residual [B, ..., O], b [O] or nil, gamma [O] or nil, rowScale [B] or nil"
	if !g.Check("linear_residual", want, []*core.Node{x, w, residual}, []*core.Node{b, gamma, rowScale}, func() bool {
		return linearShapes(x, w, b) && residual.Shape().Equal(x.Shape().WithLast(w.Shape()[0])) &&
			(gamma == nil || gamma.Shape().Equal(tensor.Shape{w.Shape()[0]})) &&
			(rowScale == nil || len(x.Shape()) > 1 && rowScale.Shape().Equal(tensor.Shape{x.Shape()[0]}))
	}) {
		return g.Invalid()
	}
	rows, in, out := x.Shape().Rows(), w.Shape()[1], w.Shape()[0]
	rowsPer := rows / x.Shape()[0]
	o := &core.Op{
		Name: "linear_residual", In: []*core.Node{x, w, b, residual, gamma, rowScale}, Weighted: true,
		NoGrad: core.OperandSet(5), PassGrad: core.OperandSet(3), KeepIn: core.OperandSet(0, 1, 4, 5), AddsGrad: core.OperandSet(0, 1), FLOPs: product(rows, in, out),
	}
	// The gradient of gamma needs the branch before scaling.
	learned := gamma != nil && o.WantsGrad(4)
	if learned {
		o.Save = []int{rows * out}
	}
	if gamma != nil || rowScale != nil {
		o.WorkBack = rows * out
	}
	o.Forward = func(c *core.Call) {
		y := c.Out[0]
		if !learned {
			linearForward(c, rows, in, out, y, &f32.Epilogue{Bias: c.In[2], Gamma: c.In[4], RowScale: c.In[5], RowsPer: rowsPer, Residual: c.In[3]})
			return
		}
		branch := c.Save[0]
		linearForward(c, rows, in, out, branch, &f32.Epilogue{Bias: c.In[2]})
		f32.MulRow(c.Pool, rows, out, branch, c.In[4], y)
		if c.In[5] != nil {
			f32.ScaleRows(c.Pool, rows, out, y, c.In[5], rowsPer, y)
		}
		f32.Add(c.Pool, y, y, c.In[3])
	}
	o.Backward = func(c *core.Call) {
		dy := c.GradOut[0]
		if c.In[5] != nil {
			f32.ScaleRows(c.Pool, rows, out, dy, c.In[5], rowsPer, c.Work)
			dy = c.Work
		}
		if c.GradIn[4] != nil {
			f32.ColumnDot(c.Pool, rows, out, dy, c.Save[0], c.GradIn[4])
		}
		if c.In[4] != nil {
			f32.MulRow(c.Pool, rows, out, dy, c.In[4], c.Work)
			dy = c.Work
		}
		linearBackward(c, rows, in, out, dy)
	}
	return g.Apply(o, residual.Shape())[0]
}

func fitsLinear(g *core.Graph, name string, x, w, b *core.Node) bool {
	return g.Check(name, "x [..., I], w [O, I], b [O] or nil", []*core.Node{x, w}, []*core.Node{b}, func() bool { return linearShapes(x, w, b) })
}

func linearShapes(x, w, b *core.Node) bool {
	return len(x.Shape()) > 0 && len(w.Shape()) == 2 && x.Shape().Last() == w.Shape()[1] &&
		(b == nil || b.Shape().Equal(tensor.Shape{w.Shape()[0]}))
}

// product returns 2 × the multiply-adds of a matrix product.
func product(m, n, k int) float64 { return 2 * float64(m) * float64(n) * float64(k) }

// linearForward computes x·Wᵀ with an epilogue. in[0] is x, in[1] is W.
func linearForward(c *core.Call, rows, in, out int, y []float32, ep *f32.Epilogue) {
	x, wT, result := f32.Dense(rows, in, c.In[0]), f32.Dense(out, in, c.In[1]).T(), f32.Dense(rows, out, y)
	if c.Pack == nil {
		f32.Gemm(c.Pool, x, wT, result, false, ep)
		return
	}
	if c.Pack.Run != c.Run {
		f32.PackB(c.Pool, wT, &c.Pack.Packed)
		c.Pack.Run = c.Run
	}
	f32.GemmPacked(c.Pool, x, &c.Pack.Packed, result, false, ep)
}

// linearBackward computes dx = dy·W, dW = dyᵀ·x, db = the column sums of dy, as
// far as they are wanted.
func linearBackward(c *core.Call, rows, in, out int, dy []float32) {
	grad := f32.Dense(rows, out, dy)
	if c.GradIn[0] != nil {
		w, dx := f32.Dense(out, in, c.In[1]), f32.Dense(rows, in, c.GradIn[0])
		var ep *f32.Epilogue
		if c.Slope != nil {
			ep = &f32.Epilogue{Times: c.Slope}
		}
		if c.Pack == nil {
			f32.Gemm(c.Pool, grad, w, dx, c.Add[0], ep)
		} else {
			if c.Pack.Run != c.Run {
				f32.PackB(c.Pool, w, &c.Pack.Packed)
				c.Pack.Run = c.Run
			}
			f32.GemmPacked(c.Pool, grad, &c.Pack.Packed, dx, c.Add[0], ep)
		}
	}
	if dw := c.GradIn[1]; dw != nil {
		f32.Gemm(c.Pool, grad.T(), f32.Dense(rows, in, c.In[0]), f32.Dense(out, in, dw), c.Add[1], nil)
	}
	if db := c.GradIn[2]; db != nil {
		f32.ColumnSum(c.Pool, rows, out, dy, db)
	}
}
