package core

import (
	"math"

	"github.com/vittool/vittool/core/internal/f32"
)

// Add is a + b for nodes of equal shape.
func (g *Graph) Add(a, b *Node) *Node {
	if !g.fitsPair("add", a, b) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "add", in: []*Node{a, b}, pass: set(0, 1),
		forward:  func(c *call) { f32.Add(c.pool, c.out[0], c.in[0], c.in[1]) },
		backward: func(c *call) {}, // both gradients are that of the result
	}, a.shape)[0]
}

// Sub is a - b for nodes of equal shape.
func (g *Graph) Sub(a, b *Node) *Node {
	if !g.fitsPair("sub", a, b) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "sub", in: []*Node{a, b}, pass: set(0), addable: set(1),
		forward: func(c *call) { f32.Sub(c.pool, c.out[0], c.in[0], c.in[1]) },
		backward: func(c *call) {
			if c.add[1] {
				f32.Sub(c.pool, c.gin[1], c.gin[1], c.gout[0])
			} else {
				f32.Scale(c.pool, c.gin[1], -1, c.gout[0])
			}
		},
	}, a.shape)[0]
}

// Mul is the elementwise product of nodes of equal shape.
func (g *Graph) Mul(a, b *Node) *Node {
	if !g.fitsPair("mul", a, b) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "mul", in: []*Node{a, b}, keepIn: set(0, 1), addable: set(0, 1),
		forward: func(c *call) { f32.Mul(c.pool, c.out[0], c.in[0], c.in[1]) },
		backward: func(c *call) {
			for i, d := range c.gin {
				switch {
				case d == nil:
				case c.add[i]:
					f32.MulAdd(c.pool, d, c.gout[0], c.in[1-i])
				default:
					f32.Mul(c.pool, d, c.gout[0], c.in[1-i])
				}
			}
		},
	}, a.shape)[0]
}

// Scale is k·x for a constant k.
func (g *Graph) Scale(x *Node, k float64) *Node {
	if !g.fits("scale", "a node", []*Node{x}, nil, func() bool { return !x.integer }) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "scale", in: []*Node{x}, addable: set(0),
		forward: func(c *call) { f32.Scale(c.pool, c.out[0], float32(k), c.in[0]) },
		backward: func(c *call) {
			if c.add[0] {
				f32.Axpy(c.pool, c.gin[0], float32(k), c.gout[0])
			} else {
				f32.Scale(c.pool, c.gin[0], float32(k), c.gout[0])
			}
		},
	}, x.shape)[0]
}

// Exp is e to the power of every element.
func (g *Graph) Exp(x *Node) *Node {
	if !g.fits("exp", "a node", []*Node{x}, nil, func() bool { return !x.integer }) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "exp", in: []*Node{x}, keepOut: set(0),
		forward: func(c *call) {
			c.inRows(len(c.in[0]), func(i int) { c.out[0][i] = float32(math.Exp(float64(c.in[0][i]))) })
		},
		backward: func(c *call) { f32.Mul(c.pool, c.gin[0], c.gout[0], c.out[0]) },
	}, x.shape)[0]
}

// Sum adds up all elements, in float64, to a scalar.
func (g *Graph) Sum(x *Node) *Node { return g.total("sum", x, 1) }

// Mean averages all elements, in float64, to a scalar.
func (g *Graph) Mean(x *Node) *Node {
	if x == nil || x.bad {
		return g.total("mean", x, 1)
	}
	return g.total("mean", x, 1/float64(x.shape.Size()))
}

func (g *Graph) total(name string, x *Node, k float64) *Node {
	if !g.fits(name, "a node", []*Node{x}, nil, func() bool { return !x.integer }) {
		return g.invalid()
	}
	return g.apply(&op{
		name: name, in: []*Node{x},
		forward:  func(c *call) { c.out[0][0] = float32(k * f32.Sum(c.pool, c.in[0])) },
		backward: func(c *call) { f32.Fill(c.pool, c.gin[0], float32(k)*c.gout[0][0]) },
	}, Shape{})[0]
}

// Dot is the sum of the products of corresponding elements, added in float64.
func (g *Graph) Dot(a, b *Node) *Node {
	if !g.fitsPair("dot", a, b) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "dot", in: []*Node{a, b}, keepIn: set(0, 1), addable: set(0, 1),
		forward: func(c *call) { c.out[0][0] = float32(f32.Dot(c.pool, c.in[0], c.in[1])) },
		backward: func(c *call) {
			for i, d := range c.gin {
				switch {
				case d == nil:
				case c.add[i]:
					f32.Axpy(c.pool, d, c.gout[0][0], c.in[1-i])
				default:
					f32.Scale(c.pool, d, c.gout[0][0], c.in[1-i])
				}
			}
		},
	}, Shape{})[0]
}

func (g *Graph) fitsPair(name string, a, b *Node) bool {
	return g.fits(name, "two nodes of equal shape", []*Node{a, b}, nil, func() bool {
		return a.shape.Equal(b.shape) && !a.integer && !b.integer
	})
}
