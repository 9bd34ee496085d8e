package core

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// Softmax is softmax(x) over the last dimension.
func (g *Graph) Softmax(x *Node) *Node {
	return g.rowwise("softmax", x, f32.SoftmaxRows, f32.SoftmaxRowsBackward)
}

// LogSoftmax is log softmax(x) over the last dimension, in the stable form.
func (g *Graph) LogSoftmax(x *Node) *Node {
	return g.rowwise("log_softmax", x, f32.LogSoftmaxRows, f32.LogSoftmaxRowsBackward)
}

func (g *Graph) rowwise(name string, x *Node,
	forward func(p *f32.Pool, rows, n int, x, y []float32, scale float32),
	backward func(p *f32.Pool, rows, n int, y, dy, dx []float32, scale float32)) *Node {
	if !g.fits(name, "x [..., C]", []*Node{x}, nil, func() bool { return len(x.shape) > 0 && !x.integer }) {
		return g.invalid()
	}
	rows, n := x.shape.rows(), x.shape.last()
	return g.apply(&op{
		name: name, in: []*Node{x}, keepOut: set(0),
		forward:  func(c *call) { forward(c.pool, rows, n, c.in[0], c.out[0], 1) },
		backward: func(c *call) { backward(c.pool, rows, n, c.out[0], c.gout[0], c.gin[0], 1) },
	}, x.shape)[0]
}

// SoftmaxCrossEntropy is the mean over rows of -Σ target·log softmax(logits) for
// logits [R, C]. target is either integer labels [R] or a matrix [R, C] whose
// rows need not sum to one; it takes no gradient. The second result holds the
// losses per row, [R].
func (g *Graph) SoftmaxCrossEntropy(logits, target *Node) (loss, perRow *Node) {
	if !g.fits("softmax_cross_entropy", "logits [R, C], target integers [R] or floats [R, C]", []*Node{logits, target}, nil, func() bool {
		if len(logits.shape) != 2 || logits.integer {
			return false
		}
		if target.integer {
			return target.shape.Equal(logits.shape[:1])
		}
		return target.shape.Equal(logits.shape)
	}) {
		return g.invalid(), g.invalid()
	}
	rows, n := logits.shape[0], logits.shape[1]
	out := g.apply(&op{
		name: "softmax_cross_entropy", in: []*Node{logits, target}, noGrad: set(1), keepIn: set(0, 1),
		save: []int{rows}, workBack: rows,
		forward: func(c *call) {
			for r, l := range c.ints[1] {
				if l < 0 || int(l) >= n {
					c.err = fmt.Errorf("label %d of row %d lies outside 0..%d", l, r, n-1)
					return
				}
			}
			f32.CrossEntropyRows(c.pool, rows, n, c.in[0], 1, c.ints[1], c.in[1], c.out[1], c.save[0])
			c.out[0][0] = float32(f32.Sum(c.pool, c.out[1]) / float64(rows))
		},
		backward: func(c *call) {
			clear(c.work)
			for r := range c.work {
				if c.gout[0] != nil {
					c.work[r] = c.gout[0][0] / float32(rows)
				}
				if c.gout[1] != nil {
					c.work[r] += c.gout[1][r]
				}
			}
			f32.CrossEntropyRowsBackward(c.pool, rows, n, c.in[0], 1, c.ints[1], c.in[1], c.save[0], c.work, c.gin[0])
		},
	}, Shape{}, Shape{rows})
	return out[0], out[1]
}

// L2Normalize divides each innermost vector by max(‖x‖, eps).
func (g *Graph) L2Normalize(x *Node, eps float64) *Node {
	if !g.fits("l2_normalize", "x [..., D]", []*Node{x}, nil, func() bool { return len(x.shape) > 0 && !x.integer }) {
		return g.invalid()
	}
	rows, n := x.shape.rows(), x.shape.last()
	return g.apply(&op{
		name: "l2_normalize", in: []*Node{x}, keepOut: set(0), save: []int{rows},
		forward: func(c *call) {
			f32.L2NormalizeRows(c.pool, rows, n, c.in[0], c.out[0], c.save[0], float32(eps))
		},
		backward: func(c *call) {
			f32.L2NormalizeRowsBackward(c.pool, rows, n, c.out[0], c.save[0], c.gout[0], c.gin[0], float32(eps))
		},
	}, x.shape)[0]
}
