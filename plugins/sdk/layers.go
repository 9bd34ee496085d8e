package sdk

import (
	"math"
	"slices"

	"github.com/vittool/vittool/plugins/pb"
)

// LayerOption changes a layer with parameters.
type LayerOption func(*layer)

type layer struct {
	weight, bias *Init
	torch        bool // initial values of torch.nn.Linear
	noBias       bool
	frozenBias   bool
	noAffine     bool
	noShift      bool
	eps          float64 // of a batch norm
	momentum     float64
	eval         bool
	teacher      bool
	params       []ParamOption
}

// WithInit sets the initial weight and bias; nil keeps the default (Xavier, zeros).
func WithInit(weight, bias *Init) LayerOption {
	return func(l *layer) {
		if weight != nil {
			l.weight = weight
		}
		if bias != nil {
			l.bias = bias
		}
	}
}

// WithTorchInit draws weight and bias of a linear layer from +-1/sqrt(in), as torch.nn.Linear does.
func WithTorchInit() LayerOption { return func(l *layer) { l.torch = true } }

// WithFrozenBias makes the bias of a linear layer a constant.
func WithFrozenBias() LayerOption { return func(l *layer) { l.frozenBias = true } }

// WithoutBias leaves the bias out.
func WithoutBias() LayerOption { return func(l *layer) { l.noBias = true } }

// OfTeacher reads the parameters of the teacher, which must have been declared by the same
// call without this option.
func OfTeacher() LayerOption { return func(l *layer) { l.teacher = true } }

// WithParams passes options to each parameter of the layer.
func WithParams(options ...ParamOption) LayerOption {
	return func(l *layer) { l.params = append(l.params, options...) }
}

// WithoutAffine leaves weight and bias of a batch norm out.
func WithoutAffine() LayerOption { return func(l *layer) { l.noAffine = true } }

// WithoutShift leaves the bias of a batch norm out.
func WithoutShift() LayerOption { return func(l *layer) { l.noShift = true } }

// WithStatistics sets a batch norm's eps, which is added to the variance, and momentum, the share
// of the batch in the new running statistics, instead of 1e-5 and 0.1.
func WithStatistics(eps, momentum float64) LayerOption {
	return func(l *layer) { l.eps, l.momentum = eps, momentum }
}

// WithRunningStatistics makes a batch norm use its running statistics always and leave them as they
// are.
func WithRunningStatistics() LayerOption { return func(l *layer) { l.eval = true } }

func newLayer(weight *Init, options []LayerOption) *layer {
	l := &layer{weight: weight, bias: InitZeros(), eps: 1e-5, momentum: .1}
	for _, o := range options {
		o(l)
	}
	return l
}

// param declares a parameter of a layer, or finds it when another view of the same layer has
// declared it already: calling a layer twice shares its weights.
func (b *Builder) param(l *layer, name string, shape []int, init *Init) Tensor {
	var p Param
	if spec := b.plan.Param(name); spec != nil {
		p = Param{spec}
		if want := b.shape("param "+name, shape); !slices.Equal(spec.Shape, want) {
			b.Failf("param %q is used with the shapes %v and %v", name, spec.Shape, want)
		}
	} else {
		if l.teacher {
			b.Failf("param %q: declare the student's layer before the teacher's", name)
		}
		p = b.Param(name, shape, init, l.params...)
	}
	if l.teacher {
		return p.Teacher()
	}
	return p.Tensor()
}

// Linear is x W^T + b with parameters name.weight [out,in] and name.bias [out].
func (b *Builder) Linear(name string, x Tensor, out int, options ...LayerOption) Tensor {
	if x.dim == 0 {
		b.Failf("linear %q: the size of its input is not known", name)
		return Tensor{ref: x.ref, dim: out}
	}
	l := newLayer(InitXavier(), options)
	if l.torch {
		l.weight, l.bias = InitFanIn(), InitUniform(1/math.Sqrt(float64(x.dim)))
	}
	in := []Input{{Name: "x", Value: x}, {Name: "weight", Value: b.param(l, name+".weight", []int{out, x.dim}, l.weight)}}
	if !l.noBias {
		bias := *l
		if l.frozenBias {
			bias.params = append(slices.Clone(l.params), Frozen())
		}
		in = append(in, Input{Name: "bias", Value: b.param(&bias, name+".bias", []int{out}, l.bias)})
	}
	return b.Node(pb.OpLinear, out, in)
}

// WeightNormLinear is x W^T with rows W[o] = g[o] v[o]/|v[o]|, without bias, and parameters
// name.weight_g [out,1] of ones and name.weight_v [out,in] (torch's weight_norm). With fixedGain
// the rows keep length one.
func (b *Builder) WeightNormLinear(name string, x Tensor, out int, fixedGain bool, options ...LayerOption) Tensor {
	if x.dim == 0 {
		b.Failf("weight-normed linear %q: the size of its input is not known", name)
		return Tensor{ref: x.ref, dim: out}
	}
	l := newLayer(InitFanIn(), options)
	gain := *l
	if fixedGain {
		gain.params = append(append([]ParamOption(nil), l.params...), Frozen())
	}
	weight := b.Node(pb.OpWeightNorm, x.dim, []Input{
		{Name: "gain", Value: b.param(&gain, name+".weight_g", []int{out, 1}, InitOnes())},
		{Name: "v", Value: b.param(l, name+".weight_v", []int{out, x.dim}, l.weight)},
	})
	return b.Node(pb.OpLinear, out, []Input{{Name: "x", Value: x}, {Name: "weight", Value: weight}})
}

// LayerNorm normalizes the last axis, with parameters name.weight and name.bias; eps is the
// backbone's.
func (b *Builder) LayerNorm(name string, x Tensor, options ...LayerOption) Tensor {
	l := newLayer(InitOnes(), options)
	return b.Node(pb.OpLayerNorm, x.dim, []Input{{Name: "x", Value: x},
		{Name: "weight", Value: b.param(l, name+".weight", []int{x.dim}, l.weight)},
		{Name: "bias", Value: b.param(l, name+".bias", []int{x.dim}, l.bias)},
	}, Attr("eps", b.normEps()))
}

// BatchNorm normalizes the last axis over all rows of x, a pass of several views as one batch. Its
// parameters are name.weight and name.bias [C], its state the buffers name.running_mean,
// name.running_var [C] and name.num_batches_tracked, which move once a step is good; with OfTeacher
// it has buffers of its own under "teacher.". Calling it twice shares all of them, and they move
// twice.
func (b *Builder) BatchNorm(name string, x Tensor, options ...LayerOption) Tensor {
	if x.dim == 0 {
		b.Failf("batch norm %q: the size of its input is not known", name)
		return x
	}
	l := newLayer(InitOnes(), options)
	in := []Input{{Name: "x", Value: x}}
	if !l.noAffine {
		in = append(in, Input{Name: "weight", Value: b.param(l, name+".weight", []int{x.dim}, l.weight)})
		if !l.noShift {
			in = append(in, Input{Name: "bias", Value: b.param(l, name+".bias", []int{x.dim}, l.bias)})
		}
	}
	state := name
	if l.teacher {
		state = "teacher." + name
	}
	in = append(in, Input{Name: "running_mean", Value: b.state(state+".running_mean", []int{x.dim}, InitZeros())},
		Input{Name: "running_var", Value: b.state(state+".running_var", []int{x.dim}, InitOnes())},
		Input{Name: "count", Value: b.state(state+".num_batches_tracked", nil, InitZeros())})
	return b.Node(pb.OpBatchNorm, x.dim, in, Attr("eps", l.eps), Attr("momentum", l.momentum), Attr("eval", l.eval))
}

// state declares a buffer of a layer, or finds it when another call of the layer has declared it.
func (b *Builder) state(name string, shape []int, init *Init) Tensor {
	if spec := b.plan.Buffer(name); spec != nil {
		return Buffer{spec}.Tensor()
	}
	return b.Buffer(BufferSpec{Name: name, Shape: shape, Init: init}).Tensor()
}

func (b *Builder) normEps() float64 {
	if e := b.Backbone().LayerNormEps; e > 0 {
		return e
	}
	return 1e-6
}

// Block is a pre-norm transformer block of the backbone's kind with parameters under name: norm1,
// attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2 (timm's names). The MLP is hidden wide. x is
// [B,N,D].
func (b *Builder) Block(name string, x Tensor, heads, hidden int, options ...LayerOption) Tensor {
	d := x.dim
	if heads < 1 || d%max(heads, 1) != 0 {
		b.Failf("block %q: a width of %d cannot be divided into %d heads", name, d, heads)
	}
	l := newLayer(InitXavier(), options)
	in := []Input{{Name: "x", Value: x}}
	add := func(key string, shape []int, init *Init) {
		in = append(in, Input{Name: key, Value: b.param(l, name+"."+key, shape, init)})
	}
	add("norm1.weight", []int{d}, InitOnes())
	add("norm1.bias", []int{d}, InitZeros())
	add("attn.qkv.weight", []int{3 * d, d}, l.weight)
	if !l.noBias {
		add("attn.qkv.bias", []int{3 * d}, l.bias)
	}
	add("attn.proj.weight", []int{d, d}, l.weight)
	add("attn.proj.bias", []int{d}, l.bias)
	add("norm2.weight", []int{d}, InitOnes())
	add("norm2.bias", []int{d}, InitZeros())
	add("mlp.fc1.weight", []int{hidden, d}, l.weight)
	add("mlp.fc1.bias", []int{hidden}, l.bias)
	add("mlp.fc2.weight", []int{d, hidden}, l.weight)
	add("mlp.fc2.bias", []int{d}, l.bias)
	return b.Node(pb.OpViTBlock, d, in, Attr("heads", heads), Attr("eps", b.normEps()))
}

// GELU is x/2 (1+erf(x/sqrt 2)).
func (b *Builder) GELU(x Tensor) Tensor { return b.unary(pb.OpGELU, x) }

// ReLU is max(x,0).
func (b *Builder) ReLU(x Tensor) Tensor { return b.unary(pb.OpReLU, x) }

// Softmax over the last axis.
func (b *Builder) Softmax(x Tensor) Tensor { return b.unary(pb.OpSoftmax, x) }

// LogSoftmax over the last axis.
func (b *Builder) LogSoftmax(x Tensor) Tensor { return b.unary(pb.OpLogSoftmax, x) }

// StopGradient is x without a gradient.
func (b *Builder) StopGradient(x Tensor) Tensor { return b.unary(pb.OpStopGradient, x) }

// L2Normalize divides each row of the last axis by max(norm, 1e-12).
func (b *Builder) L2Normalize(x Tensor) Tensor {
	return b.Node(pb.OpL2Normalize, x.dim, []Input{{Name: "x", Value: x}}, Attr("eps", 1e-12))
}

func (b *Builder) unary(op string, x Tensor) Tensor {
	return b.Node(op, x.dim, []Input{{Name: "x", Value: x}})
}

// Add is x + y, of equal shapes.
func (b *Builder) Add(x, y Tensor) Tensor {
	return b.Node(pb.OpAdd, x.dim, []Input{{Name: "a", Value: x}, {Name: "b", Value: y}})
}

// AddRow is x plus one row, [D] or [1,D], added to each of its rows.
func (b *Builder) AddRow(x, row Tensor) Tensor {
	return b.Node(pb.OpAddRow, x.dim, []Input{{Name: "x", Value: x}, {Name: "row", Value: row}})
}

// Mul is x * y, element by element.
func (b *Builder) Mul(x, y Tensor) Tensor {
	return b.Node(pb.OpMul, x.dim, []Input{{Name: "a", Value: x}, {Name: "b", Value: y}})
}

// Scale is x * factor.
func (b *Builder) Scale(x Tensor, factor float64) Tensor {
	return b.Node(pb.OpScale, x.dim, []Input{{Name: "x", Value: x}}, Attr("factor", factor))
}

// ScaleBy is x times a scheduled number.
func (b *Builder) ScaleBy(x Tensor, factor Scalar) Tensor {
	return b.Node(pb.OpScale, x.dim, []Input{{Name: "x", Value: x}, {Name: "factor", Value: factor.Tensor()}})
}

// Exp is e^x.
func (b *Builder) Exp(x Tensor) Tensor { return b.unary(pb.OpExp, x) }

// Sum of all elements, a scalar.
func (b *Builder) Sum(x Tensor) Tensor { return b.Node(pb.OpSum, 1, []Input{{Name: "x", Value: x}}) }

// Mean of all elements, a scalar.
func (b *Builder) Mean(x Tensor) Tensor { return b.Node(pb.OpMean, 1, []Input{{Name: "x", Value: x}}) }

// MeanRow averages over all axes but the last one: [..,D] -> [1,D].
func (b *Builder) MeanRow(x Tensor) Tensor {
	if x.dim == 0 {
		b.Failf("mean_row: the size of the last axis is not known")
	}
	return b.MeanTokens(b.Reshape(x, 1, -1, max(x.dim, 1)), 0)
}

// MatMul is x y, or with their transposes.
func (b *Builder) MatMul(x, y Tensor, transposeX, transposeY bool) Tensor {
	dim := y.dim
	if transposeY {
		dim = 0
	}
	return b.Node(pb.OpMatMul, dim, []Input{{Name: "a", Value: x}, {Name: "b", Value: y}},
		Attr("transpose_a", transposeX), Attr("transpose_b", transposeY))
}

// Reshape changes the shape: 0 keeps an axis of x, -1 is inferred.
func (b *Builder) Reshape(x Tensor, shape ...int) Tensor {
	dim := shape[len(shape)-1]
	if dim < 1 {
		dim = 0
	}
	return b.Node(pb.OpReshape, dim, []Input{{Name: "x", Value: x}}, Attr("shape", shape))
}

// ViewRows are the rows of one view of a pass over several: [views*B,..] -> [B,..].
func (b *Builder) ViewRows(x Tensor, view, views int) Tensor {
	return b.Node(pb.OpViewRows, x.dim, []Input{{Name: "x", Value: x}}, Attr("view", view), Attr("views", views))
}

// RowNumbers are 0, 1, .. for the rows of x, int [R]: labels for CrossEntropy when the positive of
// row i stands in column i.
func (b *Builder) RowNumbers(x Tensor) Tensor {
	t := b.unary(pb.OpRowNumbers, x)
	t.dim = 0
	return t
}

// Concat joins tensors along an axis that is not the last one.
func (b *Builder) Concat(axis int, xs ...Tensor) Tensor {
	var in []Input
	dim := 0
	for _, x := range xs {
		in, dim = append(in, Input{Name: "x", Value: x}), x.dim
	}
	return b.Node(pb.OpConcat, dim, in, Attr("axis", axis))
}
