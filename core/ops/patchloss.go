package ops

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// NormalizePatches returns (t - mean)/sqrt(var + 1e-6) of every patch of target
// [B, L, P], with the unbiased variance: MAE's normalised pixel targets. It has
// no gradient.
func NormalizePatches(g *core.Graph, target *core.Node) *core.Node {
	if !g.Check("normalize_patches", "target [..., P] with P at least 2", []*core.Node{target}, nil, func() bool {
		return len(target.Shape()) > 0 && target.Shape().Last() > 1
	}) {
		return g.Invalid()
	}
	rows, n := target.Shape().Rows(), target.Shape().Last()
	return g.Apply(&core.Op{
		Name: "normalize_patches", In: []*core.Node{target}, NoGrad: core.OperandSet(0),
		Forward: func(c *core.Call) {
			c.EachRow(rows, func(r int) {
				x, y := c.In[0][r*n:(r+1)*n], c.Out[0][r*n:(r+1)*n]
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
	}, target.Shape())[0]
}

// PatchMSE is MAE's loss: the mean squared error of every patch of pred [B, L, P]
// against target [B, L, P], averaged with the weights mask [B, L] (1: counts)
// over all patches of the batch. It returns the scalar and the errors per patch
// [B, L]. An all-zero mask is an error of Run. target and mask take no gradient.
func PatchMSE(g *core.Graph, pred, target, mask *core.Node) (loss, perPatch *core.Node) {
	return patchLoss(g, "patch_mse", pred, target, mask,
		func(d float64) float64 { return d * d },
		func(d float32) float32 { return 2 * d })
}

// PatchL1 is PatchMSE with the absolute difference (SimMIM, arXiv:2111.09886).
func PatchL1(g *core.Graph, pred, target, mask *core.Node) (loss, perPatch *core.Node) {
	return patchLoss(g, "patch_l1", pred, target, mask, math.Abs, sign)
}

// PatchSmoothL1 is PatchMSE with the smooth absolute difference: d²/(2·beta) where
// |d| < beta, |d| - beta/2 elsewhere (Girshick, arXiv:1504.08083). beta must be
// positive.
func PatchSmoothL1(g *core.Graph, pred, target, mask *core.Node, beta float64) (loss, perPatch *core.Node) {
	if !(beta > 0) {
		g.Fail("patch_smooth_l1: beta is %v, must be positive", beta)
		return g.Invalid(), g.Invalid()
	}
	return patchLoss(g, "patch_smooth_l1", pred, target, mask,
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
func patchLoss(g *core.Graph, name string, pred, target, mask *core.Node, f func(float64) float64, df func(float32) float32) (loss, perPatch *core.Node) {
	if !g.Check(name, "pred and target [B, L, P], mask [B, L]", []*core.Node{pred, target, mask}, nil, func() bool {
		return len(pred.Shape()) == 3 && target.Shape().Equal(pred.Shape()) && mask.Shape().Equal(pred.Shape()[:2]) && !mask.Integer()
	}) {
		return g.Invalid(), g.Invalid()
	}
	rows, n := pred.Shape().Rows(), pred.Shape().Last()
	var weights float64 // sum of the mask
	out := g.Apply(&core.Op{
		Name: name, In: []*core.Node{pred, target, mask}, NoGrad: core.OperandSet(1, 2), KeepIn: core.OperandSet(0, 1, 2),
		Forward: func(c *core.Call) {
			c.EachRow(rows, func(r int) {
				p, t := c.In[0][r*n:(r+1)*n], c.In[1][r*n:(r+1)*n]
				var sum float64
				for i, v := range p {
					sum += f(float64(v) - float64(t[i]))
				}
				c.Out[1][r] = float32(sum / float64(n))
			})
			var sum float64
			weights = 0
			for r, m := range c.In[2] {
				weights += float64(m)
				if m != 0 {
					sum += float64(m) * float64(c.Out[1][r])
				}
			}
			if weights == 0 {
				c.Err = fmt.Errorf("the mask is zero everywhere, so there is nothing to average")
				return
			}
			c.Out[0][0] = float32(sum / weights)
		},
		Backward: func(c *core.Call) {
			c.EachRow(rows, func(r int) {
				var k float64
				if c.GradOut[0] != nil {
					k = float64(c.GradOut[0][0]) * float64(c.In[2][r]) / weights
				}
				if c.GradOut[1] != nil {
					k += float64(c.GradOut[1][r])
				}
				scale := float32(k / float64(n))
				p, t, d := c.In[0][r*n:(r+1)*n], c.In[1][r*n:(r+1)*n], c.GradIn[0][r*n:(r+1)*n]
				if scale == 0 {
					clear(d)
					return
				}
				for i, v := range p {
					d[i] = scale * df(v-t[i])
				}
			})
		},
	}, tensor.Shape{}, pred.Shape()[:2])
	return out[0], out[1]
}
