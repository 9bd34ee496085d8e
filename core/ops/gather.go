package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// GatherTokens picks tokens by index: out[b, k] = x[b, idx[b, k]] for x [B, N, D] and integers idx
// [B, K]; out is [B, K, D]. An index outside 0..N-1 is an error of Run.
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
			if c.Err = flatten(flat, c.Ints[1], k, n); c.Err == nil {
				f32.GatherRows(c.Pool, b*k, d, c.In[0], flat, c.Out[0])
			}
		},
		Backward: func(c *core.Call) { scatterRows(c, 0, d, flat) },
	}, tensor.Shape{b, k, d})[0]
}

// GatherIntegers picks integers by index: out[b, k] = x[b, idx[b, k]] for integers x [B, N] and idx
// [B, K]; out holds integers [B, K]. An index outside 0..N-1 is an error of Run. Of the built-in
// objectives only BEiT needs it.
func GatherIntegers(g *core.Graph, x, idx *core.Node) *core.Node {
	if !g.Check("gather_integers", "integers x [B, N], integers idx [B, K]", []*core.Node{x, idx}, nil, func() bool {
		return len(x.Shape()) == 2 && x.Integer() && idx.Integer() && len(idx.Shape()) == 2 && idx.Shape()[0] == x.Shape()[0]
	}) {
		return g.Invalid()
	}
	b, n, k := x.Shape()[0], x.Shape()[1], idx.Shape()[1]
	flat := make([]int32, b*k)
	return choice(g, "gather_integers", []*core.Node{x, idx}, 0, tensor.Shape{b, k}, func(c *core.Call, out []int32) {
		if c.Err = flatten(flat, c.Ints[1], k, n); c.Err != nil {
			return
		}
		for i, row := range flat {
			out[i] = c.Ints[0][row]
		}
	})
}

// GatherRows picks rows of a table by index: out[i] = table[rows[i]] for table [K, ...] and
// integers rows [...]; the shape of out is that of rows followed by that of one row. An index
// outside 0..K-1 is an error of Run.
func GatherRows(g *core.Graph, table, rows *core.Node) *core.Node {
	if !g.Check("gather_rows", "table [K, ...], integers rows [...]", []*core.Node{table, rows}, nil, func() bool {
		return len(table.Shape()) > 1 && !table.Integer() && rows.Integer()
	}) {
		return g.Invalid()
	}
	k, d, n := table.Shape()[0], table.Shape()[1:].Size(), rows.Shape().Size()
	return g.Apply(&core.Op{
		Name: "gather_rows", In: []*core.Node{table, rows}, NoGrad: core.OperandSet(1), AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			if c.Err = checkRange("index", c.Ints[1], k); c.Err == nil {
				f32.GatherRows(c.Pool, n, d, c.In[0], c.Ints[1], c.Out[0])
			}
		},
		Backward: func(c *core.Call) { scatterRows(c, 0, d, c.Ints[1]) },
	}, append(rows.Shape().Clone(), table.Shape()[1:]...))[0]
}

// scatterRows computes the gradient of table operand i from that of the rows of d elements gathered
// from it: each is added to the row of its index.
func scatterRows(c *core.Call, i, d int, index []int32) {
	if !c.Add[i] {
		clear(c.GradIn[i])
	}
	f32.ScatterAddRows(c.Pool, len(index), d, c.GradOut[0], index, c.GradIn[i])
}

// checkRange returns an error for the first value outside 0..n-1; name names the values.
func checkRange(name string, values []int32, n int) error {
	for r, v := range values {
		if v < 0 || int(v) >= n {
			return fmt.Errorf("%s %d of row %d lies outside 0..%d", name, v, r, n-1)
		}
	}
	return nil
}

// flatten turns token indices idx [B, K], counted per sample of n tokens, into row indices of
// [B·n, ...].
func flatten(flat, idx []int32, k, n int) error {
	for i, v := range idx {
		if v < 0 || int(v) >= n {
			return fmt.Errorf("index %d of sample %d, position %d, lies outside 0..%d", v, i/k, i%k, n-1)
		}
		flat[i] = int32(i/k*n) + v
	}
	return nil
}
