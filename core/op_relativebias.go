package core

import "fmt"

// RelativeBias looks up a relative position bias: out[h, i, j] =
// table[index[i·n+j], h] for table [T, H] and n² fixed indices; out is [H, n, n]
// (Bao et al., BEiT, arXiv:2106.08254).
func (g *Graph) RelativeBias(table *Node, index []int32) *Node {
	n := 0
	for n*n < len(index) {
		n++
	}
	if !g.fits("relative_bias", fmt.Sprintf("table [T, H] and n×n indices below T (%d indices given)", len(index)), []*Node{table}, nil, func() bool {
		if len(table.shape) != 2 || n == 0 || n*n != len(index) {
			return false
		}
		for _, i := range index {
			if i < 0 || int(i) >= table.shape[0] {
				return false
			}
		}
		return true
	}) {
		return g.invalid()
	}
	rows, heads := table.shape[0], table.shape[1]
	totals := make([]float64, heads*rows) // entries of the table are read many times
	return g.apply(&op{
		name: "relative_bias", in: []*Node{table}, addable: set(0),
		forward: func(c *call) {
			t, out := c.in[0], c.out[0]
			c.pool.Do(heads, func(_, h int) {
				dst := out[h*n*n : (h+1)*n*n]
				for k, i := range index {
					dst[k] = t[int(i)*heads+h]
				}
			})
		},
		backward: func(c *call) {
			dt, dout, add := c.gin[0], c.gout[0], c.add[0]
			c.pool.Do(heads, func(_, h int) {
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
	}, Shape{heads, n, n})[0]
}
