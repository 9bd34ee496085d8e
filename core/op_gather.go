package core

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// GatherTokens picks tokens: out[b, k] = x[b, idx[b, k]] for x [B, N, D] and
// integers idx [B, K]; out is [B, K, D]. An index outside 0..N-1 is an error of
// Run.
func (g *Graph) GatherTokens(x, idx *Node) *Node {
	if !g.fits("gather_tokens", "x [B, N, D], integers idx [B, K]", []*Node{x, idx}, nil, func() bool {
		return len(x.shape) == 3 && idx.integer && len(idx.shape) == 2 && idx.shape[0] == x.shape[0]
	}) {
		return g.invalid()
	}
	b, n, d, k := x.shape[0], x.shape[1], x.shape[2], idx.shape[1]
	flat := make([]int32, b*k)
	return g.apply(&op{
		name: "gather_tokens", in: []*Node{x, idx}, noGrad: set(1), addable: set(0),
		forward: func(c *call) {
			if c.err = flatten(flat, c.ints[1], k, n, 0); c.err == nil {
				f32.GatherRows(c.pool, b*k, d, c.in[0], flat, c.out[0])
			}
		},
		backward: func(c *call) {
			if !c.add[0] {
				clear(c.gin[0])
			}
			f32.ScatterAddRows(c.pool, b*k, d, c.gout[0], flat, c.gin[0])
		},
	}, Shape{b, k, d})[0]
}

// GatherIntegers picks integers of each sample of x [B, N] by number, idx [B, K], as
// integers [B, K].
func (g *Graph) GatherIntegers(x, idx *Node) *Node {
	if !g.fits("gather_integers", "integers x [B, N], integers idx [B, K]", []*Node{x, idx}, nil, func() bool {
		return len(x.shape) == 2 && x.integer && idx.integer && len(idx.shape) == 2 && idx.shape[0] == x.shape[0]
	}) {
		return g.invalid()
	}
	b, n, k := x.shape[0], x.shape[1], idx.shape[1]
	flat := make([]int32, b*k)
	return g.choice("gather_integers", []*Node{x, idx}, 0, Shape{b, k}, func(c *call, out []int32) {
		if c.err = flatten(flat, c.ints[1], k, n, 0); c.err != nil {
			return
		}
		for i, row := range flat {
			out[i] = c.ints[0][row]
		}
	})
}

// flatten turns per-sample token numbers idx [B, K] into row numbers of a
// [B·n, ...] matrix whose samples start with offset other rows.
func flatten(flat, idx []int32, k, n, offset int) error {
	for i, v := range idx {
		if v < 0 || int(v)+offset >= n {
			return fmt.Errorf("index %d of sample %d, position %d, lies outside 0..%d", v, i/k, i%k, n-offset-1)
		}
		flat[i] = int32(i/k*n) + v + int32(offset)
	}
	return nil
}
