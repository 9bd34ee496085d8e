package core

import "github.com/vittool/vittool/core/internal/f32"

// WeightNorm is weight normalisation (Salimans and Kingma, arXiv:1602.07868): row
// o of the result is gain[o]·v[o]/‖v[o]‖ for v [O, ...] and gain of O elements
// (nil: ones). A row of zeros has no direction and gives NaN.
func (g *Graph) WeightNorm(v, gain *Node) *Node {
	if !g.fits("weight_norm", "v [O, ...], gain of O elements or nil", []*Node{v}, []*Node{gain}, func() bool {
		return len(v.shape) > 1 && !v.integer && (gain == nil || !gain.integer && gain.shape.Size() == v.shape[0])
	}) {
		return g.invalid()
	}
	rows := v.shape[0]
	n := v.shape.Size() / rows
	return g.apply(&op{
		name: "weight_norm", in: []*Node{v, gain}, keepIn: set(0, 1), save: []int{rows},
		forward: func(c *call) { f32.WeightNormRows(c.pool, rows, n, c.in[0], c.in[1], c.out[0], c.save[0]) },
		backward: func(c *call) {
			f32.WeightNormRowsBackward(c.pool, rows, n, c.in[0], c.in[1], c.save[0], c.gout[0], c.gin[0], c.gin[1])
		},
	}, v.shape)[0]
}
