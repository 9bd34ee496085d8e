package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// Add is a + b for nodes of equal shape.
func Add(g *core.Graph, a, b *core.Node) *core.Node {
	if !fitsPair(g, "add", a, b) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "add", In: []*core.Node{a, b}, PassGrad: core.OperandSet(0, 1),
		Forward:  func(c *core.Call) { f32.Add(c.Pool, c.Out[0], c.In[0], c.In[1]) },
		Backward: func(c *core.Call) {}, // both gradients are that of the result
	}, a.Shape())[0]
}

// Sub is a - b for nodes of equal shape.
func Sub(g *core.Graph, a, b *core.Node) *core.Node {
	if !fitsPair(g, "sub", a, b) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "sub", In: []*core.Node{a, b}, PassGrad: core.OperandSet(0), AddsGrad: core.OperandSet(1),
		Forward: func(c *core.Call) { f32.Sub(c.Pool, c.Out[0], c.In[0], c.In[1]) },
		Backward: func(c *core.Call) {
			if c.Add[1] {
				f32.Sub(c.Pool, c.GradIn[1], c.GradIn[1], c.GradOut[0])
			} else {
				f32.Scale(c.Pool, c.GradIn[1], -1, c.GradOut[0])
			}
		},
	}, a.Shape())[0]
}

// Mul is the elementwise product of nodes of equal shape.
func Mul(g *core.Graph, a, b *core.Node) *core.Node {
	if !fitsPair(g, "mul", a, b) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "mul", In: []*core.Node{a, b}, KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0, 1),
		Forward: func(c *core.Call) { f32.Mul(c.Pool, c.Out[0], c.In[0], c.In[1]) },
		Backward: func(c *core.Call) {
			for i, d := range c.GradIn {
				switch {
				case d == nil:
				case c.Add[i]:
					f32.MulAdd(c.Pool, d, c.GradOut[0], c.In[1-i])
				default:
					f32.Mul(c.Pool, d, c.GradOut[0], c.In[1-i])
				}
			}
		},
	}, a.Shape())[0]
}

// Scale is k·x for a constant k.
func Scale(g *core.Graph, x *core.Node, k float64) *core.Node {
	if !g.Check("scale", "a node", []*core.Node{x}, nil, func() bool { return !x.Integer() }) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "scale", In: []*core.Node{x}, AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) { f32.Scale(c.Pool, c.Out[0], float32(k), c.In[0]) },
		Backward: func(c *core.Call) {
			if c.Add[0] {
				f32.Axpy(c.Pool, c.GradIn[0], float32(k), c.GradOut[0])
			} else {
				f32.Scale(c.Pool, c.GradIn[0], float32(k), c.GradOut[0])
			}
		},
	}, x.Shape())[0]
}

// Exp is e to the power of every element.
func Exp(g *core.Graph, x *core.Node) *core.Node {
	if !g.Check("exp", "a node", []*core.Node{x}, nil, func() bool { return !x.Integer() }) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "exp", In: []*core.Node{x}, KeepOut: core.OperandSet(0),
		Forward: func(c *core.Call) {
			c.EachRow(len(c.In[0]), func(i int) { c.Out[0][i] = float32(math.Exp(float64(c.In[0][i]))) })
		},
		Backward: func(c *core.Call) { f32.Mul(c.Pool, c.GradIn[0], c.GradOut[0], c.Out[0]) },
	}, x.Shape())[0]
}

// Sum adds up all elements, in float64, to a scalar.
func Sum(g *core.Graph, x *core.Node) *core.Node { return total(g, "sum", x, 1) }

// Mean averages all elements, in float64, to a scalar.
func Mean(g *core.Graph, x *core.Node) *core.Node {
	if x == nil || x.Invalid() {
		return total(g, "mean", x, 1)
	}
	return total(g, "mean", x, 1/float64(x.Shape().Size()))
}

func total(g *core.Graph, name string, x *core.Node, k float64) *core.Node {
	if !g.Check(name, "a node", []*core.Node{x}, nil, func() bool { return !x.Integer() }) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: name, In: []*core.Node{x},
		Forward:  func(c *core.Call) { c.Out[0][0] = float32(k * f32.Sum(c.Pool, c.In[0])) },
		Backward: func(c *core.Call) { f32.Fill(c.Pool, c.GradIn[0], float32(k)*c.GradOut[0][0]) },
	}, tensor.Shape{})[0]
}

// Dot is the sum of the products of corresponding elements, added in float64.
func Dot(g *core.Graph, a, b *core.Node) *core.Node {
	if !fitsPair(g, "dot", a, b) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "dot", In: []*core.Node{a, b}, KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0, 1),
		Forward: func(c *core.Call) { c.Out[0][0] = float32(f32.Dot(c.Pool, c.In[0], c.In[1])) },
		Backward: func(c *core.Call) {
			for i, d := range c.GradIn {
				switch {
				case d == nil:
				case c.Add[i]:
					f32.Axpy(c.Pool, d, c.GradOut[0][0], c.In[1-i])
				default:
					f32.Scale(c.Pool, d, c.GradOut[0][0], c.In[1-i])
				}
			}
		},
	}, tensor.Shape{})[0]
}

func fitsPair(g *core.Graph, name string, a, b *core.Node) bool {
	return g.Check(name, "two nodes of equal shape", []*core.Node{a, b}, nil, func() bool {
		return a.Shape().Equal(b.Shape()) && !a.Integer() && !b.Integer()
	})
}
