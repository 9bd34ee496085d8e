package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// ViewCrossEntropy compares views of the same samples with each other, as DINO (Caron et al.,
// arXiv:2104.14294) and SwAV do. logits [S·B, C] are those of S views, view after view, and targets
// [T·B, C] distributions for the first T views; targets take no gradient. The loss, a scalar, is
// the mean over samples and over all pairs of a target view i and a view v ≠ i of
//
//	-Σ_c targets[i,b,c] · log softmax(logits[v,b]/temperature)[c]
//
// The second result [T, S] holds the mean of each pair, 0 where v = i. It passes on no gradient and
// costs nothing without a reader.
//
// Cross-entropy is linear in the target. So each row of logits is read once, with the sum of its
// targets, for any number of pairs.
func ViewCrossEntropy(g *core.Graph, logits, targets *core.Node, targetViews int, temperature float64) (loss, pairs *core.Node) {
	const want = "logits [S·B, C], targets [T·B, C] with at least one pair of different views, temperature > 0"
	if !g.Check("view_cross_entropy", want, []*core.Node{logits, targets}, nil, func() bool {
		if len(logits.Shape()) != 2 || len(targets.Shape()) != 2 || logits.Integer() || targets.Integer() || logits.Shape()[1] != targets.Shape()[1] ||
			targetViews < 1 || targets.Shape()[0]%targetViews != 0 || !(temperature > 0) {
			return false
		}
		b := targets.Shape()[0] / targetViews
		return logits.Shape()[0]%b == 0 && (targetViews > 1 || logits.Shape()[0] > b)
	}) {
		return g.Invalid(), g.Invalid()
	}
	v := viewPairs{targets: targetViews, batch: targets.Shape()[0] / targetViews, classes: logits.Shape()[1], scale: float32(1 / temperature)}
	v.views = logits.Shape()[0] / v.batch
	v.count()
	rows := v.views * v.batch
	loss = g.Apply(&core.Op{
		Name: "view_cross_entropy", In: []*core.Node{logits, targets}, NoGrad: core.OperandSet(1), KeepIn: core.OperandSet(0, 1),
		Save: []int{rows, rows, v.sums * v.batch * v.classes}, WorkBack: v.batch,
		Forward: func(c *core.Call) { v.forward(c) },
		Backward: func(c *core.Call) {
			for i := range c.Work {
				c.Work[i] = c.GradOut[0][0] / float32(v.pairs*v.batch)
			}
			v.backward(c)
		},
	}, tensor.Shape{})[0]
	pairs = g.Apply(&core.Op{
		Name: "view_pairs", In: []*core.Node{logits, targets}, NoGrad: core.OperandSet(0, 1), Work: 2 * v.batch,
		Forward: func(c *core.Call) { v.each(c) },
	}, tensor.Shape{v.targets, v.views})[0]
	return loss, pairs
}

// viewPairs is the arithmetic of ViewCrossEntropy. A view with a target is compared with all
// targets but its own; all other views share one sum of targets.
type viewPairs struct {
	views, targets, batch, classes int
	scale                          float32
	pairs                          int // number of pairs of a target and another view
	sums                           int // number of stored sums of several targets
}

// count counts pairs and stored sums.
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

// block returns rows i·B..(i+1)·B-1 of x [..., C].
func (v *viewPairs) block(x []float32, i int) []float32 {
	n := v.batch * v.classes
	return x[i*n : (i+1)*n]
}

// target returns the sum of the targets of a view, nil for none. A sum of several targets is stored
// in Save[2]; fill computes it.
func (v *viewPairs) target(c *core.Call, view int, fill bool) []float32 {
	var others [][]float32
	for i := range v.targets {
		if i != view {
			others = append(others, v.block(c.In[1], i))
		}
	}
	switch len(others) {
	case 0:
		return nil
	case 1:
		return others[0]
	}
	sum := v.block(c.Save[2], min(view, v.sums-1))
	if fill && view <= v.targets {
		f32.Add(c.Pool, sum, others[0], others[1])
		for _, x := range others[2:] {
			f32.Add(c.Pool, sum, sum, x)
		}
	}
	return sum
}

// kernel describes the loss of one view against a target to its kernel.
func (v *viewPairs) kernel(c *core.Call, view int, target, lse []float32) f32.CrossEntropy {
	return f32.CrossEntropy{Rows: v.batch, N: v.classes, X: v.block(c.In[0], view), Scale: v.scale, Target: target, LSE: lse}
}

// forward computes the loss, and keeps losses, log-sum-exps and sums of targets.
func (v *viewPairs) forward(c *core.Call) {
	losses, lse := c.Save[0], c.Save[1]
	for view := range v.views {
		lo, hi := view*v.batch, (view+1)*v.batch
		if target := v.target(c, view, true); target != nil {
			f32.CrossEntropyForward(c.Pool, v.kernel(c, view, target, lse[lo:hi]), losses[lo:hi])
		} else {
			clear(losses[lo:hi])
		}
	}
	c.Out[0][0] = float32(f32.Sum(c.Pool, losses) / float64(v.pairs*v.batch))
}

// backward computes the gradient of the logits.
func (v *viewPairs) backward(c *core.Call) {
	for view := range v.views {
		dx, lse := v.block(c.GradIn[0], view), c.Save[1][view*v.batch:(view+1)*v.batch]
		if target := v.target(c, view, false); target != nil {
			f32.CrossEntropyBackward(c.Pool, v.kernel(c, view, target, lse), c.Work, dx)
		} else {
			f32.Fill(c.Pool, dx, 0)
		}
	}
}

// each computes the mean of every pair separately.
func (v *viewPairs) each(c *core.Call) {
	losses, lse := c.Work[:v.batch], c.Work[v.batch:]
	for i := range v.targets {
		for view := range v.views {
			mean := 0.0
			if view != i {
				f32.CrossEntropyForward(c.Pool, v.kernel(c, view, v.block(c.In[1], i), lse), losses)
				mean = f32.Sum(c.Pool, losses) / float64(v.batch)
			}
			c.Out[0][i*v.views+view] = float32(mean)
		}
	}
}
