package sdk

import (
	"slices"
	"strings"
)

// ParamSpec is a parameter of the objective, trained by the host.
type ParamSpec struct {
	Name         string // as in the official code
	Shape        []int
	Init         *Init
	Decay        bool    // weight decay applies
	LRScale      float64 // 0 is read as 1
	Frozen       bool    // never trained
	FreezeUntil  int     // first step in which it is trained
	TeacherCopy  bool    // the host keeps an averaged copy
	UnitNormRows bool    // rows are L2-normalized in place before each forward pass
	ConstantLR   bool    // the learning rate stays at its peak
}

// Param is a parameter of the objective.
type Param struct{ spec *ParamSpec }

func (p Param) name() string {
	if p.spec == nil {
		return ""
	}
	return p.spec.Name
}

// Tensor is the trained value.
func (p Param) Tensor() Tensor { return p.tensor(refParam) }

// Teacher is the averaged copy; it asks the host to keep one.
func (p Param) Teacher() Tensor {
	p.spec.TeacherCopy = true
	return p.tensor(refTeacherParam)
}

func (p Param) tensor(kind refKind) Tensor {
	return Tensor{ref: ref{kind: kind, name: p.name()}, dim: last(p.spec.Shape)}
}

// ParamOption changes a parameter.
type ParamOption func(*ParamSpec)

// Decayed sets whether weight decay applies. Without it: all but one-dimensional ones and biases.
func Decayed(on bool) ParamOption { return func(p *ParamSpec) { p.Decay = on } }

// Frozen makes a parameter a constant.
func Frozen() ParamOption { return func(p *ParamSpec) { p.Frozen = true } }

// FreezeUntil drops the gradient before the given step.
func FreezeUntil(step int) ParamOption { return func(p *ParamSpec) { p.FreezeUntil = step } }

// LRScale multiplies the learning rate.
func LRScale(factor float64) ParamOption { return func(p *ParamSpec) { p.LRScale = factor } }

// ConstantLR keeps the learning rate at its peak, without warm-up and decay, while that of other
// parameters follows the schedule of the run.
func ConstantLR() ParamOption { return func(p *ParamSpec) { p.ConstantLR = true } }

// UnitNormRows normalizes the rows in place before each forward pass.
func UnitNormRows() ParamOption { return func(p *ParamSpec) { p.UnitNormRows = true } }

// Averaged makes the host keep an averaged copy also where the program reads none.
func Averaged() ParamOption { return func(p *ParamSpec) { p.TeacherCopy = true } }

// Param declares a parameter with the name of the official code.
func (b *Builder) Param(name string, shape []int, init *Init, options ...ParamOption) Param {
	p := &ParamSpec{
		Name: b.take("param", name), Shape: b.shape("param "+name, shape), Init: init,
		Decay: len(shape) > 1 && !strings.HasSuffix(name, ".bias"),
	}
	for _, o := range options {
		o(p)
	}
	b.plan.Params = append(b.plan.Params, p)
	return Param{p}
}

// BufferSpec is state that is not trained, kept by the host: centers, queues, memory banks.
type BufferSpec struct {
	Name         string
	Shape        []int
	DType        DType
	Init         *Init // nil: zeros
	Update       BufferUpdateKind
	Reduction    Reduction
	UnitNormRows bool // initial rows are L2-normalized
}

// BufferUpdateKind is the part of a buffer that Builder.Update replaces.
type BufferUpdateKind int

// Updates of the whole buffer, of numbered rows, of the rows that follow the last ones written,
// wrapping round, or of rows in front, where all others move back and the last ones fall out.
//
// Rows change once a step, after it, with the rows of all micro-batches in their order. So does a
// whole buffer with a Reduction; without one it changes with each micro-batch.
const (
	UpdateAll BufferUpdateKind = iota
	UpdateRows
	UpdateRing
	UpdateNewestFirst
)

// Reduction joins the updates of processes that train together, and of a step's micro-batches.
type Reduction int

// Reductions: none, because all processes compute the same; mean; sum; rows in order of rank.
const (
	ReduceNone Reduction = iota
	ReduceMean
	ReduceSum
	ReduceGather
)

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
	return Tensor{ref: ref{kind: refBuffer, name: f.name()}, dim: last(f.spec.Shape)}
}

// Buffer declares a buffer; name and shape are required.
func (b *Builder) Buffer(spec BufferSpec) Buffer {
	spec.Name = b.take("buffer", spec.Name)
	spec.Shape = b.shape("buffer "+spec.Name, spec.Shape)
	b.plan.Buffers = append(b.plan.Buffers, &spec)
	return Buffer{&spec}
}

// TargetSpec is a tensor that comes with each batch.
type TargetSpec struct {
	Name   string
	Source TargetSource
	View   string // that it belongs to
	Shape  []int  // of one sample
	DType  DType
	Value  Tensor // of CachedTarget
}

// TargetSource is where the values of a target come from.
type TargetSource int

// Sources of targets; see the methods of Builder.
const (
	_              TargetSource = iota
	SampleIDTarget              // Builder.SampleIDs
	LabelTarget                 // Builder.Labels
	GeometryTarget              // Builder.Geometry
	PluginTarget                // Builder.Target
	CachedTarget                // Builder.CacheTarget
)

func (b *Builder) target(t TargetSpec) Tensor {
	b.plan.Targets = append(b.plan.Targets, &t)
	return Tensor{ref: ref{kind: refTarget, name: t.Name}, dim: last(t.Shape)}
}

// Target declares a tensor that the objective's Targets method fills: shape per sample. It reads
// the pixels of view.
func (b *Builder) Target(name string, view View, dtype DType, shape ...int) Tensor {
	return b.target(TargetSpec{Name: b.take("target", name), Source: PluginTarget, View: view.name(),
		Shape: b.shape("target "+name, shape), DType: dtype})
}

// CacheTarget declares a target that follows from the pixels of view and from parameters out of
// files alone, such as the tokens that a frozen tokenizer gives an image: value, with shape per
// sample, that of a sample following from its own pixels. The host computes it once for each
// content of the view and keeps it on disk, which pays where Run().FixedViews is set.
func (b *Builder) CacheTarget(name string, view View, value Tensor, dtype DType, shape ...int) Tensor {
	return b.target(TargetSpec{Name: b.take("target", name), Source: CachedTarget, View: view.name(),
		Shape: b.shape("target "+name, shape), DType: dtype, Value: value})
}

// SampleIDs is the number of each sample in the data set, int [B].
func (b *Builder) SampleIDs() Tensor {
	return b.given(TargetSpec{Name: "sample_id", Source: SampleIDTarget, DType: I32})
}

// Labels is the class of each sample, int [B], -1 where there is none.
func (b *Builder) Labels() Tensor {
	return b.given(TargetSpec{Name: "label", Source: LabelTarget, DType: I32})
}

// Geometry is the box of view in its image, float [B,7]: top, left, height, width, flip, source
// height and width.
func (b *Builder) Geometry(view View) Tensor {
	t := b.given(TargetSpec{Name: "geometry_" + view.name(), Source: GeometryTarget, View: view.name()})
	t.dim = 7
	return t
}

// given declares a target of the host's, once.
func (b *Builder) given(t TargetSpec) Tensor {
	if b.names["target "+t.Name] {
		return Tensor{ref: ref{kind: refTarget, name: t.Name}}
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
