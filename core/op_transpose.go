package core

// TransposeTokens swaps tokens and channels: x [B, N, D] becomes [B, D, N], the
// layout of a feature map.
func (g *Graph) TransposeTokens(x *Node) *Node {
	if !g.fits("transpose_tokens", "x [B, N, D]", []*Node{x}, nil, func() bool {
		return len(x.shape) == 3 && !x.integer
	}) {
		return g.invalid()
	}
	b, n, d := x.shape[0], x.shape[1], x.shape[2]
	return g.apply(&op{
		name: "transpose_tokens", in: []*Node{x},
		forward: func(c *call) {
			c.inRows(b*d, func(r int) {
				src, dst := c.in[0][r/d*n*d+r%d:], c.out[0][r*n:(r+1)*n]
				for i := range dst {
					dst[i] = src[i*d]
				}
			})
		},
		backward: func(c *call) {
			c.inRows(b*n, func(r int) {
				src, dst := c.gout[0][r/n*n*d+r%n:], c.gin[0][r*d:(r+1)*d]
				for i := range dst {
					dst[i] = src[i*n]
				}
			})
		},
	}, Shape{b, d, n})[0]
}
