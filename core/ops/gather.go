package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// GatherTokens picks tokens: out[b, k] = x[b, idx[b, k]] for x [B, N, D] and
// integers idx [B, K]; out is [B, K, D]. An index outside 0..N-1 is an error of
// Run.
func GatherTokens(g *core.Graph, x, idx *core.Node) *core.Node {
	if !g.Check("gather_tokens", "x [B, N, D], integers idx [B, K]", []*core.Node{x, idx}, nil, func() bool {
		return len(x.Shape()) == 3 && idx.Integer() && len(idx.Shape()) == 2 && idx.Shape()[0] == x.Shape()[0]
	}) {
		return g.Invalid()
	}
	b, n, d, k := x.Shape()[0], x.Shape()[1], x.Shape()[2], idx.Shape()[1]
	flat := make([]int32, b*k)
	return g.Apply(&core.Op{
		Name: "gather_tokens", In: []*core.Node{x, idx}, NoGrad: core.OperandSet(1), AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			if c.Err = flatten(flat, c.Ints[1], k, n, 0); c.Err == nil {
				f32.GatherRows(c.Pool, b*k, d, c.In[0], flat, c.Out[0])
			}
		},
		Backward: func(c *core.Call) {
			if !c.Add[0] {
				clear(c.GradIn[0])
			}
			f32.ScatterAddRows(c.Pool, b*k, d, c.GradOut[0], flat, c.GradIn[0])
		},
	}, tensor.Shape{b, k, d})[0]
}

// GatherIntegers picks integers of each sample of x [B, N] by number, idx [B, K], as
// integers [B, K].
func GatherIntegers(g *core.Graph, x, idx *core.Node) *core.Node {
	if !g.Check("gather_integers", "integers x [B, N], integers idx [B, K]", []*core.Node{x, idx}, nil, func() bool {
		return len(x.Shape()) == 2 && x.Integer() && idx.Integer() && len(idx.Shape()) == 2 && idx.Shape()[0] == x.Shape()[0]
	}) {
		return g.Invalid()
	}
	b, n, k := x.Shape()[0], x.Shape()[1], idx.Shape()[1]
	flat := make([]int32, b*k)
	return choice(g, "gather_integers", []*core.Node{x, idx}, 0, tensor.Shape{b, k}, func(c *core.Call, out []int32) {
		if c.Err = flatten(flat, c.Ints[1], k, n, 0); c.Err != nil {
			return
		}
		for i, row := range flat {
			out[i] = c.Ints[0][row]
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
