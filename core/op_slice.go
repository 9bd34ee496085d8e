package core

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// SliceTokens returns tokens from..to-1 of every sample of x [B, N, D]:
// [B, to-from, D].
func (g *Graph) SliceTokens(x *Node, from, to int) *Node {
	if !g.fits("slice_tokens", fmt.Sprintf("x [B, N, D] with 0 <= %d < %d <= N", from, to), []*Node{x}, nil, func() bool {
		return len(x.shape) == 3 && from >= 0 && from < to && to <= x.shape[1]
	}) {
		return g.invalid()
	}
	s := x.shape
	return g.cut("slice_tokens", x, s[0], s[1]*s[2], from*s[2], to*s[2], Shape{s[0], to - from, s[2]})
}

// SliceRows returns rows from..to-1 of the first dimension of x [R, ...].
func (g *Graph) SliceRows(x *Node, from, to int) *Node {
	if !g.fits("slice_rows", fmt.Sprintf("x [R, ...] with 0 <= %d < %d <= R", from, to), []*Node{x}, nil, func() bool {
		return len(x.shape) > 0 && from >= 0 && from < to && to <= x.shape[0]
	}) {
		return g.invalid()
	}
	shape := x.shape.Clone()
	shape[0] = to - from
	row := x.shape.Size() / x.shape[0]
	return g.cut("slice_rows", x, 1, x.shape.Size(), from*row, to*row, shape)
}

// cut copies the columns [from, to) of x seen as [rows, n].
func (g *Graph) cut(name string, x *Node, rows, n, from, to int, shape Shape) *Node {
	width := to - from
	return g.apply(&op{
		name: name, in: []*Node{x}, addable: set(0),
		forward: func(c *call) {
			for r := range rows {
				f32.Copy(c.pool, c.out[0][r*width:(r+1)*width], c.in[0][r*n+from:r*n+to])
			}
		},
		backward: func(c *call) {
			if !c.add[0] {
				f32.Fill(c.pool, c.gin[0], 0)
			}
			for r := range rows {
				d := c.gin[0][r*n+from : r*n+to]
				f32.Add(c.pool, d, d, c.gout[0][r*width:(r+1)*width])
			}
		},
	}, shape)[0]
}

// ConcatTokens joins the tokens of several [B, N_i, D] into [B, ΣN_i, D].
func (g *Graph) ConcatTokens(xs ...*Node) *Node {
	if !g.fits("concat_tokens", "nodes [B, N_i, D]", atLeastOne(xs), nil, func() bool {
		for _, x := range xs {
			if len(x.shape) != 3 || x.shape[0] != xs[0].shape[0] || x.shape[2] != xs[0].shape[2] {
				return false
			}
		}
		return true
	}) {
		return g.invalid()
	}
	b, d := xs[0].shape[0], xs[0].shape[2]
	n := 0
	for _, x := range xs {
		n += x.shape[1]
	}
	return g.join("concat_tokens", xs, b, Shape{b, n, d})
}

// Concat joins nodes [R_i, ...] along the first dimension.
func (g *Graph) Concat(xs ...*Node) *Node {
	if !g.fits("concat", "nodes [R_i, ...] of equal further dimensions", atLeastOne(xs), nil, func() bool {
		for _, x := range xs {
			if len(x.shape) == 0 || !x.shape[1:].Equal(xs[0].shape[1:]) {
				return false
			}
		}
		return true
	}) {
		return g.invalid()
	}
	shape := xs[0].shape.Clone()
	shape[0] = 0
	for _, x := range xs {
		shape[0] += x.shape[0]
	}
	return g.join("concat", xs, 1, shape)
}

// join puts the columns of the nodes, each seen as [rows, n_i], side by side.
func (g *Graph) join(name string, xs []*Node, rows int, shape Shape) *Node {
	n := shape.Size() / rows
	type part struct{ from, width int }
	var parts []part
	at := 0
	for _, x := range xs {
		w := x.shape.Size() / rows
		parts = append(parts, part{at, w})
		at += w
	}
	return g.apply(&op{
		name: name, in: append([]*Node{}, xs...),
		forward: func(c *call) {
			for i, p := range parts {
				for r := range rows {
					f32.Copy(c.pool, c.out[0][r*n+p.from:][:p.width], c.in[i][r*p.width:(r+1)*p.width])
				}
			}
		},
		backward: func(c *call) {
			for i, p := range parts {
				if c.gin[i] == nil {
					continue
				}
				for r := range rows {
					f32.Copy(c.pool, c.gin[i][r*p.width:(r+1)*p.width], c.gout[0][r*n+p.from:][:p.width])
				}
			}
		},
	}, shape)[0]
}

// atLeastOne makes an empty list of operands fail as a missing one.
func atLeastOne(xs []*Node) []*Node {
	if len(xs) == 0 {
		return []*Node{nil}
	}
	return xs
}
