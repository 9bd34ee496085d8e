package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
)

// Gelu is x·Φ(x) with the exact error function (arXiv:1606.08415).
func Gelu(g *core.Graph, x *core.Node) *core.Node {
	return activation(g, "gelu", x, f32.GeluForward, f32.GeluBackward)
}

// Relu is max(x, 0).
func Relu(g *core.Graph, x *core.Node) *core.Node {
	return activation(g, "relu", x, f32.ReluForward, f32.ReluBackward)
}

// QuickGelu is x·sigmoid(1.702·x), CLIP's GELU.
func QuickGelu(g *core.Graph, x *core.Node) *core.Node {
	return activation(g, "quick_gelu", x, f32.QuickGeluForward, f32.QuickGeluBackward)
}

func activation(g *core.Graph, name string, x *core.Node, forward func(*f32.Pool, []float32, []float32), backward func(*f32.Pool, []float32, []float32, []float32)) *core.Node {
	if !g.Check(name, "a node", []*core.Node{x}, nil, func() bool { return !x.Integer() }) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: name, In: []*core.Node{x}, KeepIn: core.OperandSet(0),
		Forward:  func(c *core.Call) { forward(c.Pool, c.In[0], c.Out[0]) },
		Backward: func(c *core.Call) { backward(c.Pool, c.In[0], c.GradOut[0], c.GradIn[0]) },
	}, x.Shape())[0]
}
