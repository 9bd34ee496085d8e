package plan

import "github.com/vittool/vittool/plugins/pb"

// patchLoss is the row of a loss over patches.
func patchLoss(name, summary string, attributes []Attribute) Operator {
	return Operator{
		Name: name, Summary: summary + " It is averaged over the values of a patch, then over all masked patches of the batch.",
		Inputs: []Input{
			{Name: "prediction", Shape: "[B, L, P]"},
			{Name: "target", Shape: "[B, L, P]", Doc: "no gradient flows into it"},
			{Name: "mask", Shape: "[B, L]", Doc: "1 = masked, counts; 0 = visible, does not"},
		},
		Attributes: attributes,
		Outputs: []Output{
			{Name: "loss", Shape: "[]"},
			{Name: "per_patch", Shape: "[B, L]", Doc: "of every patch, masked or not; without a gradient"},
		},
	}
}

var lossOperators = []Operator{
	patchLoss(pb.OpPatchMSE, "Squared difference.", nil),
	patchLoss(pb.OpPatchL1, "Absolute difference.", nil),
	patchLoss(pb.OpPatchSmoothL1, "Smooth absolute difference: d²/(2·beta) below beta, |d| - beta/2 above.",
		[]Attribute{{Name: "beta", Type: Float, Default: 1.0, Doc: "positive"}}),
	{
		Name: pb.OpCrossEntropy, Summary: "Mean over rows of the cross-entropy of softmax(logits) with labels.",
		Inputs: []Input{
			{Name: "logits", Shape: "[R, C]"},
			{Name: "labels", Shape: "[R] or [R, C]", Either: true, Doc: "classes as integers, or probabilities; no gradient flows into them"},
			{Name: "weights", Shape: "[R]", Optional: true, Doc: "of the rows: the loss is the weighted sum over the sum of weights; no gradient flows into them"},
		},
		Outputs: []Output{{Name: "loss", Shape: "[]"}, {Name: "per_row", Shape: "[R]"}},
	},
	{
		Name: pb.OpViewCrossEntropy, Summary: "Cross-entropy between views of the same samples (Caron et al. 2020, 2021): the mean over samples and over the pairs " +
			"of a target view i and another view v ≠ i of -Σ targets[i]·log softmax(logits[v]/temperature). Rows come view after view.",
		Inputs: []Input{
			{Name: "logits", Shape: "[S·B, C]", Doc: "of S views"},
			{Name: "targets", Shape: "[T·B, C]", Doc: "distributions for the first T of the views; no gradient flows into them"},
		},
		Attributes: []Attribute{
			{Name: "views", Type: Int, Required: true, Doc: "number T of target views"},
			{Name: "temperature", Type: Float, Default: 1.0, Doc: "that logits are divided by; positive"},
		},
		Outputs: []Output{
			{Name: "loss", Shape: "[]"},
			{Name: "pairs", Shape: "[T, S]", Doc: "the mean of each pair, 0 where both are the same view; without a gradient, computed only where read"},
		},
	},
	{
		Name: pb.OpSinkhorn, Summary: "Assignments of samples to prototypes, of which each gets an equal share (Caron et al. 2020): exp(scores/epsilon), scaled in turn to equal " +
			"sums of prototypes and of samples. No gradient flows.",
		Inputs: []Input{
			{Name: "scores", Shape: "[B, K]", Doc: "of samples and prototypes"},
			{Name: "earlier", Shape: "[L, K]", Optional: true, Doc: "scores of earlier samples, newest first, which count once the last row is not all zero: the queue is full"},
		},
		Attributes: []Attribute{
			{Name: "epsilon", Type: Float, Default: .05, Doc: "that scores are divided by; positive"},
			{Name: "iterations", Type: Int, Default: 3, Doc: "of both scalings", positive: true},
		},
		Outputs: []Output{{Name: "assignments", Shape: "[B, K]", Doc: "each row has the sum 1"}},
	},
	{
		Name: pb.OpNCE, Summary: "Noise-contrastive estimation of a sample against K others of N, drawn uniformly (Wu et al. 2018): with P = exp(logits)/Z and c = K/N, " +
			"the mean over samples of -log P₀/(P₀ + c + 1e-7) - Σₖ log c/(Pₖ + c + 1e-7).",
		Inputs: []Input{
			{Name: "logits", Shape: "[B, 1+K]", Doc: "of the sample itself, then of the others"},
			{Name: "constant", Shape: "[] or [1]", Doc: "Z; where it is negative, N times the mean of exp(logits). No gradient flows into either"},
		},
		Attributes: []Attribute{{Name: "samples", Type: Int, Required: true, Doc: "number N of samples that the others are drawn from", positive: true}},
		Outputs: []Output{
			{Name: "loss", Shape: "[]"}, {Name: "probability", Shape: "[B, 1+K]", Doc: "P, without a gradient"},
			{Name: "constant", Shape: "[]", Doc: "the Z that was used, without a gradient"},
		},
	},
	{
		Name: pb.OpEvaluate, Summary: "The loss that the plugin computes itself, with its gradients, in shared memory.",
		Inputs:   []Input{{Name: "…", Shape: "[…]", Doc: "as EvaluateSpec.inputs of the plan names them", Optional: true, Repeated: true}},
		Outputs:  []Output{{Name: "loss", Shape: "[]"}},
		anyInput: true,
	},
}
