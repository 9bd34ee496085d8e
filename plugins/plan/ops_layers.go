package plan

import "github.com/vittool/vittool/plugins/pb"

var epsNorm = Attribute{Name: "eps", Type: Float, Default: 1e-6, Doc: "added to the variance"}

var layerOperators = []Operator{
	{
		Name: pb.OpLinear, Summary: "Affine map of the last axis: x·weightᵀ + bias.",
		Inputs: []Input{
			{Name: "x", Shape: "[…, I]"}, {Name: "weight", Shape: "[O, I]"}, {Name: "bias", Shape: "[O]", Optional: true},
		},
		Outputs: []Output{{Name: "y", Shape: "[…, O]"}},
	},
	{
		Name: pb.OpLayerNorm, Summary: "Layer normalization of the last axis with the biased variance (Ba et al. 2016).",
		Inputs: []Input{
			{Name: "x", Shape: "[…, D]"}, {Name: "weight", Shape: "[D]", Optional: true}, {Name: "bias", Shape: "[D]", Optional: true},
		},
		Attributes: []Attribute{epsNorm},
		Outputs:    []Output{{Name: "y", Shape: "[…, D]"}},
	},
	{
		Name: pb.OpBatchNorm, Summary: "Batch normalization of the last axis over all rows of x (Ioffe and Szegedy 2015): with mean and biased variance of the batch when training, with the running ones when evaluating. " +
			"Once a training step is known to be finite, the running ones move towards the batch's mean and unbiased variance, once for every node that names them, in the order of the nodes.",
		Inputs: []Input{
			{Name: "x", Shape: "[…, C]", Doc: "at least two rows when training"},
			{Name: "weight", Shape: "[C]", Optional: true}, {Name: "bias", Shape: "[C]", Optional: true},
			{Name: "running_mean", Shape: "[C]", Buffer: true}, {Name: "running_var", Shape: "[C]", Buffer: true},
			{Name: "count", Shape: "[]", Buffer: true, Optional: true, Doc: "batches seen so far"},
		},
		Attributes: []Attribute{
			{Name: "eps", Type: Float, Default: 1e-5, Doc: "added to the variance"},
			{Name: "momentum", Type: Float, Default: 0.1, valid: share, Doc: "share of the batch in the new running statistics"},
			{Name: "eval", Type: Bool, Default: false, Doc: "always the running statistics"},
		},
		Outputs: []Output{{Name: "y", Shape: "[…, C]"}},
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
		Attributes: []Attribute{{Name: "heads", Type: Int, Required: true, valid: positive, Doc: "must divide D"}, epsNorm},
		Outputs: []Output{
			{Name: "y", Shape: "[B, N, D]"},
			{Name: "attention", Shape: "[B, heads, N, N]", Doc: "softmax weights, without a gradient; computed only where read"},
		},
	},
	{
		Name: pb.OpWeightNorm, Summary: "A weight given by directions and lengths: row o is gain[o]·v[o]/‖v[o]‖ (Salimans and Kingma 2016).",
		Inputs: []Input{
			{Name: "v", Shape: "[O, …]"}, {Name: "gain", Shape: "[O] or [O, 1]", Optional: true, Doc: "1 if it is left out"},
		},
		Outputs: []Output{{Name: "weight", Shape: "[O, …]"}},
	},
	{
		Name: pb.OpGELU, Summary: "Gaussian error linear unit, x/2·(1 + erf(x/√2)) (Hendrycks and Gimpel 2016).",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
	},
	{
		Name: pb.OpReLU, Summary: "max(x, 0).",
		Inputs: []Input{{Name: "x", Shape: "[…]"}}, Outputs: []Output{{Name: "y", Shape: "[…]"}},
	},
	{
		Name: pb.OpSoftmax, Summary: "Softmax over the last axis.",
		Inputs: []Input{{Name: "x", Shape: "[…, C]"}}, Outputs: []Output{{Name: "y", Shape: "[…, C]"}},
	},
	{
		Name: pb.OpLogSoftmax, Summary: "Logarithm of the softmax over the last axis, in the stable form.",
		Inputs: []Input{{Name: "x", Shape: "[…, C]"}}, Outputs: []Output{{Name: "y", Shape: "[…, C]"}},
	},
	{
		Name: pb.OpL2Normalize, Summary: "Each row of the last axis divided by max(its length, eps).",
		Inputs: []Input{{Name: "x", Shape: "[…, D]"}}, Outputs: []Output{{Name: "y", Shape: "[…, D]"}},
		Attributes: []Attribute{{Name: "eps", Type: Float, Default: 1e-12, Doc: "smallest divisor"}},
	},
}
