package sdk

import (
	"slices"
	"strings"

	"github.com/vittool/vittool/plugins/plan"
)

// Param is a parameter of the objective.
type Param struct{ spec *plan.Param }

func (p Param) name() string {
	if p.spec == nil {
		return ""
	}
	return p.spec.Name
}

// Tensor is the trained value.
func (p Param) Tensor() Tensor { return p.tensor(plan.RefParam) }

// Teacher is the parameter of the teacher; it asks the host to keep one.
func (p Param) Teacher() Tensor {
	p.spec.TeacherCopy = true
	return p.tensor(plan.RefTeacherParam)
}

func (p Param) tensor(kind plan.RefKind) Tensor {
	return Tensor{ref: plan.Ref{Of: kind, Name: p.name()}, dim: last(p.spec.Shape)}
}

// ParamOption changes a parameter.
type ParamOption func(*plan.Param)

// Decayed sets whether weight decay applies. Without it: all but one-dimensional ones and biases.
func Decayed(on bool) ParamOption { return func(p *plan.Param) { p.Decay = on } }

// Frozen makes a parameter a constant.
func Frozen() ParamOption { return func(p *plan.Param) { p.Frozen = true } }

// FreezeUntil drops the gradient before the given step.
func FreezeUntil(step int) ParamOption { return func(p *plan.Param) { p.FreezeUntil = step } }

// LRScale multiplies the learning rate.
func LRScale(factor float64) ParamOption { return func(p *plan.Param) { p.LRScale = factor } }

// ConstantLR keeps the learning rate at its peak, without warm-up and decay, while that of other
// parameters follows the schedule of the run.
func ConstantLR() ParamOption { return func(p *plan.Param) { p.ConstantLR = true } }

// UnitNormRows normalizes the rows in place before each forward pass.
func UnitNormRows() ParamOption { return func(p *plan.Param) { p.UnitNormRows = true } }

// WithTeacher makes the host keep the parameter of the teacher also where the program reads none.
func WithTeacher() ParamOption { return func(p *plan.Param) { p.TeacherCopy = true } }

// Param declares a parameter with the name of the official code.
func (b *Builder) Param(name string, shape []int, init *Init, options ...ParamOption) Param {
	p := &plan.Param{
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
type Buffer struct{ spec *BufferSpec }

func (f Buffer) name() string {
	if f.spec == nil {
		return ""
	}
	return f.spec.Name
}

// Tensor is the value before this step's update.
func (f Buffer) Tensor() Tensor {
	return Tensor{ref: plan.Ref{Of: plan.RefBuffer, Name: f.name()}, dim: last(f.spec.Shape)}
}

// Buffer declares a buffer; name and shape are required.
func (b *Builder) Buffer(spec BufferSpec) Buffer {
	spec.Name = b.take("buffer", spec.Name)
	spec.Shape = b.shape("buffer "+spec.Name, spec.Shape)
	b.plan.Buffers = append(b.plan.Buffers, &spec)
	return Buffer{&spec}
}

func (b *Builder) target(t plan.Target) Tensor {
	b.plan.Targets = append(b.plan.Targets, &t)
	return Tensor{ref: plan.Ref{Of: plan.RefTarget, Name: t.Name}, dim: last(t.Shape)}
}

// Target declares a tensor that the objective's Targets method fills: shape per sample. It reads
// the pixels of view.
func (b *Builder) Target(name string, view View, dtype DType, shape ...int) Tensor {
	return b.target(plan.Target{Name: b.take("target", name), Source: plan.SourcePlugin, View: view.name(),
		Shape: b.shape("target "+name, shape), DType: dtype})
}

// CacheTarget declares a target that follows from the pixels of view and from parameters out of
// files alone, such as the tokens that a frozen tokenizer gives an image: value, with shape per
// sample, that of a sample following from its own pixels. The host computes it once for each
// content of the view and keeps it on disk, which pays where Run().FixedViews is set.
func (b *Builder) CacheTarget(name string, view View, value Tensor, dtype DType, shape ...int) Tensor {
	return b.target(plan.Target{Name: b.take("target", name), Source: plan.SourceCached, View: view.name(),
		Shape: b.shape("target "+name, shape), DType: dtype, Value: value.ref})
}

// SampleIDs is the number of each sample in the data set, int [B].
func (b *Builder) SampleIDs() Tensor {
	return b.given(plan.Target{Name: "sample_id", Source: plan.SourceSampleID, DType: I32})
}

// Labels is the class of each sample, int [B], -1 where there is none.
func (b *Builder) Labels() Tensor {
	return b.given(plan.Target{Name: "label", Source: plan.SourceLabel, DType: I32})
}

// Geometry is the box of view in its image, float [B,7]: top, left, height, width, flip, source
// height and width.
func (b *Builder) Geometry(view View) Tensor {
	t := b.given(plan.Target{Name: "geometry_" + view.name(), Source: plan.SourceGeometry, View: view.name()})
	t.dim = 7
	return t
}

// given declares a target of the host's, once.
func (b *Builder) given(t plan.Target) Tensor {
	if b.names["target "+t.Name] {
		return Tensor{ref: plan.Ref{Of: plan.RefTarget, Name: t.Name}}
	}
	b.take("target", t.Name)
	return b.target(t)
}

// shape checks the sizes of owner's shape.
func (b *Builder) shape(owner string, shape []int) []int {
	out := slices.Clone(shape)
	for i, d := range shape {
		if d < 1 {
			b.Failf("%s has the shape %v; every size must be at least 1", owner, shape)
			out[i] = 1
		}
	}
	return out
}

func last(shape []int) int {
	if len(shape) == 0 {
		return 0
	}
	return shape[len(shape)-1]
}
