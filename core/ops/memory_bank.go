package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// SampledDot is the product of each row of x [B, D] with some rows of table [N, D]: out[b, k] =
// x[b]·table[rows[b, k]] for integers rows [B, K]; out is [B, K]. table takes no gradient. A row
// outside 0..N-1 is an error of Run. Of the built-in objectives only InstDisc needs it, for the
// negatives of its memory bank.
func SampledDot(g *core.Graph, x, table, rows *core.Node) *core.Node {
	if !g.Check("sampled_dot", "x [B, D], table [N, D], integers rows [B, K]", []*core.Node{x, table, rows}, nil, func() bool {
		return len(x.Shape()) == 2 && !x.Integer() && len(table.Shape()) == 2 && !table.Integer() && table.Shape()[1] == x.Shape()[1] &&
			rows.Integer() && len(rows.Shape()) == 2 && rows.Shape()[0] == x.Shape()[0]
	}) {
		return g.Invalid()
	}
	b, d, n, k := x.Shape()[0], x.Shape()[1], table.Shape()[0], rows.Shape()[1]
	return g.Apply(&core.Op{
		Name: "sampled_dot", In: []*core.Node{x, table, rows}, NoGrad: core.OperandSet(1, 2), KeepIn: core.OperandSet(1),
		FLOPs: 2 * float64(b) * float64(k) * float64(d),
		Forward: func(c *core.Call) {
			if c.Err = checkRange("row", c.Ints[2], n); c.Err == nil {
				f32.SampledDots(c.Pool, b, k, d, c.In[0], c.In[1], c.Ints[2], c.Out[0])
			}
		},
		Backward: func(c *core.Call) { f32.SampledSums(c.Pool, b, k, d, c.GradOut[0], c.In[1], c.Ints[2], c.GradIn[0]) },
	}, tensor.Shape{b, k})[0]
}

// nceGuard is added to the denominators of NCE, as the official code does.
const nceGuard = 1e-7

// NCE is noise-contrastive estimation (Gutmann and Hyvärinen 2010) as Wu et al., arXiv:1805.01978,
// use it: a sample is told from K others among N, drawn uniformly. logits [B, 1+K] are the
// unnormalized log-probabilities of the sample itself and of the others. With P = exp(logits)/Z and
// c = K/N the loss, a scalar, is
//
//	-1/B · Σ_b (log P[b,0]/(P[b,0] + c + 1e-7) + Σ_k log c/(P[b,k] + c + 1e-7))
//
// constant holds Z in one element. Where it is negative, Z is estimated: N times the mean of
// exp(logits). Z is a constant of the gradient either way. The further results pass on no gradient:
// P, [B, 1+K], and the Z that was used, a scalar. Of the built-in objectives only InstDisc needs it.
func NCE(g *core.Graph, logits, constant *core.Node, samples int) (loss, probability, z *core.Node) {
	if !g.Check("nce", "logits [B, 1+K], constant of one element, at least one sample", []*core.Node{logits, constant}, nil, func() bool {
		return len(logits.Shape()) == 2 && !logits.Integer() && logits.Shape()[1] > 1 && !constant.Integer() && constant.Shape().Size() == 1 && samples > 0
	}) {
		return g.Invalid(), g.Invalid(), g.Invalid()
	}
	b, n := logits.Shape()[0], logits.Shape()[1]
	noise := float64(n-1) / float64(samples)
	out := g.Apply(&core.Op{
		Name: "nce", In: []*core.Node{logits, constant}, NoGrad: core.OperandSet(1), KeepOut: core.OperandSet(1), Work: b,
		Forward: func(c *core.Call) {
			c.Out[2][0] = c.In[1][0]
			if c.In[1][0] < 0 {
				c.Out[2][0] = float32(meanExp(c, b, n) * float64(samples))
			}
			constant := float64(c.Out[2][0])
			c.EachRow(b, func(r int) {
				x, p, sum := c.In[0][r*n:][:n], c.Out[1][r*n:][:n], 0.0
				for k, v := range x {
					share := math.Exp(float64(v)) / constant
					p[k] = float32(share)
					if k == 0 {
						sum += math.Log1p((noise + nceGuard) / share)
					} else {
						sum += math.Log1p((share + nceGuard) / noise)
					}
				}
				c.Work[r] = float32(sum)
			})
			c.Out[0][0] = float32(f32.Sum(c.Pool, c.Work) / float64(b))
		},
		Backward: func(c *core.Call) {
			scale := float64(c.GradOut[0][0]) / float64(b)
			c.EachRow(b, func(r int) {
				p, dx := c.Out[1][r*n:][:n], c.GradIn[0][r*n:][:n]
				for k, v := range p {
					total := float64(v) + noise + nceGuard
					if k == 0 {
						dx[k] = float32(-scale * (noise + nceGuard) / total)
					} else {
						dx[k] = float32(scale * float64(v) / total)
					}
				}
			})
		},
	}, tensor.Shape{}, tensor.Shape{b, n}, tensor.Shape{})
	return out[0], g.StopGradient(out[1]), g.StopGradient(out[2])
}

// meanExp is the mean of the exponentials of operand 0, [b, n].
func meanExp(c *core.Call, b, n int) float64 {
	c.EachRow(b, func(r int) {
		sum := 0.0
		for _, v := range c.In[0][r*n:][:n] {
			sum += math.Exp(float64(v))
		}
		c.Work[r] = float32(sum / float64(n))
	})
	return f32.Sum(c.Pool, c.Work) / float64(b)
}
