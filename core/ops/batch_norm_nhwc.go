package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
)

// BatchNormNHWC is BatchNorm over all but the last axis of x [..., C], the channels of maps, with
// the operators that follow it in residual networks: y = norm(x)·gamma + beta + residual and, with
// relu, its positive part. gamma and beta [C] and the residual, of the shape of x, may be nil.
//
// Moments, and the sums of the backward pass, are summed in float32 over a few rows and in float64
// over these sums; BatchNorm sums in float64 throughout.
func BatchNormNHWC(g *core.Graph, x, gamma, beta, residual *core.Node, running RunningStatistics, opt BatchNormOptions, relu bool) *core.Node {
	const want = "x [..., C] (at least 2 rows of channels in training), gamma and beta [C] or nil, residual of the shape of x or nil, running mean and variance [C], count of one element or nil"
	if !g.Check("batch_norm_nhwc", want, []*core.Node{x}, []*core.Node{gamma, beta, residual}, func() bool {
		return len(x.Shape()) > 1 && !x.Integer() && (opt.Eval || x.Shape().Rows() > 1) && isVector(gamma, x.Shape().Last()) &&
			isVector(beta, x.Shape().Last()) && running.fit(x.Shape().Last()) && (residual == nil || residual.Shape().Equal(x.Shape()))
	}) {
		return g.Invalid()
	}
	n := x.Shape().Last()
	b := &mapNorm{
		batchNorm: batchNorm{rows: x.Shape().Rows(), n: n, opt: opt, running: running,
			mean: make([]float64, n), variance: make([]float64, n), deviation: make([]float64, n)},
		relu: relu, vectors: f32.Alloc(5 * n),
	}
	for i := range b.sums {
		b.sums[i] = make([]float64, n)
	}
	o := &core.Op{
		Name: "batch_norm_nhwc", In: []*core.Node{x, gamma, beta, residual}, KeepIn: core.OperandSet(0, 1),
		Forward: b.forward, Backward: b.backward,
	}
	if residual != nil {
		o.KeepOut = core.OperandSet(0)
		if !o.WantsGrad(3) {
			o.WorkBack = x.Shape().Size()
		}
	}
	if !opt.Eval {
		o.Commit = b.commit
	}
	return g.Apply(o, x.Shape())[0]
}

// mapNorm is the arithmetic of BatchNormNHWC on [rows, n].
type mapNorm struct {
	batchNorm
	relu    bool
	vectors []float32    // of the last forward pass
	sums    [4][]float64 // scratch of the backward pass, [n] each
}

// kernel returns the operands of the kernels.
func (b *mapNorm) kernel(c *core.Call) f32.BatchNorm {
	return f32.BatchNorm{Rows: b.rows, N: b.n, X: c.In[0], Residual: c.In[3], Relu: b.relu, Vectors: b.vectors}
}

func (b *mapNorm) forward(c *core.Call) {
	k := b.kernel(c)
	if b.opt.Eval {
		b.loadRunning(0, b.n)
	} else {
		k.Moments(c.Pool, b.mean, b.variance)
	}
	for j, v := range b.variance {
		b.deviation[j] = 1 / math.Sqrt(v+b.opt.Eps)
	}
	k.Scale(b.mean, b.variance, b.opt.Eps, c.In[1], c.In[2])
	k.Forward(c.Pool, c.Out[0])
}

func (b *mapNorm) backward(c *core.Call) {
	k := b.kernel(c)
	var y, g []float32
	grad := c.GradOut[0]
	if k.Residual != nil {
		y, g = c.Out[0], c.GradIn[3]
		if g == nil {
			g = c.Work
		}
	}
	sum, dot, slope, offset := b.sums[0], b.sums[1], b.sums[2], b.sums[3]
	k.BackwardSums(c.Pool, grad, y, g, sum, dot)
	if g != nil {
		grad = g
	}
	for j := range b.n {
		rounded := float64(b.vectors[j]) - b.mean[j] // the mean of dot is rounded
		dot[j] += rounded * sum[j]
		if c.GradIn[1] != nil {
			c.GradIn[1][j] = float32(dot[j] * b.deviation[j])
		}
		if c.GradIn[2] != nil {
			c.GradIn[2][j] = float32(sum[j])
		}
		slope[j], offset[j] = 0, 0
		if !b.opt.Eval { // the moments depend on x
			factor := gain(c, j) * b.deviation[j] / float64(b.rows)
			slope[j] = -factor * dot[j] * b.deviation[j] * b.deviation[j]
			offset[j] = -factor*sum[j] + slope[j]*rounded
		}
	}
	if c.GradIn[0] != nil {
		k.Backward(c.Pool, grad, c.GradIn[0], slope, offset)
	}
}
