package core

import "math"

// BatchNormOptions are the settings of BatchNorm.
type BatchNormOptions struct {
	Eps      float64 // inside the root; 1e-5 is common
	Momentum float64 // share of the batch in new running statistics; 0.1 is common
	Eval     bool    // normalise with the running statistics
}

// BatchNorm normalises the columns of x [R, C] (Ioffe and Szegedy,
// arXiv:1502.03167): in training with the mean and the biased variance of the
// batch, in evaluation with the running ones. gamma and beta [C] may be nil. mean
// and variance are buffers [C]; in training Executable.Commit moves them towards
// the batch's mean and unbiased variance, once per call of BatchNorm, in order.
func (g *Graph) BatchNorm(x, gamma, beta *Node, mean, variance *Parameter, opt BatchNormOptions) *Node {
	if !g.fits("batch_norm", "x [R, C] (R at least 2 in training), gamma and beta [C] or nil, buffers [C]", []*Node{x}, []*Node{gamma, beta}, func() bool {
		if len(x.shape) != 2 || x.integer || mean == nil || variance == nil || !opt.Eval && x.shape[0] < 2 {
			return false
		}
		c := Shape{x.shape[1]}
		return (gamma == nil || gamma.shape.Equal(c)) && (beta == nil || beta.shape.Equal(c)) && mean.Shape.Equal(c) && variance.Shape.Equal(c)
	}) {
		return g.invalid()
	}
	rows, n := x.shape[0], x.shape[1]
	batchMean, batchVar := make([]float64, n), make([]float64, n)
	deviation := make([]float64, n) // reciprocal
	// columns calls f for every column, 16 per turn.
	columns := func(c *call, f func(j int)) {
		c.pool.Do((n+15)/16, func(_, chunk int) {
			for j := chunk * 16; j < min(n, chunk*16+16); j++ {
				f(j)
			}
		})
	}
	gain := func(c *call, j int) float64 {
		if c.in[1] == nil {
			return 1
		}
		return float64(c.in[1][j])
	}
	o := &op{
		name: "batch_norm", in: []*Node{x, gamma, beta}, keepIn: set(0, 1),
		forward: func(c *call) {
			columns(c, func(j int) {
				if opt.Eval {
					batchMean[j], batchVar[j] = float64(mean.Data[j]), float64(variance.Data[j])
				} else {
					var sum, squares float64
					for r := range rows {
						sum += float64(c.in[0][r*n+j])
					}
					m := sum / float64(rows)
					for r := range rows {
						d := float64(c.in[0][r*n+j]) - m
						squares += d * d
					}
					batchMean[j], batchVar[j] = m, squares/float64(rows)
				}
				deviation[j] = 1 / math.Sqrt(batchVar[j]+opt.Eps)
				k, shift := gain(c, j)*deviation[j], 0.0
				if c.in[2] != nil {
					shift = float64(c.in[2][j])
				}
				for r := range rows {
					c.out[0][r*n+j] = float32((float64(c.in[0][r*n+j])-batchMean[j])*k + shift)
				}
			})
		},
		backward: func(c *call) {
			columns(c, func(j int) {
				var sum, dot float64 // of dy and of dy·x̂
				for r := range rows {
					dy := float64(c.gout[0][r*n+j])
					sum += dy
					dot += dy * (float64(c.in[0][r*n+j]) - batchMean[j]) * deviation[j]
				}
				if c.gin[1] != nil {
					c.gin[1][j] = float32(dot)
				}
				if c.gin[2] != nil {
					c.gin[2][j] = float32(sum)
				}
				if c.gin[0] == nil {
					return
				}
				k := gain(c, j) * deviation[j]
				if opt.Eval {
					sum, dot = 0, 0 // the statistics do not depend on x
				}
				for r := range rows {
					hat := (float64(c.in[0][r*n+j]) - batchMean[j]) * deviation[j]
					c.gin[0][r*n+j] = float32(k * (float64(c.gout[0][r*n+j]) - sum/float64(rows) - hat*dot/float64(rows)))
				}
			})
		},
	}
	if !opt.Eval {
		o.commit = func() {
			unbiased := float64(rows) / float64(rows-1)
			for j := range n {
				mean.Data[j] = float32((1-opt.Momentum)*float64(mean.Data[j]) + opt.Momentum*batchMean[j])
				variance.Data[j] = float32((1-opt.Momentum)*float64(variance.Data[j]) + opt.Momentum*batchVar[j]*unbiased)
			}
		}
	}
	return g.apply(o, x.shape)[0]
}
