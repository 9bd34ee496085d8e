package core

import "fmt"

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
func (g *Graph) CodebookUpdate(x, codes, fresh, codebook, count, sum *Node, o CodebookOptions) (newCodebook, newCount, newSum *Node) {
	want := fmt.Sprintf("x [R, D], integers codes [R], fresh [F, D], codebook [K, D], count [K], sum [K, D], decay %g in [0, 1), alive %g > 0", o.Decay, o.Alive)
	if !g.fits("codebook_update", want, []*Node{x, codes, fresh, codebook, count, sum}, nil, func() bool {
		return len(x.shape) == 2 && codes.integer && codes.shape.Equal(x.shape[:1]) && len(fresh.shape) == 2 && fresh.shape[1] == x.shape[1] &&
			len(codebook.shape) == 2 && codebook.shape[1] == x.shape[1] && count.shape.Equal(codebook.shape[:1]) && sum.shape.Equal(codebook.shape) &&
			o.Decay >= 0 && o.Decay < 1 && o.Alive > 0
	}) {
		return g.invalid(), g.invalid(), g.invalid()
	}
	k, d := codebook.shape[0], codebook.shape[1]
	members := make([][]int32, k)
	out := g.apply(&op{
		name: "codebook_update", in: []*Node{x, codes, fresh, codebook, count, sum}, noGrad: ^operandSet(0),
		forward: func(c *call) {
			for i := range members {
				members[i] = members[i][:0]
			}
			for r, code := range c.ints[1] {
				if code < 0 || int(code) >= k {
					c.err = fmt.Errorf("code %d of row %d lies outside 0..%d", code, r, k-1)
					return
				}
				members[code] = append(members[code], int32(r))
			}
			next, counts, sums := c.out[0], c.out[1], c.out[2]
			c.inRows(k, func(i int) {
				row := sums[i*d:][:d]
				for j := range row {
					total := 0.0
					for _, r := range members[i] {
						total += float64(c.in[0][int(r)*d+j])
					}
					row[j] = float32(o.Decay*float64(c.in[5][i*d+j]) + (1-o.Decay)*total)
				}
				counts[i] = float32(o.Decay*float64(c.in[4][i]) + (1-o.Decay)*float64(len(members[i])))
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
				from := c.in[3][i*d:][:d]
				if used < fresh.shape[0] {
					from = c.in[2][used*d:][:d]
					used++
				}
				counts[i] = float32(o.Alive)
				for j, v := range from {
					next[i*d+j], sums[i*d+j] = v, float32(o.Alive)*v
				}
			}
		},
	}, codebook.shape, count.shape, sum.shape)
	return out[0], out[1], out[2]
}
