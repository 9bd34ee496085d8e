package program

import (
	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/tensor"
)

var layerBuilders = map[string]builder{
	"linear": func(c *call) []*core.Node {
		return []*core.Node{ops.Linear(c.g, c.input("x"), c.input("weight"), c.optional("bias"))}
	},
	"layer_norm": func(c *call) []*core.Node {
		return []*core.Node{ops.LayerNorm(c.g, c.input("x"), c.optional("weight"), c.optional("bias"), c.float("eps"))}
	},
	"batch_norm": buildBatchNorm,
	"vit_block":  buildViTBlock,
	"weight_norm": func(c *call) []*core.Node {
		return []*core.Node{ops.WeightNorm(c.g, c.input("v"), c.optional("gain"))}
	},
	"gelu":        func(c *call) []*core.Node { return []*core.Node{ops.Gelu(c.g, c.input("x"))} },
	"relu":        func(c *call) []*core.Node { return []*core.Node{ops.Relu(c.g, c.input("x"))} },
	"softmax":     func(c *call) []*core.Node { return []*core.Node{ops.Softmax(c.g, c.input("x"))} },
	"log_softmax": func(c *call) []*core.Node { return []*core.Node{ops.LogSoftmax(c.g, c.input("x"))} },
	"l2_normalize": func(c *call) []*core.Node {
		return []*core.Node{ops.L2Normalize(c.g, c.input("x"), c.float("eps"))}
	},
}

func buildBatchNorm(c *call) []*core.Node {
	x := c.input("x")
	if len(x.Shape()) < 2 {
		c.fail("input x has %d dimensions, want rows and a last axis", len(x.Shape()))
	}
	last := x.Shape()[len(x.Shape())-1]
	y := ops.BatchNorm(c.g, c.g.Reshape(x, tensor.Shape{x.Shape().Size() / last, last}), c.optional("weight"), c.optional("bias"),
		ops.RunningStatistics{Mean: c.buffer("running_mean"), Variance: c.buffer("running_var"), Count: c.buffer("count")},
		ops.BatchNormOptions{Eps: c.float("eps"), Momentum: c.float("momentum"), Eval: c.bool("eval") || !c.c.Train})
	return []*core.Node{c.g.Reshape(y, x.Shape())}
}

func buildViTBlock(c *call) []*core.Node {
	x := c.rank("x", 3)
	heads := c.int("heads")
	block := transformer.Block(c.g, x, transformer.BlockWeights{
		Norm1Weight: c.input("norm1.weight"), Norm1Bias: c.input("norm1.bias"),
		QKVWeight: c.input("attn.qkv.weight"), QKVBias: c.optional("attn.qkv.bias"),
		ProjWeight: c.input("attn.proj.weight"), ProjBias: c.input("attn.proj.bias"), LayerScale1: c.optional("ls1.gamma"),
		Norm2Weight: c.input("norm2.weight"), Norm2Bias: c.input("norm2.bias"),
		FC1Weight: c.input("mlp.fc1.weight"), FC1Bias: c.input("mlp.fc1.bias"),
		FC2Weight: c.input("mlp.fc2.weight"), FC2Bias: c.input("mlp.fc2.bias"), LayerScale2: c.optional("ls2.gamma"),
	}, transformer.BlockOptions{Heads: heads, Eps: c.float("eps")})
	return []*core.Node{block.X, ops.AttentionProbabilities(c.g, block.QKV, heads, nil, false)}
}
