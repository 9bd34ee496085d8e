package sdk

import "slices"

// Pass is one run of the backbone.
type Pass struct {
	spec *PassSpec
	b    *Builder
}

// PassSpec is one run of the network over views of equal size: row v*B+b is sample b of view v.
type PassSpec struct {
	Name         string
	Network      Network
	Views        []string
	MaskUse      MaskUse
	Masks        []string  // one for each view
	MaskToken    string    // parameter of ReplaceMasked
	Outputs      []Feature // that the program reads
	Taps         []int     // blocks whose output is read
	StopGradient bool
	Eval         bool // no stochastic depth, no statistics of the batch
	NoDropPath   bool
}

// MaskUse is the effect of masks on a pass.
type MaskUse int

// Effects of masks: none; see Drop, Replace and Corrupted for the others.
const (
	NoMask MaskUse = iota
	DropMasked
	ReplaceMasked
	CorruptedPixels
)

// PassOption changes a pass.
type PassOption func(*PassSpec)

// Drop lets only the patches of a keep list enter the network.
func Drop(m Mask) PassOption {
	return func(p *PassSpec) {
		p.MaskUse, p.Masks = DropMasked, append(p.Masks, m.name())
	}
}

// Replace puts token, a parameter [1,1,D], in place of the hidden patch embeddings.
func Replace(m Mask, token Param) PassOption {
	return func(p *PassSpec) {
		p.MaskUse, p.Masks, p.MaskToken = ReplaceMasked, append(p.Masks, m.name()), token.name()
	}
}

// Corrupted makes the pass read the images of Builder.Images.
func Corrupted() PassOption {
	return func(p *PassSpec) { p.MaskUse = CorruptedPixels }
}

// With appends further views of the same size; their rows follow those of the first.
func With(views ...View) PassOption {
	return func(p *PassSpec) {
		for _, v := range views {
			p.Views = append(p.Views, v.name())
		}
	}
}

// NoGradient stops gradients at the features of a student pass.
func NoGradient() PassOption { return func(p *PassSpec) { p.StopGradient = true } }

// EvalMode switches stochastic depth and batch statistics off.
func EvalMode() PassOption { return func(p *PassSpec) { p.Eval = true } }

// NoDropPath switches stochastic depth off.
func NoDropPath() PassOption { return func(p *PassSpec) { p.NoDropPath = true } }

// Student runs the trained network over a view.
func (b *Builder) Student(name string, view View, options ...PassOption) Pass {
	return b.pass(name, StudentNetwork, view, options)
}

// TeacherPass runs the averaged network over a view, without gradients.
func (b *Builder) TeacherPass(name string, view View, options ...PassOption) Pass {
	return b.pass(name, TeacherNetwork, view, options)
}

func (b *Builder) pass(name string, network Network, view View, options []PassOption) Pass {
	p := &PassSpec{Name: b.take("pass", name), Network: network, Views: []string{view.name()}}
	for _, o := range options {
		o(p)
	}
	b.plan.Passes = append(b.plan.Passes, p)
	return Pass{p, b}
}

// Tokens after the final norm, prefix tokens first: [B,N,D]; with Drop, N counts the kept ones.
func (p Pass) Tokens() Tensor { return p.feature(TokensFeature, 0) }

// PatchTokens are the tokens without the prefix, [B,L,D].
func (p Pass) PatchTokens() Tensor { return p.feature(PatchesFeature, 0) }

// Class is the class token after the final norm, [B,D].
func (p Pass) Class() Tensor { return p.feature(ClassFeature, 0) }

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
func (p Pass) Pooled() Tensor { return p.feature(PooledFeature, 0) }

// Map is the feature map [B,D,rows,cols].
func (p Pass) Map() Tensor {
	t := p.feature(MapFeature, 0)
	t.dim = 0
	return t
}

// Tap is the output of block (or stage) k, from 0.
func (p Pass) Tap(k int) Tensor {
	p.spec.Taps = append(p.spec.Taps, k)
	return p.feature(TapFeature, k)
}

func (p Pass) feature(f Feature, tap int) Tensor {
	if !slices.Contains(p.spec.Outputs, f) {
		p.spec.Outputs = append(p.spec.Outputs, f)
	}
	return Tensor{ref: ref{kind: refFeature, name: p.spec.Name, feature: f, tap: tap}, dim: p.b.Backbone().Dim}
}
