// Package transformer holds the parts of transformers that network families share with the
// operators of plans.
package transformer

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
)

// BlockWeights are the weights of one transformer block as graph nodes; the comments give their
// shapes, with D the width, I the inner attention width (usually D) and F the inner MLP width.
// Biases and layer scales may be nil.
type BlockWeights struct {
	Norm1Weight, Norm1Bias *core.Node // [D]
	QKVWeight              *core.Node // [3I, D]
	QKVBias                *core.Node // [3I]
	ProjWeight             *core.Node // [D, I]
	ProjBias               *core.Node // [D]
	LayerScale1            *core.Node // [D]
	Norm2Weight, Norm2Bias *core.Node // [D]
	FC1Weight              *core.Node // [F, D]
	FC1Bias                *core.Node // [F]
	FC2Weight              *core.Node // [D, F]
	FC2Bias                *core.Node // [D]
	LayerScale2            *core.Node // [D]
}

// BlockOptions are the settings of one block.
type BlockOptions struct {
	Heads    int
	Eps      float64    // of both LayerNorms
	Bias     *core.Node // [H, N, N] added to the attention scores, or nil
	Causal   bool
	DropPath [2]*core.Node // [B] factors of the attention and the MLP branch, or nil
}

// BlockOutput holds the results of a block.
type BlockOutput struct {
	X   *core.Node // [B, N, D]
	QKV *core.Node // [B, N, 3I], from which attention weights can be drawn
}

// Block is a pre-norm transformer block: x += proj(attention(norm1(x))), then x +=
// fc2(gelu(fc1(norm2(x)))), each branch scaled per channel (layer scale) and per sample (stochastic
// depth) where asked for. x is [B, N, D].
func Block(g *core.Graph, x *core.Node, w BlockWeights, o BlockOptions) (out BlockOutput) {
	g.Block(func() { out = block(g, x, w, o) })
	return out
}

func block(g *core.Graph, x *core.Node, w BlockWeights, o BlockOptions) BlockOutput {
	qkv := ops.Linear(g, ops.LayerNorm(g, x, w.Norm1Weight, w.Norm1Bias, o.Eps), w.QKVWeight, w.QKVBias)
	attention := ops.Attention(g, qkv, o.Heads, o.Bias, o.Causal)
	x = ops.LinearResidual(g, attention, w.ProjWeight, w.ProjBias, x, w.LayerScale1, o.DropPath[0])
	hidden := ops.LinearGelu(g, ops.LayerNorm(g, x, w.Norm2Weight, w.Norm2Bias, o.Eps), w.FC1Weight, w.FC1Bias)
	x = ops.LinearResidual(g, hidden, w.FC2Weight, w.FC2Bias, x, w.LayerScale2, o.DropPath[1])
	return BlockOutput{X: x, QKV: qkv}
}
