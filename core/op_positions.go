package core

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// PrependToken puts token [1, 1, D], plus the first row of the table pos
// [1, M, D] if that is not nil, before the tokens x [B, N, D] of every sample:
// [B, 1+N, D].
func (g *Graph) PrependToken(token, x, pos *Node) *Node {
	if !g.fits("prepend_token", "token [1, 1, D], x [B, N, D], pos [1, M, D] or nil", []*Node{token, x}, []*Node{pos}, func() bool {
		return len(x.shape) == 3 && token.shape.Size() == x.shape[2] && (pos == nil || tableFits(pos, x.shape[2], 1))
	}) {
		return g.invalid()
	}
	b, n, d := x.shape[0], x.shape[1], x.shape[2]
	return g.apply(&op{
		name: "prepend_token", in: []*Node{token, x, pos}, addable: set(1, 2),
		work: d, workBack: b*d + d,
		forward: func(c *call) {
			first := c.work
			copy(first, c.in[0])
			if c.in[2] != nil {
				f32.Add(c.pool, first, first, c.in[2][:d])
			}
			c.pool.Do(b, func(_, i int) {
				copy(c.out[0][i*(1+n)*d:], first)
				copy(c.out[0][(i*(1+n)+1)*d:], c.in[1][i*n*d:(i+1)*n*d])
			})
		},
		backward: func(c *call) {
			dy := c.gout[0]
			if dx := c.gin[1]; dx != nil {
				for i := range b {
					rows, from := dx[i*n*d:(i+1)*n*d], dy[(i*(1+n)+1)*d:(i+1)*(1+n)*d]
					if c.add[1] {
						f32.Add(c.pool, rows, rows, from)
					} else {
						f32.Copy(c.pool, rows, from)
					}
				}
			}
			if c.gin[0] == nil && c.gin[2] == nil {
				return
			}
			firsts, sum := c.work[:b*d], c.work[b*d:]
			for i := range b {
				copy(firsts[i*d:(i+1)*d], dy[i*(1+n)*d:])
			}
			f32.ColumnSum(c.pool, b, d, firsts, sum)
			if c.gin[0] != nil {
				copy(c.gin[0], sum)
			}
			if dpos := c.gin[2]; dpos != nil {
				if !c.add[2] {
					clear(dpos)
				}
				f32.Add(c.pool, dpos[:d], dpos[:d], sum)
			}
		},
	}, Shape{b, 1 + n, d})[0]
}

// AddPositions adds row offset+n of the table pos [1, M, D] to token n of every
// sample of x [B, N, D].
func (g *Graph) AddPositions(x, pos *Node, offset int) *Node {
	if !g.fits("add_positions", fmt.Sprintf("x [B, N, D], pos [1, M, D] with M at least N+%d", offset), []*Node{x, pos}, nil, func() bool {
		return len(x.shape) == 3 && offset >= 0 && tableFits(pos, x.shape[2], x.shape[1]+offset)
	}) {
		return g.invalid()
	}
	b, row, from := x.shape[0], x.shape[1]*x.shape[2], offset*x.shape[2]
	return g.apply(&op{
		name: "add_positions", in: []*Node{x, pos}, pass: set(0), addable: set(1), workBack: row,
		forward: func(c *call) {
			f32.AddRow(c.pool, b, row, c.in[0], c.in[1][from:from+row], c.out[0])
		},
		backward: func(c *call) {
			dpos := c.gin[1][from : from+row]
			if !c.add[1] {
				clear(c.gin[1])
			}
			f32.ColumnSum(c.pool, b, row, c.gout[0], c.work)
			f32.Add(c.pool, dpos, dpos, c.work)
		},
	}, x.shape)[0]
}

// AddPositionsAt adds row offset+idx[b, k] of the table pos [1, M, D] to token k
// of sample b of x [B, K, D]; idx holds integers [B, K].
func (g *Graph) AddPositionsAt(x, pos, idx *Node, offset int) *Node {
	if !g.fits("add_positions_at", "x [B, K, D], pos [1, M, D], integers idx [B, K]", []*Node{x, pos, idx}, nil, func() bool {
		return len(x.shape) == 3 && offset >= 0 && tableFits(pos, x.shape[2], 1+offset) && idx.integer && idx.shape.Equal(x.shape[:2])
	}) {
		return g.invalid()
	}
	b, k, d, m := x.shape[0], x.shape[1], x.shape[2], pos.shape.rows()
	flat := make([]int32, b*k)
	return g.apply(&op{
		name: "add_positions_at", in: []*Node{x, pos, idx}, noGrad: set(2), pass: set(0), addable: set(1),
		forward: func(c *call) {
			for i, v := range c.ints[2] {
				if v < 0 || int(v)+offset >= m {
					c.err = fmt.Errorf("index %d of sample %d, token %d, lies outside 0..%d", v, i/k, i%k, m-offset-1)
					return
				}
				flat[i] = v + int32(offset)
			}
			f32.GatherRows(c.pool, b*k, d, c.in[1], flat, c.out[0])
			f32.Add(c.pool, c.out[0], c.out[0], c.in[0])
		},
		backward: func(c *call) {
			if !c.add[1] {
				clear(c.gin[1])
			}
			f32.ScatterAddRows(c.pool, b*k, d, c.gout[0], flat, c.gin[1])
		},
	}, x.shape)[0]
}

// tableFits tells whether pos is a table of at least rows vectors of d.
func tableFits(pos *Node, d, rows int) bool {
	return !pos.integer && len(pos.shape) >= 2 && pos.shape.last() == d && pos.shape.rows() >= rows
}
