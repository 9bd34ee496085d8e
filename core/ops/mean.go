package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// MeanTokens averages tokens from..N-1 of every sample of x [B, N, D]: [B, D].
func MeanTokens(g *core.Graph, x *core.Node, from int) *core.Node {
	if !g.Check("mean_tokens", fmt.Sprintf("x [B, N, D] with more than %d tokens", from), []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) == 3 && from >= 0 && from < x.Shape()[1]
	}) {
		return g.Invalid()
	}
	b, n, d := x.Shape()[0], x.Shape()[1], x.Shape()[2]
	k := 1 / float32(n-from)
	return g.Apply(&core.Op{
		Name: "mean_tokens", In: []*core.Node{x}, AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			for i := range b {
				f32.ColumnSum(c.Pool, n-from, d, c.In[0][(i*n+from)*d:(i+1)*n*d], c.Out[0][i*d:(i+1)*d])
			}
			f32.Scale(c.Pool, c.Out[0], k, c.Out[0])
		},
		Backward: func(c *core.Call) {
			c.EachRow(b*n, func(r int) {
				dst := c.GradIn[0][r*d : (r+1)*d]
				if !c.Add[0] {
					clear(dst)
				}
				if r%n < from {
					return
				}
				for j, v := range c.GradOut[0][r/n*d:][:d] {
					dst[j] += k * v
				}
			})
		},
	}, tensor.Shape{b, d})[0]
}
