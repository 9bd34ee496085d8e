package sdk

import (
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
)

// PatchMSE is the mean squared error per patch, averaged over the masked patches of the whole
// batch. prediction and target are [B,L,P].
func (b *Builder) PatchMSE(prediction, target Tensor, mask Mask) Tensor {
	return b.patchLoss(pb.OpPatchMSE, prediction, target, mask)
}

// PatchL1 is the same with absolute differences.
func (b *Builder) PatchL1(prediction, target Tensor, mask Mask) Tensor {
	return b.patchLoss(pb.OpPatchL1, prediction, target, mask)
}

// PatchSmoothL1 is the same with d^2/(2 beta) below beta and |d|-beta/2 above.
func (b *Builder) PatchSmoothL1(prediction, target Tensor, mask Mask, beta float64) Tensor {
	return b.patchLoss(pb.OpPatchSmoothL1, prediction, target, mask, Attr("beta", beta))
}

func (b *Builder) patchLoss(op string, prediction, target Tensor, mask Mask, attributes ...Attribute) Tensor {
	if prediction.dim != target.dim {
		b.Failf("%s: prediction and target have %d and %d values per patch", op, prediction.dim, target.dim)
	}
	return b.Node(op, 1, []Input{
		{Name: "prediction", Value: prediction}, {Name: "target", Value: target}, {Name: "mask", Value: mask.Masked()},
	}, attributes...)
}

// CrossEntropy is the mean over rows of -sum p log softmax(logits); labels are int [R] or
// probabilities [R,C].
func (b *Builder) CrossEntropy(logits, labels Tensor) Tensor {
	return b.Node(pb.OpCrossEntropy, 1, []Input{{Name: "logits", Value: logits}, {Name: "labels", Value: labels}})
}

// WeightedCrossEntropy is the same, averaged with weights [R].
func (b *Builder) WeightedCrossEntropy(logits, labels, weights Tensor) Tensor {
	return b.Node(pb.OpCrossEntropy, 1, []Input{{Name: "logits", Value: logits}, {Name: "labels", Value: labels}, {Name: "weights", Value: weights}})
}

// ViewCrossEntropy is the mean over samples and over the pairs of a target view i and another view
// v of -sum targets[i] log softmax(logits[v]/temperature). Rows come view after view: logits
// [S*B,C] of S views, targets [T*B,C], distributions for the first T = views of them. Output 1
// holds the mean of each pair, [T,S].
func (b *Builder) ViewCrossEntropy(logits, targets Tensor, views int, temperature float64) Tensor {
	return b.Node(pb.OpViewCrossEntropy, 1, []Input{{Name: "logits", Value: logits}, {Name: "targets", Value: targets}},
		Attr("views", views), Attr("temperature", temperature))
}

// EvaluateOption adds parts of the plan that Evaluate reads besides its inputs.
type EvaluateOption func(*plan.Evaluate)

// Reading hands targets over to Evaluate.
func Reading(targets ...Tensor) EvaluateOption {
	return func(e *plan.Evaluate) {
		for _, t := range targets {
			e.Targets = append(e.Targets, t.ref.Name)
		}
	}
}

// ReadingMasks hands masks over to Evaluate.
func ReadingMasks(masks ...Mask) EvaluateOption {
	return func(e *plan.Evaluate) {
		for _, m := range masks {
			e.Masks = append(e.Masks, m.name())
		}
	}
}

// ReadingScalars hands scheduled numbers over to Evaluate.
func ReadingScalars(scalars ...Scalar) EvaluateOption {
	return func(e *plan.Evaluate) {
		for _, s := range scalars {
			e.Schedules = append(e.Schedules, s.name)
		}
	}
}

// Training lets Evaluate read parameters and write their gradients.
func Training(params ...Param) EvaluateOption {
	return func(e *plan.Evaluate) {
		for _, p := range params {
			e.Params = append(e.Params, p.name())
		}
	}
}

// Keeping lets Evaluate read buffers and, when update is set, replace them.
func Keeping(buffer Buffer, update bool) EvaluateOption {
	return func(e *plan.Evaluate) {
		e.Buffers = append(e.Buffers, buffer.name())
		if update {
			e.Updates = append(e.Updates, buffer.name())
		}
	}
}

// Scratch asks for shared memory that the objective may use as it likes.
func Scratch(bytes int) EvaluateOption {
	return func(e *plan.Evaluate) { e.ScratchBytes = bytes }
}

// Evaluate is a loss that the objective computes itself (see Evaluator): a scalar. inputs are
// features or nodes; those with gradient get one from Evaluate.
func (b *Builder) Evaluate(inputs []EvaluateInput, options ...EvaluateOption) Tensor {
	if b.plan.Evaluate != nil {
		b.Failf("a plan has at most one Evaluate")
	}
	spec := &plan.Evaluate{}
	var in []Input
	for _, x := range inputs {
		in = append(in, Input{Name: x.Name, Value: x.Value})
		spec.Inputs = append(spec.Inputs, plan.EvaluateInput{Name: x.Name, Gradient: x.Gradient})
	}
	for _, o := range options {
		o(spec)
	}
	b.plan.Evaluate = spec
	return b.Node(pb.OpEvaluate, 1, in)
}

// EvaluateInput is a tensor that Evaluate reads.
type EvaluateInput struct {
	Name     string
	Value    Tensor
	Gradient bool // Evaluate writes the gradient of the loss with respect to it
}
