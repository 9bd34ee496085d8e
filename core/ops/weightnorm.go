package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
)

// WeightNorm is weight normalisation (Salimans and Kingma, arXiv:1602.07868): row
// o of the result is gain[o]·v[o]/‖v[o]‖ for v [O, ...] and gain of O elements
// (nil: ones). A row of zeros has no direction and gives NaN.
func WeightNorm(g *core.Graph, v, gain *core.Node) *core.Node {
	if !g.Check("weight_norm", "v [O, ...], gain of O elements or nil", []*core.Node{v}, []*core.Node{gain}, func() bool {
		return len(v.Shape()) > 1 && !v.Integer() && (gain == nil || !gain.Integer() && gain.Shape().Size() == v.Shape()[0])
	}) {
		return g.Invalid()
	}
	rows := v.Shape()[0]
	n := v.Shape().Size() / rows
	kernel := func(c *core.Call) f32.WeightNorm {
		return f32.WeightNorm{Rows: rows, N: n, V: c.In[0], Gain: c.In[1], Norms: c.Save[0]}
	}
	return g.Apply(&core.Op{
		Name: "weight_norm", In: []*core.Node{v, gain}, KeepIn: core.OperandSet(0, 1), Save: []int{rows},
		Forward: func(c *core.Call) { f32.WeightNormForward(c.Pool, kernel(c), c.Out[0]) },
		Backward: func(c *core.Call) {
			f32.WeightNormBackward(c.Pool, kernel(c), c.GradOut[0], c.GradIn[0], c.GradIn[1])
		},
	}, v.Shape())[0]
}
