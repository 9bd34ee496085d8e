package core

import "github.com/vittool/vittool/core/internal/f32"

// Gelu is x·Φ(x) with the exact error function (arXiv:1606.08415).
func (g *Graph) Gelu(x *Node) *Node {
	return g.activation("gelu", x, f32.GeluForward, f32.GeluBackward)
}

// Relu is max(x, 0).
func (g *Graph) Relu(x *Node) *Node {
	return g.activation("relu", x, f32.ReluForward, f32.ReluBackward)
}

// QuickGelu is x·sigmoid(1.702·x), CLIP's GELU.
func (g *Graph) QuickGelu(x *Node) *Node {
	return g.activation("quick_gelu", x, f32.QuickGeluForward, f32.QuickGeluBackward)
}

func (g *Graph) activation(name string, x *Node, forward func(*f32.Pool, []float32, []float32), backward func(*f32.Pool, []float32, []float32, []float32)) *Node {
	if !g.fits(name, "a node", []*Node{x}, nil, func() bool { return !x.integer }) {
		return g.invalid()
	}
	return g.apply(&op{
		name: name, in: []*Node{x}, keepIn: set(0),
		forward:  func(c *call) { forward(c.pool, c.in[0], c.out[0]) },
		backward: func(c *call) { backward(c.pool, c.in[0], c.gout[0], c.gin[0]) },
	}, x.shape)[0]
}
