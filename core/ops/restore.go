package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// RestoreTokens puts kept tokens back in raster order and a mask token in every
// other place (He et al., MAE, arXiv:2111.06377). x is [B, 1+K, D], class token
// first; token k of sample b belongs to place keep[b, k] of L; the result is
// [B, 1+L, D]. maskToken is [1, 1, D]. Places must be distinct.
func RestoreTokens(g *core.Graph, x, maskToken, keep *core.Node, l int) *core.Node {
	if !g.Check("restore_tokens", fmt.Sprintf("x [B, 1+K, D], mask token [1, 1, D], integers keep [B, K], K at most %d", l), []*core.Node{x, maskToken, keep}, nil, func() bool {
		return len(x.Shape()) == 3 && keep.Integer() && len(keep.Shape()) == 2 && keep.Shape()[0] == x.Shape()[0] &&
			keep.Shape()[1]+1 == x.Shape()[1] && keep.Shape()[1] <= l && maskToken.Shape().Size() == x.Shape()[2]
	}) {
		return g.Invalid()
	}
	b, k, d := x.Shape()[0], keep.Shape()[1], x.Shape()[2]
	masked := b * (l - k)
	source := make([]int32, b*(1+l))    // row of x for each row of the result, -1: mask token
	target := make([]int32, b*(1+k))    // row of the result for each row of x
	removed := make([]int32, 0, masked) // rows of the result that hold the mask token
	o := &core.Op{
		Name: "restore_tokens", In: []*core.Node{x, maskToken, keep}, NoGrad: core.OperandSet(2),
		Forward: func(c *core.Call) {
			if c.Err = restorePlan(c.Ints[2], b, k, l, source, target); c.Err != nil {
				return
			}
			removed = removed[:0]
			for r, s := range source {
				if s < 0 {
					removed = append(removed, int32(r))
				}
			}
			f32.GatherRows(c.Pool, len(source), d, c.In[0], source, c.Out[0])
			token := c.In[1]
			c.Pool.Do(b, func(_, i int) {
				for r := i * (1 + l); r < (i+1)*(1+l); r++ {
					if source[r] < 0 {
						copy(c.Out[0][r*d:(r+1)*d], token)
					}
				}
			})
		},
		Backward: func(c *core.Call) {
			if c.GradIn[0] != nil {
				f32.GatherRows(c.Pool, len(target), d, c.GradOut[0], target, c.GradIn[0])
			}
			if c.GradIn[1] != nil {
				f32.GatherRows(c.Pool, masked, d, c.GradOut[0], removed, c.Work)
				f32.ColumnSum(c.Pool, masked, d, c.Work, c.GradIn[1])
			}
		},
	}
	if o.WantsGrad(1) {
		o.WorkBack = masked * d
	}
	return g.Apply(o, tensor.Shape{b, 1 + l, d})[0]
}

// restorePlan fills source and target from keep and checks it.
func restorePlan(keep []int32, b, k, l int, source, target []int32) error {
	for i := range b {
		src := source[i*(1+l) : (i+1)*(1+l)]
		for j := range src {
			src[j] = -1
		}
		src[0] = int32(i * (1 + k))
		target[i*(1+k)] = int32(i * (1 + l))
		for j := range k {
			v := keep[i*k+j]
			if v < 0 || int(v) >= l {
				return fmt.Errorf("place %d of sample %d, token %d, lies outside 0..%d", v, i, j, l-1)
			}
			if src[1+v] >= 0 {
				return fmt.Errorf("place %d is kept twice in sample %d", v, i)
			}
			src[1+v] = int32(i*(1+k) + 1 + j)
			target[i*(1+k)+1+j] = int32(i*(1+l)) + 1 + v
		}
	}
	return nil
}

// ReplaceTokens puts token [1, 1, D] in place of x[b, n] wherever mask[b, n] is
// not zero; x is [B, N, D], mask [B, N] takes no gradient.
func ReplaceTokens(g *core.Graph, x, token, mask *core.Node) *core.Node {
	if !g.Check("replace_tokens", "x [B, N, D], token [1, 1, D], mask [B, N]", []*core.Node{x, token, mask}, nil, func() bool {
		return len(x.Shape()) == 3 && token.Shape().Size() == x.Shape()[2] && !mask.Integer() && mask.Shape().Equal(x.Shape()[:2])
	}) {
		return g.Invalid()
	}
	b, n, d := x.Shape()[0], x.Shape()[1], x.Shape()[2]
	o := &core.Op{
		Name: "replace_tokens", In: []*core.Node{x, token, mask}, NoGrad: core.OperandSet(2), KeepIn: core.OperandSet(2),
		Forward: func(c *core.Call) {
			c.Pool.Do(b, func(_, i int) {
				for r := i * n; r < (i+1)*n; r++ {
					src := c.In[0][r*d : (r+1)*d]
					if c.In[2][r] != 0 {
						src = c.In[1]
					}
					copy(c.Out[0][r*d:(r+1)*d], src)
				}
			})
		},
		Backward: func(c *core.Call) {
			// dx keeps the rows that were kept, the scratch those that were replaced.
			c.Pool.Do(b, func(_, i int) {
				for r := i * n; r < (i+1)*n; r++ {
					from := c.GradOut[0][r*d : (r+1)*d]
					for side, dst := range [][]float32{c.GradIn[0], c.Work} {
						if len(dst) == 0 {
							continue
						}
						if replaced := c.In[2][r] != 0; replaced == (side == 1) {
							copy(dst[r*d:(r+1)*d], from)
						} else {
							clear(dst[r*d : (r+1)*d])
						}
					}
				}
			})
			if c.GradIn[1] != nil {
				f32.ColumnSum(c.Pool, b*n, d, c.Work, c.GradIn[1])
			}
		},
	}
	if o.WantsGrad(1) {
		o.WorkBack = b * n * d
	}
	return g.Apply(o, x.Shape())[0]
}
