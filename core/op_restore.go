package core

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// RestoreTokens puts kept tokens back in raster order and a mask token in every
// other place (He et al., MAE, arXiv:2111.06377). x is [B, 1+K, D], class token
// first; token k of sample b belongs to place keep[b, k] of L; the result is
// [B, 1+L, D]. maskToken is [1, 1, D]. Places must be distinct.
func (g *Graph) RestoreTokens(x, maskToken, keep *Node, l int) *Node {
	if !g.fits("restore_tokens", fmt.Sprintf("x [B, 1+K, D], mask token [1, 1, D], integers keep [B, K], K at most %d", l), []*Node{x, maskToken, keep}, nil, func() bool {
		return len(x.shape) == 3 && keep.integer && len(keep.shape) == 2 && keep.shape[0] == x.shape[0] &&
			keep.shape[1]+1 == x.shape[1] && keep.shape[1] <= l && maskToken.shape.Size() == x.shape[2]
	}) {
		return g.invalid()
	}
	b, k, d := x.shape[0], keep.shape[1], x.shape[2]
	masked := b * (l - k)
	source := make([]int32, b*(1+l))    // row of x for each row of the result, -1: mask token
	target := make([]int32, b*(1+k))    // row of the result for each row of x
	removed := make([]int32, 0, masked) // rows of the result that hold the mask token
	o := &op{
		name: "restore_tokens", in: []*Node{x, maskToken, keep}, noGrad: set(2),
		forward: func(c *call) {
			if c.err = restorePlan(c.ints[2], b, k, l, source, target); c.err != nil {
				return
			}
			removed = removed[:0]
			for r, s := range source {
				if s < 0 {
					removed = append(removed, int32(r))
				}
			}
			f32.GatherRows(c.pool, len(source), d, c.in[0], source, c.out[0])
			token := c.in[1]
			c.pool.Do(b, func(_, i int) {
				for r := i * (1 + l); r < (i+1)*(1+l); r++ {
					if source[r] < 0 {
						copy(c.out[0][r*d:(r+1)*d], token)
					}
				}
			})
		},
		backward: func(c *call) {
			if c.gin[0] != nil {
				f32.GatherRows(c.pool, len(target), d, c.gout[0], target, c.gin[0])
			}
			if c.gin[1] != nil {
				f32.GatherRows(c.pool, masked, d, c.gout[0], removed, c.work)
				f32.ColumnSum(c.pool, masked, d, c.work, c.gin[1])
			}
		},
	}
	if o.wantsInput(1) {
		o.workBack = masked * d
	}
	return g.apply(o, Shape{b, 1 + l, d})[0]
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
func (g *Graph) ReplaceTokens(x, token, mask *Node) *Node {
	if !g.fits("replace_tokens", "x [B, N, D], token [1, 1, D], mask [B, N]", []*Node{x, token, mask}, nil, func() bool {
		return len(x.shape) == 3 && token.shape.Size() == x.shape[2] && !mask.integer && mask.shape.Equal(x.shape[:2])
	}) {
		return g.invalid()
	}
	b, n, d := x.shape[0], x.shape[1], x.shape[2]
	o := &op{
		name: "replace_tokens", in: []*Node{x, token, mask}, noGrad: set(2), keepIn: set(2),
		forward: func(c *call) {
			c.pool.Do(b, func(_, i int) {
				for r := i * n; r < (i+1)*n; r++ {
					src := c.in[0][r*d : (r+1)*d]
					if c.in[2][r] != 0 {
						src = c.in[1]
					}
					copy(c.out[0][r*d:(r+1)*d], src)
				}
			})
		},
		backward: func(c *call) {
			// dx keeps the rows that were kept, the scratch those that were replaced.
			c.pool.Do(b, func(_, i int) {
				for r := i * n; r < (i+1)*n; r++ {
					from := c.gout[0][r*d : (r+1)*d]
					for side, dst := range [][]float32{c.gin[0], c.work} {
						if len(dst) == 0 {
							continue
						}
						if replaced := c.in[2][r] != 0; replaced == (side == 1) {
							copy(dst[r*d:(r+1)*d], from)
						} else {
							clear(dst[r*d : (r+1)*d])
						}
					}
				}
			})
			if c.gin[1] != nil {
				f32.ColumnSum(c.pool, b*n, d, c.work, c.gin[1])
			}
		},
	}
	if o.wantsInput(1) {
		o.workBack = b * n * d
	}
	return g.apply(o, x.shape)[0]
}
