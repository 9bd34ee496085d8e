package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// RelativeBias looks up a relative position bias: out[h, i, j] =
// table[index[i·n+j], h] for table [T, H] and n² fixed indices; out is [H, n, n]
// (Bao et al., BEiT, arXiv:2106.08254).
func RelativeBias(g *core.Graph, table *core.Node, index []int32) *core.Node {
	n := 0
	for n*n < len(index) {
		n++
	}
	if !g.Check("relative_bias", fmt.Sprintf("table [T, H] and n×n indices below T (%d indices given)", len(index)), []*core.Node{table}, nil, func() bool {
		if len(table.Shape()) != 2 || n == 0 || n*n != len(index) {
			return false
		}
		for _, i := range index {
			if i < 0 || int(i) >= table.Shape()[0] {
				return false
			}
		}
		return true
	}) {
		return g.Invalid()
	}
	rows, heads := table.Shape()[0], table.Shape()[1]
	totals := make([]float64, heads*rows) // entries of the table are read many times
	return g.Apply(&core.Op{
		Name: "relative_bias", In: []*core.Node{table}, AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			t, out := c.In[0], c.Out[0]
			c.Pool.Do(heads, func(_, h int) {
				dst := out[h*n*n : (h+1)*n*n]
				for k, i := range index {
					dst[k] = t[int(i)*heads+h]
				}
			})
		},
		Backward: func(c *core.Call) {
			dt, dout, add := c.GradIn[0], c.GradOut[0], c.Add[0]
			c.Pool.Do(heads, func(_, h int) {
				sums := totals[h*rows : (h+1)*rows]
				clear(sums)
				for k, i := range index {
					sums[i] += float64(dout[h*n*n+k])
				}
				for i, s := range sums {
					if add {
						s += float64(dt[i*heads+h])
					}
					dt[i*heads+h] = float32(s)
				}
			})
		},
	}, tensor.Shape{heads, n, n})[0]
}
