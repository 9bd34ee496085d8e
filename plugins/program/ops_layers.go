package program

import (
	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

var epsNorm = Attribute{Name: "eps", Type: Float, Default: 1e-6, Doc: "added to the variance"}

var layerOperators = []Operator{
	{
		Name: pb.OpLinear, Summary: "Affine map of the last axis: x·weightᵀ + bias.",
		Inputs: []Input{
			{Name: "x", Shape: "[…, I]"}, {Name: "weight", Shape: "[O, I]"}, {Name: "bias", Shape: "[O]", Optional: true},
		},
		Outputs: []Output{{Name: "y", Shape: "[…, O]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.Linear(c.g, c.input("x"), c.input("weight"), c.optional("bias"))}
		},
	},
	{
		Name: pb.OpLayerNorm, Summary: "Layer normalisation of the last axis with the biased variance (Ba et al. 2016).",
		Inputs: []Input{
			{Name: "x", Shape: "[…, D]"}, {Name: "weight", Shape: "[D]", Optional: true}, {Name: "bias", Shape: "[D]", Optional: true},
		},
		Attributes: []Attribute{epsNorm},
		Outputs:    []Output{{Name: "y", Shape: "[…, D]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.LayerNorm(c.g, c.input("x"), c.optional("weight"), c.optional("bias"), c.float("eps"))}
		},
	},
	{
		Name: pb.OpBatchNorm, Summary: "Batch normalisation of the last axis over all rows of x (Ioffe and Szegedy 2015): with mean and biased variance of the batch when training, with the running ones when evaluating. " +
			"A training step that turns out good moves the running ones towards the batch's mean and unbiased variance, once for every node that names them, in the order of the nodes.",
		Inputs: []Input{
			{Name: "x", Shape: "[…, C]", Doc: "at least two rows when training"},
			{Name: "weight", Shape: "[C]", Optional: true}, {Name: "bias", Shape: "[C]", Optional: true},
			{Name: "running_mean", Shape: "[C]", Buffer: true}, {Name: "running_var", Shape: "[C]", Buffer: true},
			{Name: "count", Shape: "[]", Buffer: true, Optional: true, Doc: "batches seen so far"},
		},
		Attributes: []Attribute{
			{Name: "eps", Type: Float, Default: 1e-5, Doc: "added to the variance"},
			{Name: "momentum", Type: Float, Default: 0.1, Doc: "share of the batch in the new running statistics"},
			{Name: "eval", Type: Bool, Default: false, Doc: "always the running statistics"},
		},
		Outputs: []Output{{Name: "y", Shape: "[…, C]"}},
		build:   buildBatchNorm,
	},
	{
		Name: pb.OpViTBlock, Summary: "Pre-norm transformer block: x += proj(attention(norm1(x))), x += fc2(gelu(fc1(norm2(x)))), each branch times its layer scale.",
		Inputs: []Input{
			{Name: "x", Shape: "[B, N, D]"},
			{Name: "norm1.weight", Shape: "[D]"}, {Name: "norm1.bias", Shape: "[D]"},
			{Name: "attn.qkv.weight", Shape: "[3D, D]", Doc: "rows: queries, keys, values; heads contiguous"},
			{Name: "attn.qkv.bias", Shape: "[3D]", Optional: true},
			{Name: "attn.proj.weight", Shape: "[D, D]"}, {Name: "attn.proj.bias", Shape: "[D]"},
			{Name: "ls1.gamma", Shape: "[D]", Optional: true},
			{Name: "norm2.weight", Shape: "[D]"}, {Name: "norm2.bias", Shape: "[D]"},
			{Name: "mlp.fc1.weight", Shape: "[F, D]"}, {Name: "mlp.fc1.bias", Shape: "[F]"},
			{Name: "mlp.fc2.weight", Shape: "[D, F]"}, {Name: "mlp.fc2.bias", Shape: "[D]"},
			{Name: "ls2.gamma", Shape: "[D]", Optional: true},
		},
		Attributes: []Attribute{{Name: "heads", Type: Int, Required: true, Doc: "must divide D"}, epsNorm},
		Outputs: []Output{
			{Name: "y", Shape: "[B, N, D]"},
			{Name: "attention", Shape: "[B, heads, N, N]", Doc: "softmax weights, without a gradient; computed only where read"},
		},
		build: buildViTBlock,
	},
	{
		Name: pb.OpWeightNorm, Summary: "A weight given by directions and lengths: row o is gain[o]·v[o]/‖v[o]‖ (Salimans and Kingma 2016).",
		Inputs: []Input{
			{Name: "v", Shape: "[O, …]"}, {Name: "gain", Shape: "[O] or [O, 1]", Optional: true, Doc: "1 if it is left out"},
		},
		Outputs: []Output{{Name: "weight", Shape: "[O, …]"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.WeightNorm(c.g, c.input("v"), c.optional("gain"))}
		},
	},
	{
		Name: pb.OpGELU, Summary: "Gaussian error linear unit, x/2·(1 + erf(x/√2)) (Hendrycks and Gimpel 2016).",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Gelu(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpReLU, Summary: "max(x, 0).",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Relu(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpSoftmax, Summary: "Softmax over the last axis.",
		Inputs: []Input{{Name: "x", Shape: "[…, C]"}}, Outputs: []Output{{Name: "y", Shape: "[…, C]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.Softmax(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpLogSoftmax, Summary: "Logarithm of the softmax over the last axis, in the stable form.",
		Inputs: []Input{{Name: "x", Shape: "[…, C]"}}, Outputs: []Output{{Name: "y", Shape: "[…, C]"}},
		build: func(c *call) []*core.Node { return []*core.Node{ops.LogSoftmax(c.g, c.input("x"))} },
	},
	{
		Name: pb.OpL2Normalize, Summary: "Each row of the last axis divided by max(its length, eps).",
		Inputs: []Input{{Name: "x", Shape: "[…, D]"}}, Outputs: []Output{{Name: "y", Shape: "[…, D]"}},
		Attributes: []Attribute{{Name: "eps", Type: Float, Default: 1e-12, Doc: "smallest divisor"}},
		build: func(c *call) []*core.Node {
			return []*core.Node{ops.L2Normalize(c.g, c.input("x"), c.float("eps"))}
		},
	},
}

func buildBatchNorm(c *call) []*core.Node {
	x := c.input("x")
	if m := c.float("momentum"); m < 0 || m > 1 {
		c.fail("attribute momentum is %g: want 0 to 1", m)
	}
	if len(x.Shape()) < 2 {
		c.fail("input x has %d dimensions, want rows and a last axis", len(x.Shape()))
	}
	last := x.Shape()[len(x.Shape())-1]
	y := ops.BatchNorm(c.g, c.g.Reshape(x, tensor.Shape{x.Shape().Size() / last, last}), c.optional("weight"), c.optional("bias"),
		ops.RunningStatistics{Mean: c.buffer("running_mean"), Variance: c.buffer("running_var"), Count: c.buffer("count")},
		ops.BatchNormOptions{Eps: c.float("eps"), Momentum: c.float("momentum"), Eval: c.bool("eval") || !c.m.Train})
	return []*core.Node{c.g.Reshape(y, x.Shape())}
}

func buildViTBlock(c *call) []*core.Node {
	x := c.rank("x", 3)
	heads := c.int("heads")
	if heads < 1 {
		c.fail("attribute heads is %d: it must be positive", heads)
	}
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
