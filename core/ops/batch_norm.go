package ops

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// BatchNormOptions are the settings of BatchNorm.
type BatchNormOptions struct {
	Eps      float64 // added to the variance; 1e-5 is common
	Momentum float64 // share of the batch in new running statistics; 0.1 is common
	Eval     bool    // normalize with the running statistics
}

// RunningStatistics is the state of BatchNorm between steps.
type RunningStatistics struct {
	Mean, Variance *param.Parameter // buffers [C]
	Count          *param.Parameter // buffer of one element: number of batches so far; may be nil
}

// FewValuesError says that BatchNorm in training got fewer than two values of a channel: they have no
// variance.
type FewValuesError struct {
	Values int // of each channel
}

func (e *FewValuesError) Error() string {
	return fmt.Sprintf("batch normalization needs at least 2 values of each channel in training, and gets %d", e.Values)
}

// BatchNorm normalizes the columns of x [R, C] (Ioffe and Szegedy, arXiv:1502.03167): in training
// with the mean and the biased variance of the batch, in evaluation with the running ones. gamma
// and beta [C] may be nil; the result is [R, C]. In training Executable.Commit moves the running
// statistics towards the mean and the unbiased variance of the batch and counts the batch, once per
// call of BatchNorm, in order. Fewer than two rows in training are a *FewValuesError of the graph.
func BatchNorm(g *core.Graph, x, gamma, beta *core.Node, running RunningStatistics, opt BatchNormOptions) *core.Node {
	const want = "x [R, C], gamma and beta [C] or nil, running mean and variance [C], count of one element or nil"
	if !g.Check("batch_norm", want, []*core.Node{x}, []*core.Node{gamma, beta}, func() bool {
		return len(x.Shape()) == 2 && !x.Integer() &&
			isVector(gamma, x.Shape()[1]) && isVector(beta, x.Shape()[1]) && running.fit(x.Shape()[1])
	}) {
		return g.Invalid()
	}
	if rows := x.Shape()[0]; !opt.Eval && rows < 2 {
		return g.Fail("%w", &FewValuesError{rows})
	}
	n := x.Shape()[1]
	b := &batchNorm{
		rows: x.Shape()[0], n: n, opt: opt, running: running,
		mean: make([]float64, n), variance: make([]float64, n), deviation: make([]float64, n),
	}
	o := &core.Op{
		Name: "batch_norm", In: []*core.Node{x, gamma, beta}, KeepIn: core.OperandSet(0, 1),
		Forward:  func(c *core.Call) { b.blocks(c, b.forward) },
		Backward: func(c *core.Call) { b.blocks(c, b.backward) },
	}
	if !opt.Eval {
		o.Commit = b.commit
	}
	return g.Apply(o, x.Shape())[0]
}

// fit reports whether the buffers are there and have n columns.
func (s RunningStatistics) fit(n int) bool {
	c := tensor.Shape{n}
	return s.Mean != nil && s.Variance != nil && s.Mean.Shape.Equal(c) && s.Variance.Shape.Equal(c) &&
		(s.Count == nil || len(s.Count.Data) == 1)
}

// batchNorm is the arithmetic of BatchNorm on [rows, n].
type batchNorm struct {
	rows, n        int
	opt            BatchNormOptions
	running        RunningStatistics
	mean, variance []float64 // of the last forward pass, [n]
	deviation      []float64 // reciprocal of the standard deviation, [n]
}

// normColumns is the number of columns in a block: one cache line of a row.
const normColumns = 16

// blocks calls f in parallel for blocks of columns lo..hi-1. The division into blocks changes no
// sum.
func (b *batchNorm) blocks(c *core.Call, f func(c *core.Call, lo, hi int)) {
	c.Pool.Do((b.n+normColumns-1)/normColumns, func(_, block int) {
		f(c, block*normColumns, min(b.n, (block+1)*normColumns))
	})
}

// gain returns gamma[j], 1 without gamma.
func gain(c *core.Call, j int) float64 {
	if c.In[1] == nil {
		return 1
	}
	return float64(c.In[1][j])
}

// loadRunning takes mean and variance of a block of columns from the running statistics.
func (b *batchNorm) loadRunning(lo, hi int) {
	for j := lo; j < hi; j++ {
		b.mean[j], b.variance[j] = float64(b.running.Mean.Data[j]), float64(b.running.Variance.Data[j])
	}
}

// forward computes y = (x - mean)·deviation·gamma + beta for a block of columns.
func (b *batchNorm) forward(c *core.Call, lo, hi int) {
	m, v := b.mean[lo:hi], b.variance[lo:hi]
	if b.opt.Eval {
		b.loadRunning(lo, hi)
	} else {
		columnMoments(c.In[0], b.rows, b.n, lo, m, v)
	}
	var factor, shift [normColumns]float64
	for j := range m {
		b.deviation[lo+j] = 1 / math.Sqrt(v[j]+b.opt.Eps)
		factor[j] = gain(c, lo+j) * b.deviation[lo+j]
		if c.In[2] != nil {
			shift[j] = float64(c.In[2][lo+j])
		}
	}
	for r := range b.rows {
		in, out := c.In[0][r*b.n+lo:r*b.n+hi], c.Out[0][r*b.n+lo:r*b.n+hi]
		for j := range m {
			out[j] = float32((float64(in[j])-m[j])*factor[j] + shift[j])
		}
	}
}

// backward computes the gradients of x, gamma and beta for a block of columns.
func (b *batchNorm) backward(c *core.Call, lo, hi int) {
	m, d := b.mean[lo:hi], b.deviation[lo:hi]
	var sum, dot, factor [normColumns]float64 // sums of dy and of dy·x̂
	for r := range b.rows {
		in, dy := c.In[0][r*b.n+lo:r*b.n+hi], c.GradOut[0][r*b.n+lo:r*b.n+hi]
		for j := range m {
			sum[j] += float64(dy[j])
			dot[j] += float64(dy[j]) * (float64(in[j]) - m[j]) * d[j]
		}
	}
	for j := range m {
		if c.GradIn[1] != nil {
			c.GradIn[1][lo+j] = float32(dot[j])
		}
		if c.GradIn[2] != nil {
			c.GradIn[2][lo+j] = float32(sum[j])
		}
		factor[j] = gain(c, lo+j) * d[j]
		if b.opt.Eval {
			sum[j], dot[j] = 0, 0 // the statistics do not depend on x
		}
		sum[j] /= float64(b.rows)
		dot[j] /= float64(b.rows)
	}
	if c.GradIn[0] == nil {
		return
	}
	for r := range b.rows {
		in, dy, dx := c.In[0][r*b.n+lo:r*b.n+hi], c.GradOut[0][r*b.n+lo:r*b.n+hi], c.GradIn[0][r*b.n+lo:r*b.n+hi]
		for j := range m {
			hat := (float64(in[j]) - m[j]) * d[j]
			dx[j] = float32(factor[j] * (float64(dy[j]) - sum[j] - hat*dot[j]))
		}
	}
}

// commit moves the running statistics towards those of the batch.
func (b *batchNorm) commit() {
	unbiased := float64(b.rows) / float64(b.rows-1)
	mean, variance, momentum := b.running.Mean.Data, b.running.Variance.Data, b.opt.Momentum
	for j := range b.n {
		mean[j] = float32((1-momentum)*float64(mean[j]) + momentum*b.mean[j])
		variance[j] = float32((1-momentum)*float64(variance[j]) + momentum*b.variance[j]*unbiased)
	}
	if b.running.Count != nil {
		b.running.Count.Data[0]++
	}
}

// columnMoments computes mean m and biased variance v of the columns lo, lo+1, … of x [rows, n];
// len(m), at most normColumns, is the number of columns.
func columnMoments(x []float32, rows, n, lo int, m, v []float64) {
	var sum, squares [normColumns]float64
	for r := range rows {
		for j, a := range x[r*n+lo : r*n+lo+len(m)] {
			sum[j] += float64(a)
		}
	}
	for j := range m {
		m[j] = sum[j] / float64(rows)
	}
	for r := range rows {
		for j, a := range x[r*n+lo : r*n+lo+len(m)] {
			d := float64(a) - m[j]
			squares[j] += d * d
		}
	}
	for j := range v {
		v[j] = squares[j] / float64(rows)
	}
}
