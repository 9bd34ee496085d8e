package sdk

import "github.com/vittool/vittool/plugins/pb"

// Pass is one run of the backbone.
type Pass struct {
	spec *pb.PassSpec
	b    *Builder
}

// PassOption changes a pass.
type PassOption func(*pb.PassSpec)

// Drop lets only the patches of a keep list enter the network.
func Drop(m Mask) PassOption {
	return func(p *pb.PassSpec) {
		p.MaskUse, p.Masks = pb.PassSpec_MASK_USE_DROP, append(p.Masks, m.spec.GetName())
	}
}

// Replace puts token, a parameter [1,1,D], in place of the hidden patch embeddings.
func Replace(m Mask, token Param) PassOption {
	return func(p *pb.PassSpec) {
		p.MaskUse, p.Masks, p.MaskToken = pb.PassSpec_MASK_USE_TOKEN, append(p.Masks, m.spec.GetName()), token.spec.GetName()
	}
}

// Corrupted makes the pass read the images of Builder.Images.
func Corrupted() PassOption {
	return func(p *pb.PassSpec) { p.MaskUse = pb.PassSpec_MASK_USE_CORRUPTED }
}

// With appends further views of the same size; their rows follow those of the first.
func With(views ...View) PassOption {
	return func(p *pb.PassSpec) {
		for _, v := range views {
			p.Views = append(p.Views, v.spec.GetName())
		}
	}
}

// NoGradient stops gradients at the features of a student pass.
func NoGradient() PassOption { return func(p *pb.PassSpec) { p.StopGradient = true } }

// EvalMode switches stochastic depth and batch statistics off.
func EvalMode() PassOption { return func(p *pb.PassSpec) { p.Mode = pb.PassSpec_MODE_EVAL } }

// NoDropPath switches stochastic depth off.
func NoDropPath() PassOption { return func(p *pb.PassSpec) { p.NoDropPath = true } }

// Student runs the trained network over a view.
func (b *Builder) Student(name string, view View, options ...PassOption) Pass {
	return b.pass(name, pb.Network_NETWORK_STUDENT, view, options)
}

// TeacherPass runs the averaged network over a view, without gradients.
func (b *Builder) TeacherPass(name string, view View, options ...PassOption) Pass {
	return b.pass(name, pb.Network_NETWORK_TEACHER, view, options)
}

func (b *Builder) pass(name string, network pb.Network, view View, options []PassOption) Pass {
	p := &pb.PassSpec{Name: b.take("pass", name), Network: network, Views: []string{view.spec.GetName()}}
	for _, o := range options {
		o(p)
	}
	b.plan.Passes = append(b.plan.Passes, p)
	return Pass{p, b}
}

// Tokens after the final norm, prefix tokens first: [B,N,D]; with Drop, N counts the kept ones.
func (p Pass) Tokens() Tensor { return p.feature(pb.Output_OUTPUT_TOKENS, 0) }

// PatchTokens are the tokens without the prefix, [B,L,D].
func (p Pass) PatchTokens() Tensor { return p.feature(pb.Output_OUTPUT_PATCHES, 0) }

// Class is the class token after the final norm, [B,D].
func (p Pass) Class() Tensor { return p.feature(pb.Output_OUTPUT_CLASS, 0) }

// Pooled is the mean of the patch tokens, or global average pool, [B,D].
func (p Pass) Pooled() Tensor { return p.feature(pb.Output_OUTPUT_POOLED, 0) }

// Map is the feature map [B,D,rows,cols].
func (p Pass) Map() Tensor {
	t := p.feature(pb.Output_OUTPUT_MAP, 0)
	t.dim = 0
	return t
}

// Tap is the output of block (or stage) k, from 0.
func (p Pass) Tap(k int) Tensor {
	p.spec.Taps = append(p.spec.Taps, uint32(k))
	return p.feature(pb.Output_OUTPUT_TAP, k)
}

func (p Pass) feature(o pb.Output, tap int) Tensor {
	known := false
	for _, x := range p.spec.Outputs {
		known = known || x == o
	}
	if !known {
		p.spec.Outputs = append(p.spec.Outputs, o)
	}
	return Tensor{
		ref: &pb.Ref{Of: &pb.Ref_Feature{Feature: &pb.Feature{Pass: p.spec.Name, Output: o, Tap: uint32(tap)}}},
		dim: int(p.b.Backbone().GetDim()),
	}
}
