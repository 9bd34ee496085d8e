package sdk

import (
	"slices"

	"github.com/vittool/vittool/plugins/plan"
)

// Pass is one run of the backbone over views of equal size: row v*B+b is sample b of view v.
type Pass struct {
	spec *plan.Pass
	b    *Builder
}

// PassOption changes a pass.
type PassOption func(*plan.Pass)

// DropMasked lets only the visible patches of a keep list enter the network.
func DropMasked(m Mask) PassOption {
	return func(p *plan.Pass) {
		p.MaskUse, p.Masks = plan.MaskUseDrop, append(p.Masks, m.name())
	}
}

// ReplaceMasked puts token, a parameter [1,1,D], in place of the embeddings of masked patches.
func ReplaceMasked(m Mask, token Param) PassOption {
	return func(p *plan.Pass) {
		p.MaskUse, p.Masks, p.MaskToken = plan.MaskUseToken, append(p.Masks, m.name()), token.name()
	}
}

// Corrupted makes the pass read the images of Builder.Images.
func Corrupted() PassOption {
	return func(p *plan.Pass) { p.MaskUse = plan.MaskUseCorrupted }
}

// With appends further views of the same size; their rows follow those of the first.
func With(views ...View) PassOption {
	return func(p *plan.Pass) {
		for _, v := range views {
			p.Views = append(p.Views, v.name())
		}
	}
}

// NoGradient stops gradients at the features of a student pass.
func NoGradient() PassOption { return func(p *plan.Pass) { p.StopGradient = true } }

// EvalMode switches stochastic depth and batch statistics off.
func EvalMode() PassOption { return func(p *plan.Pass) { p.Eval = true } }

// NoDropPath switches stochastic depth off.
func NoDropPath() PassOption { return func(p *plan.Pass) { p.NoDropPath = true } }

// SubBatches divides the micro-batch into n parts of images that follow each other, each with batch
// statistics of its own, as n devices compute them. It says nothing to networks without batch norms.
func SubBatches(n int) PassOption { return func(p *plan.Pass) { p.SubBatches = n } }

// InterleavedSubBatches is [SubBatches] with the images k, k+n, k+2n, … in part k. An image then
// shares its statistics with other images than in a pass with SubBatches, which is the shuffled batch
// norm of MoCo: batches are drawn in random order.
func InterleavedSubBatches(n int) PassOption {
	return func(p *plan.Pass) { p.SubBatches, p.Interleaved = n, true }
}

// Student runs the trained network over a view.
func (b *Builder) Student(name string, view View, options ...PassOption) Pass {
	return b.pass(name, StudentNetwork, view, options)
}

// TeacherPass runs the teacher over a view, without gradients.
func (b *Builder) TeacherPass(name string, view View, options ...PassOption) Pass {
	return b.pass(name, TeacherNetwork, view, options)
}

func (b *Builder) pass(name string, network Network, view View, options []PassOption) Pass {
	p := &plan.Pass{Name: b.take("pass", name), Network: network, Views: []string{view.name()}}
	for _, o := range options {
		o(p)
	}
	b.plan.Passes = append(b.plan.Passes, p)
	return Pass{p, b}
}

// Tokens after the final norm, prefix tokens first: [B,N,D]; with DropMasked, N counts the visible ones.
func (p Pass) Tokens() Tensor { return p.feature(plan.FeatureTokens, 0) }

// PatchTokens are the tokens without the prefix, [B,L,D].
func (p Pass) PatchTokens() Tensor { return p.feature(plan.FeaturePatchTokens, 0) }

// Class is the class token after the final norm, [B,D].
func (p Pass) Class() Tensor { return p.feature(plan.FeatureClass, 0) }

// Image is the vector that stands for the image, [B,D]: the class token, or the pooled output of a
// network without one.
func (p Pass) Image() Tensor {
	n := p.b.Backbone()
	switch required := p.b.plan.Requirements.ClassToken; {
	case required == ClassTokenRequired, required == ClassTokenDefault && n.PrefixTokens > 0:
		return p.Class()
	}
	return p.Pooled()
}

// Pooled is the mean of the patch tokens, or global average pool, [B,D].
func (p Pass) Pooled() Tensor { return p.feature(plan.FeaturePooled, 0) }

// Map is the feature map [B,D,rows,cols].
func (p Pass) Map() Tensor {
	t := p.feature(plan.FeatureMap, 0)
	t.dim = 0
	return t
}

// Tap is the output of block (or stage) k, from 0.
func (p Pass) Tap(k int) Tensor {
	p.spec.Taps = append(p.spec.Taps, k)
	return p.feature(plan.FeatureTap, k)
}

func (p Pass) feature(f Feature, tap int) Tensor {
	if !slices.Contains(p.spec.Outputs, f) {
		p.spec.Outputs = append(p.spec.Outputs, f)
	}
	return Tensor{ref: plan.Ref{Of: plan.RefFeature, Name: p.spec.Name, Feature: f, Tap: tap}, dim: p.b.Backbone().Dim}
}
