package core

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// MeanTokens averages tokens from..N-1 of every sample of x [B, N, D]: [B, D].
func (g *Graph) MeanTokens(x *Node, from int) *Node {
	if !g.fits("mean_tokens", fmt.Sprintf("x [B, N, D] with more than %d tokens", from), []*Node{x}, nil, func() bool {
		return len(x.shape) == 3 && from >= 0 && from < x.shape[1]
	}) {
		return g.invalid()
	}
	b, n, d := x.shape[0], x.shape[1], x.shape[2]
	k := 1 / float32(n-from)
	return g.apply(&op{
		name: "mean_tokens", in: []*Node{x}, addable: set(0),
		forward: func(c *call) {
			for i := range b {
				f32.ColumnSum(c.pool, n-from, d, c.in[0][(i*n+from)*d:(i+1)*n*d], c.out[0][i*d:(i+1)*d])
			}
			f32.Scale(c.pool, c.out[0], k, c.out[0])
		},
		backward: func(c *call) {
			c.inRows(b*n, func(r int) {
				dst := c.gin[0][r*d : (r+1)*d]
				if !c.add[0] {
					clear(dst)
				}
				if r%n < from {
					return
				}
				for j, v := range c.gout[0][r/n*d:][:d] {
					dst[j] += k * v
				}
			})
		},
	}, Shape{b, d})[0]
}
