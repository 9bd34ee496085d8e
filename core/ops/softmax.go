package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// Softmax is softmax(x) over the last dimension.
func Softmax(g *core.Graph, x *core.Node) *core.Node {
	return rowwise(g, "softmax", x, f32.SoftmaxRows, f32.SoftmaxRowsBackward)
}

// LogSoftmax is log softmax(x) over the last dimension, in the stable form.
func LogSoftmax(g *core.Graph, x *core.Node) *core.Node {
	return rowwise(g, "log_softmax", x, f32.LogSoftmaxRows, f32.LogSoftmaxRowsBackward)
}

func rowwise(g *core.Graph, name string, x *core.Node,
	forward func(p *f32.Pool, rows, n int, x, y []float32, scale float32),
	backward func(p *f32.Pool, rows, n int, y, dy, dx []float32, scale float32)) *core.Node {
	if !g.Check(name, "x [..., C]", []*core.Node{x}, nil, func() bool { return len(x.Shape()) > 0 && !x.Integer() }) {
		return g.Invalid()
	}
	rows, n := x.Shape().Rows(), x.Shape().Last()
	return g.Apply(&core.Op{
		Name: name, In: []*core.Node{x}, KeepOut: core.OperandSet(0),
		Forward:  func(c *core.Call) { forward(c.Pool, rows, n, c.In[0], c.Out[0], 1) },
		Backward: func(c *core.Call) { backward(c.Pool, rows, n, c.Out[0], c.GradOut[0], c.GradIn[0], 1) },
	}, x.Shape())[0]
}

// SoftmaxCrossEntropy is the mean over rows of -Σ target·log softmax(logits) for
// logits [R, C]. target is either integer labels [R] or a matrix [R, C] whose
// rows need not sum to one; it takes no gradient. The second result holds the
// losses per row, [R].
func SoftmaxCrossEntropy(g *core.Graph, logits, target *core.Node) (loss, perRow *core.Node) {
	if !g.Check("softmax_cross_entropy", "logits [R, C], target integers [R] or floats [R, C]", []*core.Node{logits, target}, nil, func() bool {
		if len(logits.Shape()) != 2 || logits.Integer() {
			return false
		}
		if target.Integer() {
			return target.Shape().Equal(logits.Shape()[:1])
		}
		return target.Shape().Equal(logits.Shape())
	}) {
		return g.Invalid(), g.Invalid()
	}
	rows, n := logits.Shape()[0], logits.Shape()[1]
	kernel := func(c *core.Call) f32.CrossEntropy {
		return f32.CrossEntropy{Rows: rows, N: n, X: c.In[0], Scale: 1, Labels: c.Ints[1], Target: c.In[1], LSE: c.Save[0]}
	}
	out := g.Apply(&core.Op{
		Name: "softmax_cross_entropy", In: []*core.Node{logits, target}, NoGrad: core.OperandSet(1), KeepIn: core.OperandSet(0, 1),
		Save: []int{rows}, WorkBack: rows,
		Forward: func(c *core.Call) {
			for r, l := range c.Ints[1] {
				if l < 0 || int(l) >= n {
					c.Err = fmt.Errorf("label %d of row %d lies outside 0..%d", l, r, n-1)
					return
				}
			}
			f32.CrossEntropyForward(c.Pool, kernel(c), c.Out[1])
			c.Out[0][0] = float32(f32.Sum(c.Pool, c.Out[1]) / float64(rows))
		},
		Backward: func(c *core.Call) {
			clear(c.Work)
			for r := range c.Work {
				if c.GradOut[0] != nil {
					c.Work[r] = c.GradOut[0][0] / float32(rows)
				}
				if c.GradOut[1] != nil {
					c.Work[r] += c.GradOut[1][r]
				}
			}
			f32.CrossEntropyBackward(c.Pool, kernel(c), c.Work, c.GradIn[0])
		},
	}, tensor.Shape{}, tensor.Shape{rows})
	return out[0], out[1]
}

// L2Normalize divides each innermost vector by max(‖x‖, eps).
func L2Normalize(g *core.Graph, x *core.Node, eps float64) *core.Node {
	if !g.Check("l2_normalize", "x [..., D]", []*core.Node{x}, nil, func() bool { return len(x.Shape()) > 0 && !x.Integer() }) {
		return g.Invalid()
	}
	rows, n := x.Shape().Rows(), x.Shape().Last()
	return g.Apply(&core.Op{
		Name: "l2_normalize", In: []*core.Node{x}, KeepOut: core.OperandSet(0), Save: []int{rows},
		Forward: func(c *core.Call) {
			f32.L2NormalizeRows(c.Pool, rows, n, c.In[0], c.Out[0], c.Save[0], float32(eps))
		},
		Backward: func(c *core.Call) {
			f32.L2NormalizeRowsBackward(c.Pool, rows, n, c.Out[0], c.Save[0], c.GradOut[0], c.GradIn[0], float32(eps))
		},
	}, x.Shape())[0]
}
