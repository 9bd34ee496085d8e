package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

var arithmeticOperators = []Operator{
	{
		Name: pb.OpAdd, Summary: "a + b.",
		Inputs: []Input{{Name: "a", Shape: "[…]"}, {Name: "b", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Add(c.g, c.input("a"), c.input("b"))} },
	},
	{
		Name: pb.OpAddRow, Summary: "x plus one row, added to each of its rows.",
		Inputs:  []Input{{Name: "x", Shape: "[…, D]"}, {Name: "row", Shape: "[D] or [1, D]"}},
		Outputs: []Output{{Name: "y", Shape: "[…, D]"}},
		build:   func(c *call) []*core.Node { return []*core.Node{ops.AddRow(c.g, c.input("x"), c.input("row"))} },
	},
	{
		Name: pb.OpMul, Summary: "a · b, element by element.",
		Inputs: []Input{{Name: "a", Shape: "[…]"}, {Name: "b", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Mul(c.g, c.input("a"), c.input("b"))} },
	},
	{
		Name: pb.OpScale, Summary: "x times a constant, and times a scheduled number if one is given.",
		Inputs: []Input{
			{Name: "x", Shape: "[…]"}, {Name: "factor", Shape: "[]", Optional: true, Doc: "no gradient flows into it"},
		},
		Attributes: []Attribute{{Name: "factor", Type: Float, Default: 1.0}},
		Outputs:    []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node {
			x := c.input("x")
			if by := c.optional("factor"); by != nil {
				x = ops.ScaleBy(c.g, x, by)
				if c.float("factor") == 1 {
					return []*core.Node{x}
				}
			}
			return []*core.Node{ops.Scale(c.g, x, c.float("factor"))}
		},
	},
	{
		Name: pb.OpSum, Summary: "Sum of all elements.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Sum(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpMean, Summary: "Mean of all elements.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Mean(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpExp, Summary: "e to the power of x.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Exp(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpMatMul, Summary: "Matrix product, of the transposes where asked for.",
		Inputs: []Input{{Name: "a", Shape: "[M, K]"}, {Name: "b", Shape: "[K, N]"}},
		Attributes: []Attribute{
			{Name: "transpose_a", Type: Bool, Default: false, Doc: "a is [K, M]"}, {Name: "transpose_b", Type: Bool, Default: false, Doc: "b is [N, K]"},
		},
		Outputs: []Output{{Name: "y", Shape: "[M, N]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.MatMul(c.g, c.input("a"), c.input("b"), c.bool("transpose_a"), c.bool("transpose_b"))}
		},
	},
	{
		Name: pb.OpReshape, Summary: "The same elements in another shape.",
		Inputs:     []Input{{Name: "x", Shape: "[…]", Either: true}},
		Attributes: []Attribute{{Name: "shape", Type: Ints, Required: true, Doc: "0 keeps the dimension at that place; one -1 is inferred"}},
		Outputs:    []Output{{Name: "y", Shape: "shape"}},
		build: func(c *call) []*core.Node {
			x := c.input("x")
			return []*core.Node{c.g.Reshape(x, reshaped(c, x.Shape()))}
		},
	},
	{
		Name: pb.OpConcat, Summary: "Tensors side by side along an axis; the other axes must agree.",
		Inputs:     []Input{{Name: "x", Shape: "[…]", Repeated: true}},
		Attributes: []Attribute{{Name: "axis", Type: Int, Default: 0, Doc: "negative: from the end"}},
		Outputs:    []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{concat(c, c.axis("axis", c.input("x")), c.in["x"])}
		},
	},
	{
		Name: pb.OpViewRows, Summary: "The rows of one view out of a pass over several, which come view after view.",
		Inputs: []Input{{Name: "x", Shape: "[S·B, …]"}},
		Attributes: []Attribute{
			{Name: "view", Type: Int, Required: true, Doc: "from 0"}, {Name: "views", Type: Int, Required: true, Doc: "S; must divide the rows"},
		},
		Outputs: []Output{{Name: "y", Shape: "[B, …]"}},
		build: func(c *call) []*core.Node {
			x, view, views := c.input("x"), c.int("view"), c.int("views")
			if len(x.Shape()) == 0 || views < 1 || view < 0 || view >= views || x.Shape()[0]%views != 0 {
				c.fail("rows of view %d of %d do not fit x", view, views)
			}
			rows := x.Shape()[0] / views
			return []*core.Node{ops.SliceRows(c.g, x, view*rows, (view+1)*rows)}
		},
	},
	{
		Name: pb.OpRowNumbers, Summary: "The number of each row of x, from 0: the labels of a contrastive loss whose positives lie on the diagonal.",
		Inputs:  []Input{{Name: "x", Shape: "[R, …]", Doc: "only its first dimension counts"}},
		Outputs: []Output{{Name: "y", Shape: "[R]", Doc: "integers"}},
		build: func(c *call) []*core.Node {
			x := c.input("x")
			if len(x.Shape()) == 0 {
				c.fail("a single number has no rows")
			}
			n := c.g.InputInt("row_numbers."+c.node.GetName(), tensor.Shape{x.Shape()[0]})
			for i := range n.Ints() {
				n.Ints()[i] = int32(i)
			}
			return []*core.Node{n}
		},
	},
	{
		Name: pb.OpStopGradient, Summary: "x, with no gradient behind it.",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node { return []*core.Node{c.g.StopGradient(c.input("x"))} },
	},
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

// concat joins along any axis: the dimensions before it are seen as samples and those behind it as channels.
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
