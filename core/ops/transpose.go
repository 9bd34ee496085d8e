package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// TransposeTokens swaps tokens and channels: x [B, N, D] becomes [B, D, N], the
// layout of a feature map.
func TransposeTokens(g *core.Graph, x *core.Node) *core.Node {
	if !g.Check("transpose_tokens", "x [B, N, D]", []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) == 3 && !x.Integer()
	}) {
		return g.Invalid()
	}
	b, n, d := x.Shape()[0], x.Shape()[1], x.Shape()[2]
	return g.Apply(&core.Op{
		Name: "transpose_tokens", In: []*core.Node{x},
		Forward: func(c *core.Call) {
			c.EachRow(b*d, func(r int) {
				src, dst := c.In[0][r/d*n*d+r%d:], c.Out[0][r*n:(r+1)*n]
				for i := range dst {
					dst[i] = src[i*d]
				}
			})
		},
		Backward: func(c *core.Call) {
			c.EachRow(b*n, func(r int) {
				src, dst := c.GradOut[0][r/n*n*d+r%n:], c.GradIn[0][r*d:(r+1)*d]
				for i := range dst {
					dst[i] = src[i*n]
				}
			})
		},
	}, tensor.Shape{b, d, n})[0]
}
