package core

import "github.com/vittool/vittool/core/internal/f32"

// AddRow is x [..., D] plus one row of D elements, added to each of its rows.
func (g *Graph) AddRow(x, row *Node) *Node {
	if !g.fits("add_row", "x [..., D], row of D elements", []*Node{x, row}, nil, func() bool {
		return len(x.shape) > 0 && !x.integer && !row.integer && row.shape.Size() == x.shape.last()
	}) {
		return g.invalid()
	}
	rows, n := x.shape.rows(), x.shape.last()
	return g.apply(&op{
		name: "add_row", in: []*Node{x, row}, pass: set(0),
		forward: func(c *call) { f32.AddRow(c.pool, rows, n, c.in[0], c.in[1], c.out[0]) },
		backward: func(c *call) {
			if c.gin[1] != nil {
				f32.ColumnSum(c.pool, rows, n, c.gout[0], c.gin[1])
			}
		},
	}, x.shape)[0]
}
