package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
)

// Scale is k·x for x [...] and a constant k; the result is [...].
func Scale(g *core.Graph, x *core.Node, k float64) *core.Node {
	if !g.Check("scale", "a float node", []*core.Node{x}, nil, func() bool { return !x.Integer() }) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "scale", In: []*core.Node{x}, AddsGrad: core.OperandSet(0),
		Forward:  func(c *core.Call) { f32.Scale(c.Pool, c.Out[0], float32(k), c.In[0]) },
		Backward: func(c *core.Call) { scaleBackward(c, float32(k)) },
	}, x.Shape())[0]
}

// ScaleBy is x [...] times the one element of factor, such as a number that changes with the step;
// the result is [...]. factor takes no gradient.
func ScaleBy(g *core.Graph, x, factor *core.Node) *core.Node {
	if !g.Check("scale_by", "x [...], factor of one element", []*core.Node{x, factor}, nil, func() bool {
		return !x.Integer() && !factor.Integer() && factor.Shape().Size() == 1
	}) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "scale_by", In: []*core.Node{x, factor}, NoGrad: core.OperandSet(1), KeepIn: core.OperandSet(1), AddsGrad: core.OperandSet(0),
		Forward:  func(c *core.Call) { f32.Scale(c.Pool, c.Out[0], c.In[1][0], c.In[0]) },
		Backward: func(c *core.Call) { scaleBackward(c, c.In[1][0]) },
	}, x.Shape())[0]
}

// scaleBackward computes the gradient of x in k·x.
func scaleBackward(c *core.Call, k float32) {
	if c.Add[0] {
		f32.Axpy(c.Pool, c.GradIn[0], k, c.GradOut[0])
	} else {
		f32.Scale(c.Pool, c.GradIn[0], k, c.GradOut[0])
	}
}

// ScaleRows multiplies row r of x [R, ...] by factor[r], factor [R]; the result is [R, ...]. factor
// takes no gradient. Of the built-in objectives only BEiT needs it.
func ScaleRows(g *core.Graph, x, factor *core.Node) *core.Node {
	if !g.Check("scale_rows", "x [R, ...], factor [R]", []*core.Node{x, factor}, nil, func() bool {
		return len(x.Shape()) > 0 && !x.Integer() && !factor.Integer() && factor.Shape().Equal(x.Shape()[:1])
	}) {
		return g.Invalid()
	}
	rows, n := x.Shape()[0], x.Shape()[1:].Size()
	return g.Apply(&core.Op{
		Name: "scale_rows", In: []*core.Node{x, factor}, NoGrad: core.OperandSet(1), KeepIn: core.OperandSet(1),
		Forward:  func(c *core.Call) { f32.ScaleRows(c.Pool, rows, n, c.In[0], c.In[1], 1, c.Out[0]) },
		Backward: func(c *core.Call) { f32.ScaleRows(c.Pool, rows, n, c.GradOut[0], c.In[1], 1, c.GradIn[0]) },
	}, x.Shape())[0]
}
