package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// BatchNormOptions are the settings of BatchNorm.
type BatchNormOptions struct {
	Eps      float64 // inside the root; 1e-5 is common
	Momentum float64 // share of the batch in new running statistics; 0.1 is common
	Eval     bool    // normalise with the running statistics
}

// RunningStatistics is what BatchNorm keeps between steps.
type RunningStatistics struct {
	Mean, Variance *param.Parameter // buffers [C]
	Count          *param.Parameter // buffer of one element: batches seen so far; may be nil
}

// normColumns is how many columns of a batch norm are walked together: one cache
// line of a row.
const normColumns = 16

// BatchNorm normalises the columns of x [R, C] (Ioffe and Szegedy,
// arXiv:1502.03167): in training with the mean and the biased variance of the
// batch, in evaluation with the running ones. gamma and beta [C] may be nil. In
// training Executable.Commit moves the running statistics towards the batch's
// mean and unbiased variance and counts the batch, once per call of BatchNorm, in
// order.
func BatchNorm(g *core.Graph, x, gamma, beta *core.Node, running RunningStatistics, opt BatchNormOptions) *core.Node {
	mean, variance := running.Mean, running.Variance
	if !g.Check("batch_norm", "x [R, C] (R at least 2 in training), gamma and beta [C] or nil, running mean and variance [C], count of one element or nil",
		[]*core.Node{x}, []*core.Node{gamma, beta}, func() bool {
			if len(x.Shape()) != 2 || x.Integer() || mean == nil || variance == nil || !opt.Eval && x.Shape()[0] < 2 {
				return false
			}
			if running.Count != nil && len(running.Count.Data) != 1 {
				return false
			}
			c := tensor.Shape{x.Shape()[1]}
			return (gamma == nil || gamma.Shape().Equal(c)) && (beta == nil || beta.Shape().Equal(c)) && mean.Shape.Equal(c) && variance.Shape.Equal(c)
		}) {
		return g.Invalid()
	}
	rows, n := x.Shape()[0], x.Shape()[1]
	batchMean, batchVar := make([]float64, n), make([]float64, n)
	deviation := make([]float64, n) // reciprocal
	// blocks calls f for the columns lo..hi-1, normColumns of them per turn. Which
	// columns go together changes no sum.
	blocks := func(c *core.Call, f func(lo, hi int)) {
		c.Pool.Do((n+normColumns-1)/normColumns, func(_, chunk int) {
			f(chunk*normColumns, min(n, (chunk+1)*normColumns))
		})
	}
	gain := func(c *core.Call, j int) float64 {
		if c.In[1] == nil {
			return 1
		}
		return float64(c.In[1][j])
	}
	o := &core.Op{
		Name: "batch_norm", In: []*core.Node{x, gamma, beta}, KeepIn: core.OperandSet(0, 1),
		Forward: func(c *core.Call) {
			blocks(c, func(lo, hi int) {
				m, v := batchMean[lo:hi], batchVar[lo:hi]
				if opt.Eval {
					for j := range m {
						m[j], v[j] = float64(mean.Data[lo+j]), float64(variance.Data[lo+j])
					}
				} else {
					columnMoments(c.In[0], rows, n, lo, m, v)
				}
				var factor, shift [normColumns]float64
				for j := range m {
					deviation[lo+j] = 1 / math.Sqrt(v[j]+opt.Eps)
					factor[j] = gain(c, lo+j) * deviation[lo+j]
					if c.In[2] != nil {
						shift[j] = float64(c.In[2][lo+j])
					}
				}
				for r := range rows {
					in, out := c.In[0][r*n+lo:r*n+hi], c.Out[0][r*n+lo:r*n+hi]
					for j := range m {
						out[j] = float32((float64(in[j])-m[j])*factor[j] + shift[j])
					}
				}
			})
		},
		Backward: func(c *core.Call) {
			blocks(c, func(lo, hi int) {
				m, d := batchMean[lo:hi], deviation[lo:hi]
				var sum, dot, factor [normColumns]float64 // sums of dy and of dy·x̂
				for r := range rows {
					in, dy := c.In[0][r*n+lo:r*n+hi], c.GradOut[0][r*n+lo:r*n+hi]
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
					if opt.Eval {
						sum[j], dot[j] = 0, 0 // the statistics do not depend on x
					}
					sum[j] /= float64(rows)
					dot[j] /= float64(rows)
				}
				if c.GradIn[0] == nil {
					return
				}
				for r := range rows {
					in, dy, dx := c.In[0][r*n+lo:r*n+hi], c.GradOut[0][r*n+lo:r*n+hi], c.GradIn[0][r*n+lo:r*n+hi]
					for j := range m {
						hat := (float64(in[j]) - m[j]) * d[j]
						dx[j] = float32(factor[j] * (float64(dy[j]) - sum[j] - hat*dot[j]))
					}
				}
			})
		},
	}
	if !opt.Eval {
		o.Commit = func() {
			unbiased := float64(rows) / float64(rows-1)
			for j := range n {
				mean.Data[j] = float32((1-opt.Momentum)*float64(mean.Data[j]) + opt.Momentum*batchMean[j])
				variance.Data[j] = float32((1-opt.Momentum)*float64(variance.Data[j]) + opt.Momentum*batchVar[j]*unbiased)
			}
			if running.Count != nil {
				running.Count.Data[0]++
			}
		}
	}
	return g.Apply(o, x.Shape())[0]
}

// columnMoments computes mean and biased variance of the columns lo, lo+1, … of
// x [rows, n]; m and v, at most normColumns long, say how many.
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
