package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// MatMul is op(a)·op(b) for matrices, or for equally many stacked ones: a [...,
// M, K] (transA: [..., K, M]), b [..., K, N] (transB: [..., N, K]), result [...,
// M, N].
func MatMul(g *core.Graph, a, b *core.Node, transA, transB bool) *core.Node {
	dims := func(s tensor.Shape, transposed bool) (rows, cols int) {
		rows, cols = s[len(s)-2], s[len(s)-1]
		if transposed {
			rows, cols = cols, rows
		}
		return rows, cols
	}
	if !g.Check("matmul", "a [..., M, K] and b [..., K, N], or transposed as asked for", []*core.Node{a, b}, nil, func() bool {
		if len(a.Shape()) < 2 || len(a.Shape()) != len(b.Shape()) || a.Integer() || b.Integer() || !a.Shape()[:len(a.Shape())-2].Equal(b.Shape()[:len(b.Shape())-2]) {
			return false
		}
		_, ka := dims(a.Shape(), transA)
		kb, _ := dims(b.Shape(), transB)
		return ka == kb
	}) {
		return g.Invalid()
	}
	m, k := dims(a.Shape(), transA)
	_, n := dims(b.Shape(), transB)
	lead := a.Shape()[:len(a.Shape())-2]
	batch := lead.Size()
	multiply := func(c *core.Call, ta, tb bool, m, n, k int, x, y, z []float32, add bool) {
		xs, ys := f32.Operand(ta, m, k, x), f32.Operand(tb, k, n, y)
		if batch == 1 {
			f32.Gemm(c.Pool, xs, ys, f32.Dense(m, n, z), add, nil)
		} else {
			f32.GemmBatch(c.Pool, batch, f32.Batch{Matrix: xs, Distance: m * k}, f32.Batch{Matrix: ys, Distance: k * n}, batchOf(m, n, z, m*n), add)
		}
	}
	return g.Apply(&core.Op{
		Name: "matmul", In: []*core.Node{a, b}, KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0, 1), FLOPs: float64(batch) * product(m, n, k),
		Forward: func(c *core.Call) { multiply(c, transA, transB, m, n, k, c.In[0], c.In[1], c.Out[0], false) },
		Backward: func(c *core.Call) {
			dy := c.GradOut[0]
			if da := c.GradIn[0]; da != nil {
				if transA { // da [K, M] = op(b)·dyᵀ
					multiply(c, transB, true, k, m, n, c.In[1], dy, da, c.Add[0])
				} else { // da [M, K] = dy·op(b)ᵀ
					multiply(c, false, !transB, m, k, n, dy, c.In[1], da, c.Add[0])
				}
			}
			if db := c.GradIn[1]; db != nil {
				if transB { // db [N, K] = dyᵀ·op(a)
					multiply(c, true, transA, n, k, m, dy, c.In[0], db, c.Add[1])
				} else { // db [K, N] = op(a)ᵀ·dy
					multiply(c, !transA, false, k, n, m, c.In[0], dy, db, c.Add[1])
				}
			}
		},
	}, append(lead.Clone(), m, n))[0]
}
