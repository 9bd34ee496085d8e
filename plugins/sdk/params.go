package sdk

import (
	"strings"

	"github.com/vittool/vittool/plugins/pb"
)

// Param is a parameter of the objective.
type Param struct {
	spec *pb.ParamSpec
}

// Tensor is the trained value.
func (p Param) Tensor() Tensor {
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_Param{Param: p.spec.GetName()}}, dim: last(p.spec.GetShape())}
}

// Teacher is the averaged copy; it asks the host to keep one.
func (p Param) Teacher() Tensor {
	p.spec.TeacherCopy = true
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_TeacherParam{TeacherParam: p.spec.GetName()}}, dim: last(p.spec.GetShape())}
}

// ParamOption changes a parameter.
type ParamOption func(*pb.ParamSpec)

// Decayed sets whether weight decay applies. Without it: all but one-dimensional ones and biases.
func Decayed(on bool) ParamOption { return func(p *pb.ParamSpec) { p.Decay = on } }

// Frozen makes a parameter a constant.
func Frozen() ParamOption { return func(p *pb.ParamSpec) { p.Frozen = true } }

// FreezeUntil drops the gradient before the given step.
func FreezeUntil(step uint64) ParamOption { return func(p *pb.ParamSpec) { p.FreezeUntil = step } }

// LRScale multiplies the learning rate.
func LRScale(factor float64) ParamOption { return func(p *pb.ParamSpec) { p.LrScale = factor } }

// UnitNormRows normalises the rows in place before each forward.
func UnitNormRows() ParamOption { return func(p *pb.ParamSpec) { p.UnitNormRows = true } }

// Averaged makes the host keep an averaged copy also where the program reads none.
func Averaged() ParamOption { return func(p *pb.ParamSpec) { p.TeacherCopy = true } }

// Param declares a parameter with the name of the official code.
func (b *Builder) Param(name string, shape []int, init *pb.Init, options ...ParamOption) Param {
	p := &pb.ParamSpec{
		Name: b.take("param", name), Shape: b.shape("param "+name, shape), Init: init,
		Decay: len(shape) > 1 && !strings.HasSuffix(name, ".bias"),
	}
	for _, o := range options {
		o(p)
	}
	b.plan.Params = append(b.plan.Params, p)
	return Param{p}
}

// Buffer is state that is not trained.
type Buffer struct{ spec *pb.BufferSpec }

// Tensor is the value before this step's update.
func (f Buffer) Tensor() Tensor {
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_Buffer{Buffer: f.spec.GetName()}}, dim: last(f.spec.GetShape())}
}

// Buffer declares a buffer; name and shape are required.
func (b *Builder) Buffer(spec *pb.BufferSpec) Buffer {
	spec.Name = b.take("buffer", spec.Name)
	for _, d := range spec.Shape {
		if d == 0 {
			b.Failf("buffer %q has a shape with a zero: %v", spec.Name, spec.Shape)
		}
	}
	b.plan.Buffers = append(b.plan.Buffers, spec)
	return Buffer{spec}
}

// Target declares a tensor that the objective's Targets method fills: shape per sample.
// It reads the pixels of view.
func (b *Builder) Target(name string, view View, dtype pb.DType, shape ...int) Tensor {
	t := &pb.TargetSpec{Name: b.take("target", name), Source: pb.TargetSpec_SOURCE_PLUGIN, View: view.spec.GetName(),
		Shape: b.shape("target "+name, shape), Dtype: dtype}
	b.plan.Targets = append(b.plan.Targets, t)
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_Target{Target: t.Name}}, dim: last(t.Shape)}
}

// Remember declares a target that follows from the pixels of view and from parameters out of
// files alone, such as the tokens that a frozen tokenizer gives an image: value, with shape per
// sample, that of a sample following from its own pixels. The host computes it once for each
// content of the view and keeps it on disk, so it is worth it where Run().GetFixedViews() says
// that views stay the same.
func (b *Builder) Remember(name string, view View, value Tensor, dtype pb.DType, shape ...int) Tensor {
	t := &pb.TargetSpec{Name: b.take("target", name), Source: pb.TargetSpec_SOURCE_REMEMBERED, View: view.spec.GetName(),
		Shape: b.shape("target "+name, shape), Dtype: dtype, Value: value.ref}
	b.plan.Targets = append(b.plan.Targets, t)
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_Target{Target: t.Name}}, dim: last(t.Shape)}
}

// SampleIDs is the number of each sample in the data set, int [B].
func (b *Builder) SampleIDs() Tensor { return b.given("sample_id", pb.TargetSpec_SOURCE_SAMPLE_ID, "") }

// Labels is the class of each sample, int [B], -1 where there is none.
func (b *Builder) Labels() Tensor { return b.given("label", pb.TargetSpec_SOURCE_LABEL, "") }

// Geometry is where view was cut out, float [B,7]: top, left, height, width, flip, source height and width.
func (b *Builder) Geometry(view View) Tensor {
	t := b.given("geometry_"+view.spec.GetName(), pb.TargetSpec_SOURCE_GEOMETRY, view.spec.GetName())
	t.dim = 7
	return t
}

func (b *Builder) given(name string, source pb.TargetSpec_Source, view string) Tensor {
	if !b.names["target "+name] {
		dtype := pb.DType_DTYPE_I32
		if source == pb.TargetSpec_SOURCE_GEOMETRY {
			dtype = pb.DType_DTYPE_F32
		}
		b.plan.Targets = append(b.plan.Targets, &pb.TargetSpec{Name: b.take("target", name), Source: source, View: view, Dtype: dtype})
	}
	return Tensor{ref: &pb.Ref{Of: &pb.Ref_Target{Target: name}}}
}

func (b *Builder) shape(what string, shape []int) []uint64 {
	out := make([]uint64, len(shape))
	for i, d := range shape {
		if d < 1 {
			b.Failf("%s has the shape %v; every size must be at least 1", what, shape)
			d = 1
		}
		out[i] = uint64(d)
	}
	return out
}

func last(shape []uint64) int {
	if len(shape) == 0 {
		return 0
	}
	return int(shape[len(shape)-1])
}

// Initial values.

// InitZeros is 0 everywhere.
func InitZeros() *pb.Init { return &pb.Init{Kind: pb.Init_KIND_ZEROS} }

// InitOnes is 1 everywhere.
func InitOnes() *pb.Init { return &pb.Init{Kind: pb.Init_KIND_ONES} }

// InitConstant is c everywhere.
func InitConstant(c float64) *pb.Init { return &pb.Init{Kind: pb.Init_KIND_CONSTANT, A: c} }

// InitNormal draws from N(0, std^2).
func InitNormal(std float64) *pb.Init { return &pb.Init{Kind: pb.Init_KIND_NORMAL, A: std} }

// InitTruncNormal draws from N(0, std^2) cut at -cut..cut.
func InitTruncNormal(std, cut float64) *pb.Init {
	return &pb.Init{Kind: pb.Init_KIND_TRUNC_NORMAL, A: std, B: cut}
}

// InitUniform draws from -bound..bound.
func InitUniform(bound float64) *pb.Init { return &pb.Init{Kind: pb.Init_KIND_UNIFORM, A: bound} }

// InitXavier draws from +-sqrt(6/(in+out)), Glorot and Bengio, 2010.
func InitXavier() *pb.Init { return &pb.Init{Kind: pb.Init_KIND_XAVIER_UNIFORM} }

// InitFanIn draws from +-1/sqrt(in), the default of torch.nn.Linear.
func InitFanIn() *pb.Init { return &pb.Init{Kind: pb.Init_KIND_FAN_IN_UNIFORM} }
