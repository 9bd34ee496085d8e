package core

import "github.com/vittool/vittool/core/internal/f32"

// ScaleBy is x times the one element of factor, such as a number that changes
// with the step. factor takes no gradient.
func (g *Graph) ScaleBy(x, factor *Node) *Node {
	if !g.fits("scale_by", "x [...], factor of one element", []*Node{x, factor}, nil, func() bool {
		return !x.integer && !factor.integer && factor.shape.Size() == 1
	}) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "scale_by", in: []*Node{x, factor}, noGrad: set(1), keepIn: set(1), addable: set(0),
		forward: func(c *call) { f32.Scale(c.pool, c.out[0], c.in[1][0], c.in[0]) },
		backward: func(c *call) {
			if c.add[0] {
				f32.Axpy(c.pool, c.gin[0], c.in[1][0], c.gout[0])
				return
			}
			f32.Scale(c.pool, c.gin[0], c.in[1][0], c.gout[0])
		},
	}, x.shape)[0]
}

// Reciprocal is 1/x, element by element, for few elements such as a sum of
// weights. It takes no gradient.
func (g *Graph) Reciprocal(x *Node) *Node {
	if !g.fits("reciprocal", "x [...]", []*Node{x}, nil, func() bool { return !x.integer }) {
		return g.invalid()
	}
	return g.apply(&op{
		name: "reciprocal", in: []*Node{x}, noGrad: set(0),
		forward: func(c *call) {
			for i, v := range c.in[0] {
				c.out[0][i] = 1 / v
			}
		},
	}, x.shape)[0]
}
