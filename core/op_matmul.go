package core

import "github.com/vittool/vittool/core/internal/f32"

// MatMul is op(a)·op(b) for matrices, or for equally many stacked ones: a [...,
// M, K] (transA: [..., K, M]), b [..., K, N] (transB: [..., N, K]), result [...,
// M, N].
func (g *Graph) MatMul(a, b *Node, transA, transB bool) *Node {
	dims := func(s Shape, transposed bool) (rows, cols int) {
		rows, cols = s[len(s)-2], s[len(s)-1]
		if transposed {
			rows, cols = cols, rows
		}
		return rows, cols
	}
	if !g.fits("matmul", "a [..., M, K] and b [..., K, N], or transposed as asked for", []*Node{a, b}, nil, func() bool {
		if len(a.shape) < 2 || len(a.shape) != len(b.shape) || a.integer || b.integer || !a.shape[:len(a.shape)-2].Equal(b.shape[:len(b.shape)-2]) {
			return false
		}
		_, ka := dims(a.shape, transA)
		kb, _ := dims(b.shape, transB)
		return ka == kb
	}) {
		return g.invalid()
	}
	m, k := dims(a.shape, transA)
	_, n := dims(b.shape, transB)
	lead := a.shape[:len(a.shape)-2]
	batch := lead.Size()
	multiply := func(c *call, ta, tb bool, m, n, k int, x, y, z []float32, add bool) {
		ldx, ldy := k, n
		if ta {
			ldx = m
		}
		if tb {
			ldy = k
		}
		if batch == 1 {
			f32.Gemm(c.pool, ta, tb, m, n, k, x, ldx, y, ldy, z, n, add, nil)
		} else {
			f32.GemmBatch(c.pool, batch, ta, tb, m, n, k, x, m*k, ldx, y, k*n, ldy, z, m*n, n, add)
		}
	}
	return g.apply(&op{
		name: "matmul", in: []*Node{a, b}, keepIn: set(0, 1), addable: set(0, 1), flops: float64(batch) * product(m, n, k),
		forward: func(c *call) { multiply(c, transA, transB, m, n, k, c.in[0], c.in[1], c.out[0], false) },
		backward: func(c *call) {
			dy := c.gout[0]
			if da := c.gin[0]; da != nil {
				if transA { // da [K, M] = op(b)·dyᵀ
					multiply(c, transB, true, k, m, n, c.in[1], dy, da, c.add[0])
				} else { // da [M, K] = dy·op(b)ᵀ
					multiply(c, false, !transB, m, k, n, dy, c.in[1], da, c.add[0])
				}
			}
			if db := c.gin[1]; db != nil {
				if transB { // db [N, K] = dyᵀ·op(a)
					multiply(c, true, transA, n, k, m, dy, c.in[0], db, c.add[1])
				} else { // db [K, N] = op(a)ᵀ·dy
					multiply(c, !transA, false, k, n, m, c.in[0], dy, db, c.add[1])
				}
			}
		},
	}, append(lead.Clone(), m, n))[0]
}
