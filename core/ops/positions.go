package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// PrependToken puts token [1, 1, D], plus the first row of the table pos
// [1, M, D] if that is not nil, before the tokens x [B, N, D] of every sample:
// [B, 1+N, D].
func PrependToken(g *core.Graph, token, x, pos *core.Node) *core.Node {
	if !g.Check("prepend_token", "token [1, 1, D], x [B, N, D], pos [1, M, D] or nil", []*core.Node{token, x}, []*core.Node{pos}, func() bool {
		return len(x.Shape()) == 3 && token.Shape().Size() == x.Shape()[2] && (pos == nil || tableFits(pos, x.Shape()[2], 1))
	}) {
		return g.Invalid()
	}
	b, n, d := x.Shape()[0], x.Shape()[1], x.Shape()[2]
	return g.Apply(&core.Op{
		Name: "prepend_token", In: []*core.Node{token, x, pos}, AddsGrad: core.OperandSet(1, 2),
		Work: d, WorkBack: b*d + d,
		Forward: func(c *core.Call) {
			first := c.Work
			copy(first, c.In[0])
			if c.In[2] != nil {
				f32.Add(c.Pool, first, first, c.In[2][:d])
			}
			c.Pool.Do(b, func(_, i int) {
				copy(c.Out[0][i*(1+n)*d:], first)
				copy(c.Out[0][(i*(1+n)+1)*d:], c.In[1][i*n*d:(i+1)*n*d])
			})
		},
		Backward: func(c *core.Call) {
			dy := c.GradOut[0]
			if dx := c.GradIn[1]; dx != nil {
				for i := range b {
					rows, from := dx[i*n*d:(i+1)*n*d], dy[(i*(1+n)+1)*d:(i+1)*(1+n)*d]
					if c.Add[1] {
						f32.Add(c.Pool, rows, rows, from)
					} else {
						f32.Copy(c.Pool, rows, from)
					}
				}
			}
			if c.GradIn[0] == nil && c.GradIn[2] == nil {
				return
			}
			firsts, sum := c.Work[:b*d], c.Work[b*d:]
			for i := range b {
				copy(firsts[i*d:(i+1)*d], dy[i*(1+n)*d:])
			}
			f32.ColumnSum(c.Pool, b, d, firsts, sum)
			if c.GradIn[0] != nil {
				copy(c.GradIn[0], sum)
			}
			if dpos := c.GradIn[2]; dpos != nil {
				if !c.Add[2] {
					clear(dpos)
				}
				f32.Add(c.Pool, dpos[:d], dpos[:d], sum)
			}
		},
	}, tensor.Shape{b, 1 + n, d})[0]
}

// AddPositions adds row offset+n of the table pos [1, M, D] to token n of every
// sample of x [B, N, D].
func AddPositions(g *core.Graph, x, pos *core.Node, offset int) *core.Node {
	if !g.Check("add_positions", fmt.Sprintf("x [B, N, D], pos [1, M, D] with M at least N+%d", offset), []*core.Node{x, pos}, nil, func() bool {
		return len(x.Shape()) == 3 && offset >= 0 && tableFits(pos, x.Shape()[2], x.Shape()[1]+offset)
	}) {
		return g.Invalid()
	}
	b, row, from := x.Shape()[0], x.Shape()[1]*x.Shape()[2], offset*x.Shape()[2]
	return g.Apply(&core.Op{
		Name: "add_positions", In: []*core.Node{x, pos}, PassGrad: core.OperandSet(0), AddsGrad: core.OperandSet(1), WorkBack: row,
		Forward: func(c *core.Call) {
			f32.AddRow(c.Pool, b, row, c.In[0], c.In[1][from:from+row], c.Out[0])
		},
		Backward: func(c *core.Call) {
			dpos := c.GradIn[1][from : from+row]
			if !c.Add[1] {
				clear(c.GradIn[1])
			}
			f32.ColumnSum(c.Pool, b, row, c.GradOut[0], c.Work)
			f32.Add(c.Pool, dpos, dpos, c.Work)
		},
	}, x.Shape())[0]
}

// AddPositionsAt adds row offset+idx[b, k] of the table pos [1, M, D] to token k
// of sample b of x [B, K, D]; idx holds integers [B, K].
func AddPositionsAt(g *core.Graph, x, pos, idx *core.Node, offset int) *core.Node {
	if !g.Check("add_positions_at", "x [B, K, D], pos [1, M, D], integers idx [B, K]", []*core.Node{x, pos, idx}, nil, func() bool {
		return len(x.Shape()) == 3 && offset >= 0 && tableFits(pos, x.Shape()[2], 1+offset) && idx.Integer() && idx.Shape().Equal(x.Shape()[:2])
	}) {
		return g.Invalid()
	}
	b, k, d, m := x.Shape()[0], x.Shape()[1], x.Shape()[2], pos.Shape().Rows()
	flat := make([]int32, b*k)
	return g.Apply(&core.Op{
		Name: "add_positions_at", In: []*core.Node{x, pos, idx}, NoGrad: core.OperandSet(2), PassGrad: core.OperandSet(0), AddsGrad: core.OperandSet(1),
		Forward: func(c *core.Call) {
			for i, v := range c.Ints[2] {
				if v < 0 || int(v)+offset >= m {
					c.Err = fmt.Errorf("index %d of sample %d, token %d, lies outside 0..%d", v, i/k, i%k, m-offset-1)
					return
				}
				flat[i] = v + int32(offset)
			}
			f32.GatherRows(c.Pool, b*k, d, c.In[1], flat, c.Out[0])
			f32.Add(c.Pool, c.Out[0], c.Out[0], c.In[0])
		},
		Backward: func(c *core.Call) {
			if !c.Add[1] {
				clear(c.GradIn[1])
			}
			f32.ScatterAddRows(c.Pool, b*k, d, c.GradOut[0], flat, c.GradIn[1])
		},
	}, x.Shape())[0]
}

// tableFits tells whether pos is a table of at least rows vectors of d.
func tableFits(pos *core.Node, d, rows int) bool {
	return !pos.Integer() && len(pos.Shape()) >= 2 && pos.Shape().Last() == d && pos.Shape().Rows() >= rows
}
