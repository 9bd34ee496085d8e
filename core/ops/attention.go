package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// Attention is multi-head self-attention (Vaswani et al., arXiv:1706.03762) on
// packed projections qkv [B, N, 3D], of which each third is split into heads of
// contiguous channels: softmax(q·kᵀ/sqrt(D/heads) + bias)·v, heads side by side,
// [B, N, D]. bias is [heads, N, N] or nil; with causal a token sees no later one.
func Attention(g *core.Graph, qkv *core.Node, heads int, bias *core.Node, causal bool) *core.Node {
	if !fitsAttention(g, "attention", qkv, heads, bias) {
		return g.Invalid()
	}
	b, n, d := qkv.Shape()[0], qkv.Shape()[1], qkv.Shape()[2]/3
	return g.Apply(&core.Op{
		Name: "attention", In: []*core.Node{qkv, bias},
		KeepIn: core.OperandSet(0, 1), KeepOut: core.OperandSet(0),
		Save:  []int{f32.AttentionStats(b, n, heads)},
		FLOPs: 2 * product(b*n, n, d),
		Forward: func(c *core.Call) {
			a := attentionKernel(c, qkv.Shape(), heads, causal)
			a.Out, a.Stats = c.Out[0], c.Save[0]
			f32.AttentionForward(c.Pool, a)
		},
		Backward: func(c *core.Call) {
			dqkv := c.GradIn[0]
			if dqkv == nil {
				dqkv = c.Work
			}
			a := attentionKernel(c, qkv.Shape(), heads, causal)
			a.Out, a.Stats = c.Out[0], c.Save[0]
			f32.AttentionBackward(c.Pool, a, c.GradOut[0], dqkv, c.GradIn[1])
		},
		WorkBack: unless(qkv.NeedsGrad(), 3*b*n*d),
	}, tensor.Shape{b, n, d})[0]
}

// AttentionProbabilities returns the softmax weights [B, heads, N, N] of
// Attention, for pictures and tests. It has no gradient.
func AttentionProbabilities(g *core.Graph, qkv *core.Node, heads int, bias *core.Node, causal bool) *core.Node {
	if !fitsAttention(g, "attention_probabilities", qkv, heads, bias) {
		return g.Invalid()
	}
	return g.Apply(&core.Op{
		Name: "attention_probabilities", In: []*core.Node{qkv, bias}, NoGrad: core.OperandSet(0, 1),
		Forward: func(c *core.Call) {
			f32.AttentionProbabilities(c.Pool, attentionKernel(c, qkv.Shape(), heads, causal), c.Out[0])
		},
	}, tensor.Shape{qkv.Shape()[0], heads, qkv.Shape()[1], qkv.Shape()[1]})[0]
}

// attentionKernel describes attention on in[0], qkv [B, N, 3D], and in[1], the bias, to its kernel.
func attentionKernel(c *core.Call, qkv tensor.Shape, heads int, causal bool) f32.Attention {
	dh := qkv[2] / 3 / heads
	return f32.Attention{
		Batch: qkv[0], Tokens: qkv[1], Heads: heads, HeadDim: dh, Scale: float32(1 / math.Sqrt(float64(dh))), Causal: causal,
		QKV: c.In[0], Bias: c.In[1],
	}
}

func fitsAttention(g *core.Graph, name string, qkv *core.Node, heads int, bias *core.Node) bool {
	return g.Check(name, "qkv [B, N, 3D] with D divisible by the number of heads, bias [heads, N, N] or nil", []*core.Node{qkv}, []*core.Node{bias}, func() bool {
		return heads > 0 && len(qkv.Shape()) == 3 && qkv.Shape()[2]%(3*heads) == 0 &&
			(bias == nil || bias.Shape().Equal(tensor.Shape{heads, qkv.Shape()[1], qkv.Shape()[1]}))
	})
}

// unless returns n if the condition is false: scratch for a result that nobody
// wants.
func unless(condition bool, n int) int {
	if condition {
		return 0
	}
	return n
}
