package core

import (
	"math"

	"github.com/vittool/vittool/core/internal/f32"
)

// Attention is multi-head self-attention (Vaswani et al., arXiv:1706.03762) on
// packed projections qkv [B, N, 3D], of which each third is split into heads of
// contiguous channels: softmax(q·kᵀ/sqrt(D/heads) + bias)·v, heads side by side,
// [B, N, D]. bias is [heads, N, N] or nil; with causal a token sees no later one.
func (g *Graph) Attention(qkv *Node, heads int, bias *Node, causal bool) *Node {
	if !g.fitsAttention("attention", qkv, heads, bias) {
		return g.invalid()
	}
	b, n, d := qkv.shape[0], qkv.shape[1], qkv.shape[2]/3
	dh := d / heads
	scale := float32(1 / math.Sqrt(float64(dh)))
	return g.apply(&op{
		name: "attention", in: []*Node{qkv, bias},
		keepIn: set(0, 1), keepOut: set(0),
		save:  []int{f32.AttentionStats(b, n, heads)},
		flops: 2 * product(b*n, n, d),
		forward: func(c *call) {
			f32.AttentionForward(c.pool, b, n, heads, dh, scale, c.in[0], c.in[1], c.out[0], c.save[0], causal)
		},
		backward: func(c *call) {
			dqkv := c.gin[0]
			if dqkv == nil {
				dqkv = c.work
			}
			f32.AttentionBackward(c.pool, b, n, heads, dh, scale, c.in[0], c.in[1], c.out[0], c.save[0], c.gout[0], dqkv, c.gin[1], causal)
		},
		workBack: unless(qkv.needs, 3*b*n*d),
	}, Shape{b, n, d})[0]
}

// AttentionProbabilities returns the softmax weights [B, heads, N, N] of
// Attention, for pictures and tests. It has no gradient.
func (g *Graph) AttentionProbabilities(qkv *Node, heads int, bias *Node, causal bool) *Node {
	if !g.fitsAttention("attention_probabilities", qkv, heads, bias) {
		return g.invalid()
	}
	b, n, dh := qkv.shape[0], qkv.shape[1], qkv.shape[2]/3/heads
	scale := float32(1 / math.Sqrt(float64(dh)))
	return g.apply(&op{
		name: "attention_probabilities", in: []*Node{qkv, bias}, noGrad: set(0, 1),
		forward: func(c *call) {
			f32.AttentionProbabilities(c.pool, b, n, heads, dh, scale, c.in[0], c.in[1], c.out[0], causal)
		},
	}, Shape{b, heads, n, n})[0]
}

func (g *Graph) fitsAttention(name string, qkv *Node, heads int, bias *Node) bool {
	return g.fits(name, "qkv [B, N, 3D] with D divisible by the number of heads, bias [heads, N, N] or nil", []*Node{qkv}, []*Node{bias}, func() bool {
		return heads > 0 && len(qkv.shape) == 3 && qkv.shape[2]%(3*heads) == 0 &&
			(bias == nil || bias.shape.Equal(Shape{heads, qkv.shape[1], qkv.shape[1]}))
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
