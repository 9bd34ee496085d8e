package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// SinkhornOptions are the constants of Sinkhorn.
type SinkhornOptions struct {
	Epsilon    float64 // weight of the entropy, that scores are divided by
	Iterations int
}

// Sinkhorn is the assignment of samples to prototypes of SwAV (Caron et al., arXiv:2006.09882):
// shares that add up to the same for each prototype over all samples. scores are those of the
// batch, [B, K]; earlier [L, K], which may be nil, are those of a queue of earlier samples, newest
// first. Those count once the last row of earlier is not all zero: the queue is full. The result
// [B, K] has rows of sum 1 and passes on no gradient. Of the built-in objectives only SwAV needs it.
func Sinkhorn(g *core.Graph, scores, earlier *core.Node, o SinkhornOptions) *core.Node {
	if !g.Check("sinkhorn", "scores [B, K], earlier scores [L, K] or nil, epsilon > 0, iterations > 0", []*core.Node{scores}, []*core.Node{earlier}, func() bool {
		return len(scores.Shape()) == 2 && !scores.Integer() && o.Epsilon > 0 && o.Iterations > 0 &&
			(earlier == nil || len(earlier.Shape()) == 2 && !earlier.Integer() && earlier.Shape()[1] == scores.Shape()[1])
	}) {
		return g.Invalid()
	}
	b, k := scores.Shape()[0], scores.Shape()[1]
	rows := b
	if earlier != nil {
		rows += earlier.Shape()[0]
	}
	return g.Apply(&core.Op{
		Name: "sinkhorn", In: []*core.Node{scores, earlier}, NoGrad: core.AllOperands, Work: rows*(2*k+1) + k,
		FLOPs: 4 * float64(o.Iterations) * float64(rows) * float64(k),
		Forward: func(c *core.Call) {
			all, e, u, v := c.Work[:rows*k], c.Work[rows*k:2*rows*k], c.Work[2*rows*k:2*rows*k+rows], c.Work[2*rows*k+rows:]
			from := 0
			if c.In[1] != nil && filled(c.In[1][len(c.In[1])-k:]) {
				from = copy(all, c.In[1])
			}
			n := (from + copy(all[from:], c.In[0])) / k
			f32.SinkhornAssign(c.Pool, n, k, all[:n*k], o.Epsilon, o.Iterations, e[:n*k], u[:n], v, c.Out[0])
		},
	}, tensor.Shape{b, k})[0]
}

// filled reports whether any value of a row is not zero.
func filled(row []float32) bool {
	for _, v := range row {
		if v != 0 {
			return true
		}
	}
	return false
}
