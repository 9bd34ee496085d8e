package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// choice records an operator whose first result is integers, one for each of
// rows. It takes no gradient. The function writes the integers; the node's
// float32 memory gets them too, so that they can be read like any value.
func choice(g *core.Graph, name string, in []*core.Node, work int, shape tensor.Shape, choose func(c *core.Call, out []int32)) *core.Node {
	o := &core.Op{Name: name, In: in, NoGrad: core.AllOperands, Work: work}
	numbers := make([]int32, shape.Size())
	o.Forward = func(c *core.Call) {
		choose(c, numbers)
		for i, v := range numbers {
			c.Out[0][i] = float32(v)
		}
	}
	return g.ApplyIntegers(o, shape, numbers)
}

// ArgMax is the place of the largest value of each innermost vector of x [...,
// C], as integers [...]; of equal ones the first.
func ArgMax(g *core.Graph, x *core.Node) *core.Node {
	if !g.Check("arg_max", "x [..., C]", []*core.Node{x}, nil, func() bool { return len(x.Shape()) > 0 && !x.Integer() }) {
		return g.Invalid()
	}
	n := x.Shape().Last()
	return choice(g, "arg_max", []*core.Node{x}, 0, x.Shape()[:len(x.Shape())-1].Clone(), func(c *core.Call, out []int32) {
		c.EachRow(len(out), func(r int) { out[r] = int32(argMax(c.In[0][r*n:][:n])) })
	})
}

func argMax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// nearestChunk is how many vectors NearestRow compares with the table at a time.
const nearestChunk = 1 << 10

// NearestRow is the row of table [K, D] that lies nearest to each innermost
// vector of x [..., D], as integers [...]; of equally near ones the first. It is
// the choice of a vector quantiser (van den Oord et al., arXiv:1711.00937).
func NearestRow(g *core.Graph, x, table *core.Node) *core.Node {
	if !g.Check("nearest_row", "x [..., D], table [K, D]", []*core.Node{x, table}, nil, func() bool {
		return len(x.Shape()) > 0 && !x.Integer() && len(table.Shape()) == 2 && table.Shape()[1] == x.Shape().Last()
	}) {
		return g.Invalid()
	}
	k, d := table.Shape()[0], table.Shape()[1]
	chunk := min(nearestChunk, x.Shape().Rows())
	return choice(g, "nearest_row", []*core.Node{x, table}, (chunk+1)*k, x.Shape()[:len(x.Shape())-1].Clone(), func(c *core.Call, out []int32) {
		// The nearest row has the largest x·e - |e|²/2.
		scores, half := c.Work[:chunk*k], c.Work[chunk*k:]
		for i := range k {
			sum := 0.0
			for _, v := range c.In[1][i*d:][:d] {
				sum += float64(v) * float64(v)
			}
			half[i] = float32(-sum / 2)
		}
		for at := 0; at < len(out); at += chunk {
			n := min(chunk, len(out)-at)
			f32.Gemm(c.Pool, f32.Dense(n, d, c.In[0][at*d:]), f32.Dense(k, d, c.In[1]).T(), f32.Dense(n, k, scores), false, &f32.Epilogue{Bias: half})
			c.EachRow(n, func(r int) { out[at+r] = int32(argMax(scores[r*k:][:k])) })
		}
	})
}

// Accuracy is the share of the rows of logits [R, C] whose largest value stands
// at the integer label [R], each row counted with its weight [R] (nil: 1). It
// takes no gradient.
func Accuracy(g *core.Graph, logits, labels, weights *core.Node) *core.Node {
	if !g.Check("accuracy", "logits [R, C], integers labels [R], weights [R] or nil", []*core.Node{logits, labels}, []*core.Node{weights}, func() bool {
		return len(logits.Shape()) == 2 && !logits.Integer() && labels.Integer() && labels.Shape().Equal(logits.Shape()[:1]) &&
			(weights == nil || !weights.Integer() && weights.Shape().Equal(labels.Shape()))
	}) {
		return g.Invalid()
	}
	rows, n := logits.Shape()[0], logits.Shape()[1]
	return g.Apply(&core.Op{
		Name: "accuracy", In: []*core.Node{logits, labels, weights}, NoGrad: core.AllOperands, Work: rows,
		Forward: func(c *core.Call) {
			c.EachRow(rows, func(r int) {
				c.Work[r] = 0
				if argMax(c.In[0][r*n:][:n]) == int(c.Ints[1][r]) {
					c.Work[r] = 1
				}
			})
			right, all := 0.0, 0.0
			for r, hit := range c.Work {
				w := 1.0
				if c.In[2] != nil {
					w = float64(c.In[2][r])
				}
				right, all = right+w*float64(hit), all+w
			}
			c.Out[0][0] = 0
			if all > 0 {
				c.Out[0][0] = float32(right / all)
			}
		},
	}, tensor.Shape{})[0]
}

// GatherRows picks rows of a table: out[i] = table[rows[i]] for table [K, ...]
// and integers rows [...]; out is the shape of rows followed by that of a row. A
// number outside 0..K-1 is an error of Run.
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
			for i, v := range c.Ints[1] {
				if v < 0 || int(v) >= k {
					c.Err = fmt.Errorf("row %d, at place %d, lies outside 0..%d", v, i, k-1)
					return
				}
			}
			f32.GatherRows(c.Pool, n, d, c.In[0], c.Ints[1], c.Out[0])
		},
		Backward: func(c *core.Call) {
			if !c.Add[0] {
				clear(c.GradIn[0])
			}
			f32.ScatterAddRows(c.Pool, n, d, c.GradOut[0], c.Ints[1], c.GradIn[0])
		},
	}, append(rows.Shape().Clone(), table.Shape()[1:]...))[0]
}

// ScaleRows multiplies row r of x [R, ...] by factor[r], factor [R]; no gradient
// flows into the factors.
func ScaleRows(g *core.Graph, x, factor *core.Node) *core.Node {
	if !g.Check("scale_rows", "x [R, ...], factor [R]", []*core.Node{x, factor}, nil, func() bool {
		return len(x.Shape()) > 0 && !x.Integer() && !factor.Integer() && factor.Shape().Equal(x.Shape()[:1])
	}) {
		return g.Invalid()
	}
	rows, n := x.Shape()[0], x.Shape()[1:].Size()
	return g.Apply(&core.Op{
		Name: "scale_rows", In: []*core.Node{x, factor}, NoGrad: core.OperandSet(1), KeepIn: core.OperandSet(1),
		Forward:  func(c *core.Call) { f32.ScaleRows(c.Pool, rows, n, c.In[0], c.In[1], 1, c.Out[0]) },
		Backward: func(c *core.Call) { f32.ScaleRows(c.Pool, rows, n, c.GradOut[0], c.In[1], 1, c.GradIn[0]) },
	}, x.Shape())[0]
}
