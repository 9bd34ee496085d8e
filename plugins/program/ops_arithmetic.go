package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/tensor"
)

var arithmeticBuilders = map[string]builder{
	"add":     func(c *call) []*core.Node { return []*core.Node{ops.Add(c.g, c.input("a"), c.input("b"))} },
	"add_row": func(c *call) []*core.Node { return []*core.Node{ops.AddRow(c.g, c.input("x"), c.input("row"))} },
	"mul":     func(c *call) []*core.Node { return []*core.Node{ops.Mul(c.g, c.input("a"), c.input("b"))} },
	"scale": func(c *call) []*core.Node {
		x := c.input("x")
		if by := c.optional("factor"); by != nil {
			x = ops.ScaleBy(c.g, x, by)
			if c.float("factor") == 1 {
				return []*core.Node{x}
			}
		}
		return []*core.Node{ops.Scale(c.g, x, c.float("factor"))}
	},
	"sum":  func(c *call) []*core.Node { return []*core.Node{ops.Sum(c.g, c.input("x"))} },
	"mean": func(c *call) []*core.Node { return []*core.Node{ops.Mean(c.g, c.input("x"))} },
	"exp":  func(c *call) []*core.Node { return []*core.Node{ops.Exp(c.g, c.input("x"))} },
	"matmul": func(c *call) []*core.Node {
		return []*core.Node{ops.MatMul(c.g, c.input("a"), c.input("b"), c.bool("transpose_a"), c.bool("transpose_b"))}
	},
	"reshape": func(c *call) []*core.Node {
		x := c.input("x")
		return []*core.Node{c.g.Reshape(x, reshaped(c, x.Shape()))}
	},
	"concat": func(c *call) []*core.Node {
		return []*core.Node{concat(c, c.axis("axis", c.input("x")), c.in["x"])}
	},
	"view_rows": func(c *call) []*core.Node {
		x, view, views := c.input("x"), c.int("view"), c.int("views")
		if len(x.Shape()) == 0 || x.Shape()[0]%views != 0 {
			c.fail("rows of view %d of %d do not fit x", view, views)
		}
		rows := x.Shape()[0] / views
		return []*core.Node{ops.SliceRows(c.g, x, view*rows, (view+1)*rows)}
	},
	"row_numbers": func(c *call) []*core.Node {
		x := c.input("x")
		if len(x.Shape()) == 0 {
			c.fail("a single number has no rows")
		}
		n := c.g.InputInt("row_numbers."+c.node.Name, tensor.Shape{x.Shape()[0]})
		for i := range n.Ints() {
			n.Ints()[i] = int32(i)
		}
		return []*core.Node{n}
	},
	"stop_gradient": func(c *call) []*core.Node { return []*core.Node{c.g.StopGradient(c.input("x"))} },
}

// reshaped fills in the zeros and the -1 of a shape attribute.
func reshaped(c *call, from tensor.Shape) tensor.Shape {
	asked := c.ints("shape")
	to, infer, known := make(tensor.Shape, len(asked)), -1, 1
	for i, d := range asked {
		switch {
		case d == 0 && i < len(from):
			d = from[i]
		case d == -1 && infer < 0:
			infer = i
			continue
		case d < 1:
			c.fail("shape %v: dimension %d cannot be %d", asked, i, d)
		}
		if d > from.Size() {
			c.fail("shape %v does not hold the %d elements of x", asked, from.Size())
		}
		to[i] = d
		known *= d
	}
	if infer >= 0 && known > 0 && from.Size()%known == 0 {
		to[infer] = from.Size() / known
	}
	if to.Size() != from.Size() {
		c.fail("shape %v does not hold the %d elements of x", asked, from.Size())
	}
	return to
}

// concat joins along any axis: the dimensions before it are seen as samples and those behind it as
// channels.
func concat(c *call, axis int, xs []*core.Node) *core.Node {
	first := xs[0].Shape()
	out := first.Clone()
	out[axis] = 0
	before, after := first[:axis].Size(), first[axis+1:].Size()
	var parts []*core.Node
	for i, x := range xs {
		s := x.Shape()
		if len(s) != len(first) || !s[:axis].Equal(first[:axis]) || !s[axis+1:].Equal(first[axis+1:]) {
			c.fail("x number %d does not fit the first one but for axis %d", i, axis)
		}
		out[axis] += s[axis]
		parts = append(parts, c.g.Reshape(x, tensor.Shape{before, s[axis], after}))
	}
	return c.g.Reshape(ops.ConcatTokens(c.g, parts...), out)
}
