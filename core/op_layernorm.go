package core

import "github.com/vittool/vittool/core/internal/f32"

// LayerNorm is (x - mean)/sqrt(var + eps)·gamma + beta over the last dimension
// of x [..., D], with the biased variance (Ba et al., arXiv:1607.06450). gamma
// and beta are [D] or nil.
func (g *Graph) LayerNorm(x, gamma, beta *Node, eps float64) *Node {
	if !g.fits("layer_norm", "x [..., D], gamma [D] or nil, beta [D] or nil", []*Node{x}, []*Node{gamma, beta}, func() bool {
		d := Shape{x.shape.last()}
		return len(x.shape) > 0 && (gamma == nil || gamma.shape.Equal(d)) && (beta == nil || beta.shape.Equal(d))
	}) {
		return g.invalid()
	}
	rows, n := x.shape.rows(), x.shape.last()
	o := &op{
		name: "layer_norm", in: []*Node{x, gamma, beta},
		keepIn: set(0, 1), addable: set(0),
		save: []int{2 * rows}, // mean and reciprocal deviation
		forward: func(c *call) {
			f32.LayerNormForward(c.pool, rows, n, c.in[0], c.in[1], c.in[2], c.out[0], c.save[0], float32(eps))
		},
		backward: func(c *call) {
			dx := c.gin[0]
			if dx == nil {
				dx = c.work
			}
			f32.LayerNormBackward(c.pool, rows, n, c.in[0], c.in[1], c.gout[0], c.save[0], dx, c.gin[1], c.gin[2], c.add[0])
		},
	}
	if !o.wantsInput(0) {
		o.workBack = rows * n
	}
	return g.apply(o, x.shape)[0]
}
