package core

import (
	"fmt"

	"github.com/vittool/vittool/core/internal/f32"
)

// choice records an operator whose first result is integers, one for each of
// rows. It takes no gradient. The function writes the integers; the node's
// float32 memory gets them too, so that they can be read like any value.
func (g *Graph) choice(name string, in []*Node, work int, shape Shape, choose func(c *call, out []int32)) *Node {
	o := &op{name: name, in: in, noGrad: ^operandSet(0), work: work}
	numbers := make([]int32, shape.Size())
	o.forward = func(c *call) {
		choose(c, numbers)
		for i, v := range numbers {
			c.out[0][i] = float32(v)
		}
	}
	return g.applyIntegers(o, shape, numbers)
}

// ArgMax is the place of the largest value of each innermost vector of x [...,
// C], as integers [...]; of equal ones the first.
func (g *Graph) ArgMax(x *Node) *Node {
	if !g.fits("arg_max", "x [..., C]", []*Node{x}, nil, func() bool { return len(x.shape) > 0 && !x.integer }) {
		return g.invalid()
	}
	n := x.shape.last()
	return g.choice("arg_max", []*Node{x}, 0, x.shape[:len(x.shape)-1].Clone(), func(c *call, out []int32) {
		c.inRows(len(out), func(r int) { out[r] = int32(argMax(c.in[0][r*n:][:n])) })
	})
}

func argMax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// nearestChunk is how many vectors NearestRow compares with the table at a time.
const nearestChunk = 1 << 10

// NearestRow is the row of table [K, D] that lies nearest to each innermost
// vector of x [..., D], as integers [...]; of equally near ones the first. It is
// the choice of a vector quantiser (van den Oord et al., arXiv:1711.00937).
func (g *Graph) NearestRow(x, table *Node) *Node {
	if !g.fits("nearest_row", "x [..., D], table [K, D]", []*Node{x, table}, nil, func() bool {
		return len(x.shape) > 0 && !x.integer && len(table.shape) == 2 && table.shape[1] == x.shape.last()
	}) {
		return g.invalid()
	}
	k, d := table.shape[0], table.shape[1]
	chunk := min(nearestChunk, x.shape.rows())
	return g.choice("nearest_row", []*Node{x, table}, (chunk+1)*k, x.shape[:len(x.shape)-1].Clone(), func(c *call, out []int32) {
		// The nearest row has the largest x·e - |e|²/2.
		scores, half := c.work[:chunk*k], c.work[chunk*k:]
		for i := range k {
			sum := 0.0
			for _, v := range c.in[1][i*d:][:d] {
				sum += float64(v) * float64(v)
			}
			half[i] = float32(-sum / 2)
		}
		for at := 0; at < len(out); at += chunk {
			n := min(chunk, len(out)-at)
			f32.Gemm(c.pool, false, true, n, k, d, c.in[0][at*d:], d, c.in[1], d, scores, k, false, &f32.Epilogue{Bias: half})
			c.inRows(n, func(r int) { out[at+r] = int32(argMax(scores[r*k:][:k])) })
		}
	})
}

// Accuracy is the share of the rows of logits [R, C] whose largest value stands
// at the integer label [R], each row counted with its weight [R] (nil: 1). It
// takes no gradient.
func (g *Graph) Accuracy(logits, labels, weights *Node) *Node {
	if !g.fits("accuracy", "logits [R, C], integers labels [R], weights [R] or nil", []*Node{logits, labels}, []*Node{weights}, func() bool {
		return len(logits.shape) == 2 && !logits.integer && labels.integer && labels.shape.Equal(logits.shape[:1]) &&
			(weights == nil || !weights.integer && weights.shape.Equal(labels.shape))
	}) {
		return g.invalid()
	}
	rows, n := logits.shape[0], logits.shape[1]
	return g.apply(&op{
		name: "accuracy", in: []*Node{logits, labels, weights}, noGrad: ^operandSet(0), work: rows,
		forward: func(c *call) {
			c.inRows(rows, func(r int) {
				c.work[r] = 0
				if argMax(c.in[0][r*n:][:n]) == int(c.ints[1][r]) {
					c.work[r] = 1
				}
			})
			right, all := 0.0, 0.0
			for r, hit := range c.work {
				w := 1.0
				if c.in[2] != nil {
					w = float64(c.in[2][r])
				}
				right, all = right+w*float64(hit), all+w
			}
			c.out[0][0] = 0
			if all > 0 {
				c.out[0][0] = float32(right / all)
			}
		},
	}, Shape{})[0]
}

// GatherRows picks rows of a table: out[i] = table[rows[i]] for table [K, ...]
// and integers rows [...]; out is the shape of rows followed by that of a row. A
// number outside 0..K-1 is an error of Run.
func (g *Graph) GatherRows(table, rows *Node) *Node {
	if !g.fits("gather_rows", "table [K, ...], integers rows [...]", []*Node{table, rows}, nil, func() bool {
		return len(table.shape) > 1 && !table.integer && rows.integer
	}) {
		return g.invalid()
	}
	k, d, n := table.shape[0], table.shape[1:].Size(), rows.shape.Size()
	return g.apply(&op{
		name: "gather_rows", in: []*Node{table, rows}, noGrad: set(1), addable: set(0),
		forward: func(c *call) {
			for i, v := range c.ints[1] {
				if v < 0 || int(v) >= k {
					c.err = fmt.Errorf("row %d, at place %d, lies outside 0..%d", v, i, k-1)
					return
				}
			}
			f32.GatherRows(c.pool, n, d, c.in[0], c.ints[1], c.out[0])
		},
		backward: func(c *call) {
			if !c.add[0] {
				clear(c.gin[0])
			}
			f32.ScatterAddRows(c.pool, n, d, c.gout[0], c.ints[1], c.gin[0])
		},
	}, append(rows.shape.Clone(), table.shape[1:]...))[0]
}

// ScaleRows multiplies row r of x [R, ...] by factor[r], factor [R]; no gradient
// flows into the factors.
func (g *Graph) ScaleRows(x, factor *Node) *Node {
	if !g.fits("scale_rows", "x [R, ...], factor [R]", []*Node{x, factor}, nil, func() bool {
		return len(x.shape) > 0 && !x.integer && !factor.integer && factor.shape.Equal(x.shape[:1])
	}) {
		return g.invalid()
	}
	rows, n := x.shape[0], x.shape[1:].Size()
	return g.apply(&op{
		name: "scale_rows", in: []*Node{x, factor}, noGrad: set(1), keepIn: set(1),
		forward:  func(c *call) { f32.ScaleRows(c.pool, rows, n, c.in[0], c.in[1], 1, c.out[0]) },
		backward: func(c *call) { f32.ScaleRows(c.pool, rows, n, c.gout[0], c.in[1], 1, c.gin[0]) },
	}, x.shape)[0]
}
