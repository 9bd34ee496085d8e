package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// LayerNorm is (x - mean)/sqrt(var + eps)·gamma + beta over the last dimension
// of x [..., D], with the biased variance (Ba et al., arXiv:1607.06450). gamma
// and beta are [D] or nil.
func LayerNorm(g *core.Graph, x, gamma, beta *core.Node, eps float64) *core.Node {
	if !g.Check("layer_norm", "x [..., D], gamma [D] or nil, beta [D] or nil", []*core.Node{x}, []*core.Node{gamma, beta}, func() bool {
		d := tensor.Shape{x.Shape().Last()}
		return len(x.Shape()) > 0 && (gamma == nil || gamma.Shape().Equal(d)) && (beta == nil || beta.Shape().Equal(d))
	}) {
		return g.Invalid()
	}
	rows, n := x.Shape().Rows(), x.Shape().Last()
	kernel := func(c *core.Call) f32.LayerNorm {
		return f32.LayerNorm{Rows: rows, N: n, X: c.In[0], Gamma: c.In[1], Beta: c.In[2], Eps: float32(eps), Stats: c.Save[0]}
	}
	o := &core.Op{
		Name: "layer_norm", In: []*core.Node{x, gamma, beta},
		KeepIn: core.OperandSet(0, 1), AddsGrad: core.OperandSet(0),
		Save: []int{2 * rows}, // mean and reciprocal deviation
		Forward: func(c *core.Call) {
			f32.LayerNormForward(c.Pool, kernel(c), c.Out[0])
		},
		Backward: func(c *core.Call) {
			dx := c.GradIn[0]
			if dx == nil {
				dx = c.Work
			}
			f32.LayerNormBackward(c.Pool, kernel(c), c.GradOut[0], dx, c.GradIn[1], c.GradIn[2], c.Add[0])
		},
	}
	if !o.WantsGrad(0) {
		o.WorkBack = rows * n
	}
	return g.Apply(o, x.Shape())[0]
}
