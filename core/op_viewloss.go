package core

import "github.com/vittool/vittool/core/internal/f32"

// ViewCrossEntropy compares the views of the same samples with each other, as
// DINO (Caron et al., arXiv:2104.14294) and SwAV do. logits [S·B, C] are those of
// S views, view after view, and targets [T·B, C] distributions for the first T of
// them, which take no gradient. The loss is the mean over samples and over all
// pairs of a target view i and a view v ≠ i of
//
//	-Σ_c targets[i,b,c] · log softmax(logits[v,b]/temperature)[c]
//
// The second result [T, S] holds the mean of each pair, 0 where v = i; it takes no
// gradient and is computed only where it is read.
//
// Cross-entropy is linear in the target, so each row of logits is read once, with
// the sum of its targets, whatever the number of pairs.
func (g *Graph) ViewCrossEntropy(logits, targets *Node, targetViews int, temperature float64) (loss, pairs *Node) {
	const want = "logits [S·B, C], targets [T·B, C] with at least one pair of different views, temperature > 0"
	if !g.fits("view_cross_entropy", want, []*Node{logits, targets}, nil, func() bool {
		if len(logits.shape) != 2 || len(targets.shape) != 2 || logits.integer || targets.integer || logits.shape[1] != targets.shape[1] ||
			targetViews < 1 || targets.shape[0]%targetViews != 0 || !(temperature > 0) {
			return false
		}
		b := targets.shape[0] / targetViews
		return logits.shape[0]%b == 0 && (targetViews > 1 || logits.shape[0] > b)
	}) {
		return g.invalid(), g.invalid()
	}
	v := viewPairs{targets: targetViews, batch: targets.shape[0] / targetViews, classes: logits.shape[1], scale: float32(1 / temperature)}
	v.views = logits.shape[0] / v.batch
	v.count()
	rows := v.views * v.batch
	loss = g.apply(&op{
		name: "view_cross_entropy", in: []*Node{logits, targets}, noGrad: set(1), keepIn: set(0, 1),
		save: []int{rows, rows, v.sums * v.batch * v.classes}, workBack: v.batch,
		forward: func(c *call) { v.forward(c) },
		backward: func(c *call) {
			for i := range c.work {
				c.work[i] = c.gout[0][0] / float32(v.pairs*v.batch)
			}
			v.backward(c)
		},
	}, Shape{})[0]
	pairs = g.apply(&op{
		name: "view_pairs", in: []*Node{logits, targets}, noGrad: set(0, 1), work: 2 * v.batch,
		forward: func(c *call) { v.each(c) },
	}, Shape{v.targets, v.views})[0]
	return loss, pairs
}

// viewPairs is the arithmetic of ViewCrossEntropy. A view that is a target too is
// compared with all others but itself; the further views share one sum of targets.
type viewPairs struct {
	views, targets, batch, classes int
	scale                          float32
	pairs                          int // target and other view
	sums                           int // sums of several targets that are kept
}

func (v *viewPairs) count() {
	for view := range v.views {
		n := v.targets
		if view < v.targets {
			n--
		}
		v.pairs += n
		if n > 1 && view <= v.targets {
			v.sums++
		}
	}
}

// block is rows i·B to (i+1)·B-1 of x [_, C].
func (v *viewPairs) block(x []float32, i int) []float32 {
	n := v.batch * v.classes
	return x[i*n : (i+1)*n]
}

// target returns the sum of the targets that a view is compared with, nil when
// there are none. A sum of several lies in save[2]; fill computes it.
func (v *viewPairs) target(c *call, view int, fill bool) []float32 {
	var others [][]float32
	for i := range v.targets {
		if i != view {
			others = append(others, v.block(c.in[1], i))
		}
	}
	switch len(others) {
	case 0:
		return nil
	case 1:
		return others[0]
	}
	sum := v.block(c.save[2], min(view, v.sums-1))
	if fill && view <= v.targets {
		f32.Add(c.pool, sum, others[0], others[1])
		for _, x := range others[2:] {
			f32.Add(c.pool, sum, sum, x)
		}
	}
	return sum
}

func (v *viewPairs) forward(c *call) {
	losses, lse := c.save[0], c.save[1]
	for view := range v.views {
		lo, hi := view*v.batch, (view+1)*v.batch
		if target := v.target(c, view, true); target != nil {
			f32.CrossEntropyRows(c.pool, v.batch, v.classes, v.block(c.in[0], view), v.scale, nil, target, losses[lo:hi], lse[lo:hi])
		} else {
			clear(losses[lo:hi])
		}
	}
	c.out[0][0] = float32(f32.Sum(c.pool, losses) / float64(v.pairs*v.batch))
}

func (v *viewPairs) backward(c *call) {
	for view := range v.views {
		x, dx, lse := v.block(c.in[0], view), v.block(c.gin[0], view), c.save[1][view*v.batch:(view+1)*v.batch]
		if target := v.target(c, view, false); target != nil {
			f32.CrossEntropyRowsBackward(c.pool, v.batch, v.classes, x, v.scale, nil, target, lse, c.work, dx)
		} else {
			f32.Fill(c.pool, dx, 0)
		}
	}
}

// each computes the mean of every pair by itself.
func (v *viewPairs) each(c *call) {
	losses, lse := c.work[:v.batch], c.work[v.batch:]
	for i := range v.targets {
		for view := range v.views {
			mean := 0.0
			if view != i {
				f32.CrossEntropyRows(c.pool, v.batch, v.classes, v.block(c.in[0], view), v.scale, nil, v.block(c.in[1], i), losses, lse)
				mean = f32.Sum(c.pool, losses) / float64(v.batch)
			}
			c.out[0][i*v.views+view] = float32(mean)
		}
	}
}
