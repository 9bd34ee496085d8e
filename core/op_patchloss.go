package core

import (
	"fmt"
	"math"
)

// NormalizePatches returns (t - mean)/sqrt(var + 1e-6) of every patch of target
// [B, L, P], with the unbiased variance: MAE's normalised pixel targets. It has
// no gradient.
func (g *Graph) NormalizePatches(target *Node) *Node {
	if !g.fits("normalize_patches", "target [..., P] with P at least 2", []*Node{target}, nil, func() bool {
		return len(target.shape) > 0 && target.shape.last() > 1
	}) {
		return g.invalid()
	}
	rows, n := target.shape.rows(), target.shape.last()
	return g.apply(&op{
		name: "normalize_patches", in: []*Node{target}, noGrad: set(0),
		forward: func(c *call) {
			c.inRows(rows, func(r int) {
				x, y := c.in[0][r*n:(r+1)*n], c.out[0][r*n:(r+1)*n]
				var sum, squares float64
				for _, v := range x {
					sum += float64(v)
				}
				mean := sum / float64(n)
				for _, v := range x {
					d := float64(v) - mean
					squares += d * d
				}
				scale := 1 / math.Sqrt(squares/float64(n-1)+1e-6)
				for i, v := range x {
					y[i] = float32((float64(v) - mean) * scale)
				}
			})
		},
	}, target.shape)[0]
}

// PatchMSE is MAE's loss: the mean squared error of every patch of pred [B, L, P]
// against target [B, L, P], averaged with the weights mask [B, L] (1: counts)
// over all patches of the batch. It returns the scalar and the errors per patch
// [B, L]. An all-zero mask is an error of Run. target and mask take no gradient.
func (g *Graph) PatchMSE(pred, target, mask *Node) (loss, perPatch *Node) {
	return g.patchLoss("patch_mse", pred, target, mask,
		func(d float64) float64 { return d * d },
		func(d float32) float32 { return 2 * d })
}

// PatchL1 is PatchMSE with the absolute difference (SimMIM, arXiv:2111.09886).
func (g *Graph) PatchL1(pred, target, mask *Node) (loss, perPatch *Node) {
	return g.patchLoss("patch_l1", pred, target, mask, math.Abs, sign)
}

// PatchSmoothL1 is PatchMSE with the smooth absolute difference: d²/(2·beta) where
// |d| < beta, |d| - beta/2 elsewhere (Girshick, arXiv:1504.08083). beta must be
// positive.
func (g *Graph) PatchSmoothL1(pred, target, mask *Node, beta float64) (loss, perPatch *Node) {
	if !(beta > 0) {
		g.fail("patch_smooth_l1: beta is %v, must be positive", beta)
		return g.invalid(), g.invalid()
	}
	return g.patchLoss("patch_smooth_l1", pred, target, mask,
		func(d float64) float64 {
			if d = math.Abs(d); d < beta {
				return d * d / (2 * beta)
			}
			return d - beta/2
		},
		func(d float32) float32 {
			if d < float32(beta) && d > -float32(beta) {
				return d / float32(beta)
			}
			return sign(d)
		})
}

func sign(d float32) float32 {
	switch {
	case d > 0:
		return 1
	case d < 0:
		return -1
	}
	return d // 0 and NaN
}

// patchLoss averages f(pred-target); df is f's derivative.
func (g *Graph) patchLoss(name string, pred, target, mask *Node, f func(float64) float64, df func(float32) float32) (loss, perPatch *Node) {
	if !g.fits(name, "pred and target [B, L, P], mask [B, L]", []*Node{pred, target, mask}, nil, func() bool {
		return len(pred.shape) == 3 && target.shape.Equal(pred.shape) && mask.shape.Equal(pred.shape[:2]) && !mask.integer
	}) {
		return g.invalid(), g.invalid()
	}
	rows, n := pred.shape.rows(), pred.shape.last()
	var weights float64 // sum of the mask
	out := g.apply(&op{
		name: name, in: []*Node{pred, target, mask}, noGrad: set(1, 2), keepIn: set(0, 1, 2),
		forward: func(c *call) {
			c.inRows(rows, func(r int) {
				p, t := c.in[0][r*n:(r+1)*n], c.in[1][r*n:(r+1)*n]
				var sum float64
				for i, v := range p {
					sum += f(float64(v) - float64(t[i]))
				}
				c.out[1][r] = float32(sum / float64(n))
			})
			var sum float64
			weights = 0
			for r, m := range c.in[2] {
				weights += float64(m)
				if m != 0 {
					sum += float64(m) * float64(c.out[1][r])
				}
			}
			if weights == 0 {
				c.err = fmt.Errorf("the mask is zero everywhere, so there is nothing to average")
				return
			}
			c.out[0][0] = float32(sum / weights)
		},
		backward: func(c *call) {
			c.inRows(rows, func(r int) {
				var k float64
				if c.gout[0] != nil {
					k = float64(c.gout[0][0]) * float64(c.in[2][r]) / weights
				}
				if c.gout[1] != nil {
					k += float64(c.gout[1][r])
				}
				scale := float32(k / float64(n))
				p, t, d := c.in[0][r*n:(r+1)*n], c.in[1][r*n:(r+1)*n], c.gin[0][r*n:(r+1)*n]
				if scale == 0 {
					clear(d)
					return
				}
				for i, v := range p {
					d[i] = scale * df(v-t[i])
				}
			})
		},
	}, Shape{}, pred.shape[:2])
	return out[0], out[1]
}

// inRows calls f for every row, in parallel, a good number of rows per turn.
func (c *call) inRows(rows int, f func(r int)) {
	chunks := min(rows, 64)
	c.pool.Do(chunks, func(_, i int) {
		for r := rows * i / chunks; r < rows*(i+1)/chunks; r++ {
			f(r)
		}
	})
}
