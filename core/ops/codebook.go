package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
)

// CodebookOptions are the settings of CodebookUpdate.
type CodebookOptions struct {
	Decay float64 // of the averages, such as 0.99
	// Alive is the smallest average count of a code that stays; one below it
	// starts anew at a fresh vector.
	Alive float64
}

// CodebookUpdate moves the codes of a vector quantiser as running means of the
// vectors that chose them (van den Oord et al., arXiv:1711.00937, appendix A.1).
// With n_k the number of vectors of this batch with code k and s_k their sum,
//
//	count_k' = decay·count_k + (1-decay)·n_k,  sum_k' = decay·sum_k + (1-decay)·s_k,
//	code_k'  = sum_k' / count_k'.
//
// A code whose count falls below Alive has died. The j-th of them is replaced by
// fresh vector j, as long as there are any, with a count of Alive (Dhariwal et
// al., arXiv:2005.00341, section 3.1, restart codes in this manner); so counts of
// zero at the start fill the codebook with vectors of the first batch. x is
// [R, D], codes are integers [R], fresh is [F, D], count [K], sum [K, D]; the
// results are the new codebook [K, D], count and sum. Nothing takes a gradient.
func CodebookUpdate(g *core.Graph, x, codes, fresh, codebook, count, sum *core.Node, o CodebookOptions) (newCodebook, newCount, newSum *core.Node) {
	want := fmt.Sprintf("x [R, D], integers codes [R], fresh [F, D], codebook [K, D], count [K], sum [K, D], decay %g in [0, 1), alive %g > 0", o.Decay, o.Alive)
	if !g.Check("codebook_update", want, []*core.Node{x, codes, fresh, codebook, count, sum}, nil, func() bool {
		return len(x.Shape()) == 2 && codes.Integer() && codes.Shape().Equal(x.Shape()[:1]) && len(fresh.Shape()) == 2 && fresh.Shape()[1] == x.Shape()[1] &&
			len(codebook.Shape()) == 2 && codebook.Shape()[1] == x.Shape()[1] && count.Shape().Equal(codebook.Shape()[:1]) && sum.Shape().Equal(codebook.Shape()) &&
			o.Decay >= 0 && o.Decay < 1 && o.Alive > 0
	}) {
		return g.Invalid(), g.Invalid(), g.Invalid()
	}
	k, d := codebook.Shape()[0], codebook.Shape()[1]
	members := make([][]int32, k)
	out := g.Apply(&core.Op{
		Name: "codebook_update", In: []*core.Node{x, codes, fresh, codebook, count, sum}, NoGrad: core.AllOperands,
		Forward: func(c *core.Call) {
			for i := range members {
				members[i] = members[i][:0]
			}
			for r, code := range c.Ints[1] {
				if code < 0 || int(code) >= k {
					c.Err = fmt.Errorf("code %d of row %d lies outside 0..%d", code, r, k-1)
					return
				}
				members[code] = append(members[code], int32(r))
			}
			next, counts, sums := c.Out[0], c.Out[1], c.Out[2]
			c.EachRow(k, func(i int) {
				row := sums[i*d:][:d]
				for j := range row {
					total := 0.0
					for _, r := range members[i] {
						total += float64(c.In[0][int(r)*d+j])
					}
					row[j] = float32(o.Decay*float64(c.In[5][i*d+j]) + (1-o.Decay)*total)
				}
				counts[i] = float32(o.Decay*float64(c.In[4][i]) + (1-o.Decay)*float64(len(members[i])))
				for j := range row {
					next[i*d+j] = row[j] / max(counts[i], float32(o.Alive))
				}
			})
			used := 0
			for i := range k {
				if float64(counts[i]) >= o.Alive {
					continue
				}
				// What has no fresh vector left stays where it was, for the next batch.
				from := c.In[3][i*d:][:d]
				if used < fresh.Shape()[0] {
					from = c.In[2][used*d:][:d]
					used++
				}
				counts[i] = float32(o.Alive)
				for j, v := range from {
					next[i*d+j], sums[i*d+j] = v, float32(o.Alive)*v
				}
			}
		},
	}, codebook.Shape(), count.Shape(), sum.Shape())
	return out[0], out[1], out[2]
}
