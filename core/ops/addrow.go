package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
)

// AddRow is x [..., D] plus one row of D elements, added to each of its rows.
func AddRow(g *core.Graph, x, row *core.Node) *core.Node {
	if !g.Check("add_row", "x [..., D], row of D elements", []*core.Node{x, row}, nil, func() bool {
		return len(x.Shape()) > 0 && !x.Integer() && !row.Integer() && row.Shape().Size() == x.Shape().Last()
	}) {
		return g.Invalid()
	}
	rows, n := x.Shape().Rows(), x.Shape().Last()
	return g.Apply(&core.Op{
		Name: "add_row", In: []*core.Node{x, row}, PassGrad: core.OperandSet(0),
		Forward: func(c *core.Call) { f32.AddRow(c.Pool, rows, n, c.In[0], c.In[1], c.Out[0]) },
		Backward: func(c *core.Call) {
			if c.GradIn[1] != nil {
				f32.ColumnSum(c.Pool, rows, n, c.GradOut[0], c.GradIn[1])
			}
		},
	}, x.Shape())[0]
}
