package ops

import (
	"fmt"

	"github.com/vittool/vittool/core"
)

// CodebookOptions are the settings of CodebookUpdate.
type CodebookOptions struct {
	Decay float64 // of the averages, such as 0.99
	// Alive is the smallest average count of a code that stays. A code below it restarts from a
	// fresh vector.
	Alive float64
}

// CodebookUpdate moves the codes of a vector quantizer as running means of the vectors assigned to
// them (van den Oord et al., arXiv:1711.00937, appendix A.1). With n_k the number of vectors of
// this batch with code k and s_k their sum,
//
//	count_k' = decay·count_k + (1-decay)·n_k,  sum_k' = decay·sum_k + (1-decay)·s_k,
//	code_k'  = sum_k' / count_k'.
//
// A code whose count falls below Alive is dead. The j-th dead code becomes fresh vector j, as long
// as there are any, with a count of Alive (Dhariwal et al., arXiv:2005.00341, section 3.1, restart
// codes in this manner). So counts of zero at the start fill the codebook with vectors of the first
// batch.
//
// x is [R, D], codes are integers [R], fresh is [F, D], codebook [K, D], count [K], sum [K, D]; the
// results are the new codebook [K, D], count [K] and sum [K, D]. A code outside 0..K-1 is an error
// of Run. There is no gradient. Only the training of tokenizers needs it.
func CodebookUpdate(g *core.Graph, x, codes, fresh, codebook, count, sum *core.Node, o CodebookOptions) (newCodebook, newCount, newSum *core.Node) {
	want := fmt.Sprintf("x [R, D], integers codes [R], fresh [F, D], codebook [K, D], count [K], sum [K, D], decay %g in [0, 1), alive %g > 0", o.Decay, o.Alive)
	if !g.Check("codebook_update", want, []*core.Node{x, codes, fresh, codebook, count, sum}, nil, func() bool {
		return len(x.Shape()) == 2 && codes.Integer() && codes.Shape().Equal(x.Shape()[:1]) && len(fresh.Shape()) == 2 && fresh.Shape()[1] == x.Shape()[1] &&
			len(codebook.Shape()) == 2 && codebook.Shape()[1] == x.Shape()[1] && count.Shape().Equal(codebook.Shape()[:1]) && sum.Shape().Equal(codebook.Shape()) &&
			o.Decay >= 0 && o.Decay < 1 && o.Alive > 0
	}) {
		return g.Invalid(), g.Invalid(), g.Invalid()
	}
	q := &quantizer{k: codebook.Shape()[0], d: codebook.Shape()[1], members: make([][]int32, codebook.Shape()[0]), CodebookOptions: o}
	out := g.Apply(&core.Op{
		Name: "codebook_update", In: []*core.Node{x, codes, fresh, codebook, count, sum}, NoGrad: core.AllOperands,
		Forward: func(c *core.Call) {
			if c.Err = q.assign(c.Ints[1]); c.Err == nil {
				c.EachRow(q.k, func(i int) { q.average(c, i) })
				q.restart(c)
			}
		},
	}, codebook.Shape(), count.Shape(), sum.Shape())
	return out[0], out[1], out[2]
}

// quantizer is the arithmetic of CodebookUpdate on k codes of d elements.
type quantizer struct {
	CodebookOptions
	k, d    int
	members [][]int32 // rows of x by code
}

// assign sorts the rows of x by their codes.
func (q *quantizer) assign(codes []int32) error {
	for i := range q.members {
		q.members[i] = q.members[i][:0]
	}
	if err := checkRange("code", codes, q.k); err != nil {
		return err
	}
	for r, code := range codes {
		q.members[code] = append(q.members[code], int32(r))
	}
	return nil
}

// average computes the running sum, the count and the mean of code i.
func (q *quantizer) average(c *core.Call, i int) {
	x, oldCounts, oldSums := c.In[0], c.In[4], c.In[5]
	next, counts, row := c.Out[0][i*q.d:][:q.d], c.Out[1], c.Out[2][i*q.d:][:q.d]
	for j := range row {
		total := 0.0
		for _, r := range q.members[i] {
			total += float64(x[int(r)*q.d+j])
		}
		row[j] = float32(q.Decay*float64(oldSums[i*q.d+j]) + (1-q.Decay)*total)
	}
	counts[i] = float32(q.Decay*float64(oldCounts[i]) + (1-q.Decay)*float64(len(q.members[i])))
	for j := range row {
		next[j] = row[j] / max(counts[i], float32(q.Alive))
	}
}

// restart replaces dead codes by fresh vectors. Without one left, a code keeps its place for the
// next batch.
func (q *quantizer) restart(c *core.Call) {
	fresh, old := c.In[2], c.In[3]
	next, counts, sums := c.Out[0], c.Out[1], c.Out[2]
	for i := range q.k {
		if float64(counts[i]) >= q.Alive {
			continue
		}
		from := old[i*q.d:][:q.d]
		if len(fresh) > 0 {
			from, fresh = fresh[:q.d], fresh[q.d:]
		}
		counts[i] = float32(q.Alive)
		for j, v := range from {
			next[i*q.d+j], sums[i*q.d+j] = v, float32(q.Alive)*v
		}
	}
}
