package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
)

// ScaleBy is x times the one element of factor, such as a number that changes
// with the step. factor takes no gradient.
func ScaleBy(g *core.Graph, x, factor *core.Node) *core.Node {
	if !g.Check("scale_by", "x [...], factor of one element", []*core.Node{x, factor}, nil, func() bool {
		return !x.Integer() && !factor.Integer() && factor.Shape().Size() == 1
	}) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "scale_by", In: []*core.Node{x, factor}, NoGrad: core.OperandSet(1), KeepIn: core.OperandSet(1), AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) { f32.Scale(c.Pool, c.Out[0], c.In[1][0], c.In[0]) },
		Backward: func(c *core.Call) {
			if c.Add[0] {
				f32.Axpy(c.Pool, c.GradIn[0], c.In[1][0], c.GradOut[0])
				return
			}
			f32.Scale(c.Pool, c.GradIn[0], c.In[1][0], c.GradOut[0])
		},
	}, x.Shape())[0]
}

// Reciprocal is 1/x, element by element, for few elements such as a sum of
// weights. It takes no gradient.
func Reciprocal(g *core.Graph, x *core.Node) *core.Node {
	if !g.Check("reciprocal", "x [...]", []*core.Node{x}, nil, func() bool { return !x.Integer() }) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "reciprocal", In: []*core.Node{x}, NoGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			for i, v := range c.In[0] {
				c.Out[0][i] = 1 / v
			}
		},
	}, x.Shape())[0]
}
