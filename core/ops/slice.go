package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// SliceTokens returns tokens from..to-1 of every sample of x [B, N, D]:
// [B, to-from, D].
func SliceTokens(g *core.Graph, x *core.Node, from, to int) *core.Node {
	if !g.Check("slice_tokens", fmt.Sprintf("x [B, N, D] with 0 <= %d < %d <= N", from, to), []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) == 3 && from >= 0 && from < to && to <= x.Shape()[1]
	}) {
		return g.Invalid()
	}
	s := x.Shape()
	return cut(g, "slice_tokens", x, s[0], s[1]*s[2], from*s[2], to*s[2], tensor.Shape{s[0], to - from, s[2]})
}

// SliceRows returns rows from..to-1 of the first dimension of x [R, ...].
func SliceRows(g *core.Graph, x *core.Node, from, to int) *core.Node {
	if !g.Check("slice_rows", fmt.Sprintf("x [R, ...] with 0 <= %d < %d <= R", from, to), []*core.Node{x}, nil, func() bool {
		return len(x.Shape()) > 0 && from >= 0 && from < to && to <= x.Shape()[0]
	}) {
		return g.Invalid()
	}
	shape := x.Shape().Clone()
	shape[0] = to - from
	row := x.Shape().Size() / x.Shape()[0]
	return cut(g, "slice_rows", x, 1, x.Shape().Size(), from*row, to*row, shape)
}

// cut copies the columns [from, to) of x seen as [rows, n].
func cut(g *core.Graph, name string, x *core.Node, rows, n, from, to int, shape tensor.Shape) *core.Node {
	width := to - from
	return g.Apply(&core.Op{
		Name: name, In: []*core.Node{x}, AddsGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			for r := range rows {
				f32.Copy(c.Pool, c.Out[0][r*width:(r+1)*width], c.In[0][r*n+from:r*n+to])
			}
		},
		Backward: func(c *core.Call) {
			if !c.Add[0] {
				f32.Fill(c.Pool, c.GradIn[0], 0)
			}
			for r := range rows {
				d := c.GradIn[0][r*n+from : r*n+to]
				f32.Add(c.Pool, d, d, c.GradOut[0][r*width:(r+1)*width])
			}
		},
	}, shape)[0]
}

// ConcatTokens joins the tokens of several [B, N_i, D] into [B, ΣN_i, D].
func ConcatTokens(g *core.Graph, xs ...*core.Node) *core.Node {
	if !g.Check("concat_tokens", "nodes [B, N_i, D]", atLeastOne(xs), nil, func() bool {
		for _, x := range xs {
			if len(x.Shape()) != 3 || x.Shape()[0] != xs[0].Shape()[0] || x.Shape()[2] != xs[0].Shape()[2] {
				return false
			}
		}
		return true
	}) {
		return g.Invalid()
	}
	b, d := xs[0].Shape()[0], xs[0].Shape()[2]
	n := 0
	for _, x := range xs {
		n += x.Shape()[1]
	}
	return join(g, "concat_tokens", xs, b, tensor.Shape{b, n, d})
}

// Concat joins nodes [R_i, ...] along the first dimension.
func Concat(g *core.Graph, xs ...*core.Node) *core.Node {
	if !g.Check("concat", "nodes [R_i, ...] of equal further dimensions", atLeastOne(xs), nil, func() bool {
		for _, x := range xs {
			if len(x.Shape()) == 0 || !x.Shape()[1:].Equal(xs[0].Shape()[1:]) {
				return false
			}
		}
		return true
	}) {
		return g.Invalid()
	}
	shape := xs[0].Shape().Clone()
	shape[0] = 0
	for _, x := range xs {
		shape[0] += x.Shape()[0]
	}
	return join(g, "concat", xs, 1, shape)
}

// join puts the columns of the nodes, each seen as [rows, n_i], side by side.
func join(g *core.Graph, name string, xs []*core.Node, rows int, shape tensor.Shape) *core.Node {
	n := shape.Size() / rows
	type part struct{ from, width int }
	var parts []part
	at := 0
	for _, x := range xs {
		w := x.Shape().Size() / rows
		parts = append(parts, part{at, w})
		at += w
	}
	return g.Apply(&core.Op{
		Name: name, In: append([]*core.Node{}, xs...),
		Forward: func(c *core.Call) {
			for i, p := range parts {
				for r := range rows {
					f32.Copy(c.Pool, c.Out[0][r*n+p.from:][:p.width], c.In[i][r*p.width:(r+1)*p.width])
				}
			}
		},
		Backward: func(c *core.Call) {
			for i, p := range parts {
				if c.GradIn[i] == nil {
					continue
				}
				for r := range rows {
					f32.Copy(c.Pool, c.GradIn[i][r*p.width:(r+1)*p.width], c.GradOut[0][r*n+p.from:][:p.width])
				}
			}
		},
	}, shape)[0]
}

// atLeastOne makes an empty list of operands fail as a missing one.
func atLeastOne(xs []*core.Node) []*core.Node {
	if len(xs) == 0 {
		return []*core.Node{nil}
	}
	return xs
}
