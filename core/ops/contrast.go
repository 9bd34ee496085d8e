package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// contrastRows is the number of rows whose similarities with all candidates are in memory at a
// time, so that the memory of a contrastive loss grows with the batch and not with its square.
const contrastRows = 128

// excluded is the similarity of a candidate that takes no part in the softmax.
const excluded = -1e9

// NTXent is the contrastive loss of SimCLR (Chen et al., arXiv:2002.05709) for rows z [2B, D] of
// length 1: row i and row i+B are two views of one image. Of each row it is the cross-entropy of
// finding its partner among the 2B-1 other rows, with logits z_i·z_j/temperature. The loss, a
// scalar, is the mean of the 2B rows; the second result holds the rows' losses [2B], the third the
// share of rows whose partner is the most similar one, a scalar without gradient.
//
// Similarities are computed again in the backward pass and never kept whole.
func NTXent(g *core.Graph, z *core.Node, temperature float64) (loss, perRow, accuracy *core.Node) {
	if !g.Check("nt_xent", "z [2B, D], temperature > 0", []*core.Node{z}, nil, func() bool {
		return len(z.Shape()) == 2 && !z.Integer() && z.Shape()[0]%2 == 0 && temperature > 0
	}) {
		return g.Invalid(), g.Invalid(), g.Invalid()
	}
	rows, d := z.Shape()[0], z.Shape()[1]
	partner := make([]int32, rows)
	for i := range partner {
		partner[i] = int32((i + rows/2) % rows)
	}
	x := &contrast{rows: rows, columns: rows, scale: float32(1 / temperature), labels: partner}
	x.similarities = func(c *core.Call, from, n int, out []float32) {
		f32.Gemm(c.Pool, f32.Dense(n, d, c.In[0][from*d:]), f32.Dense(rows, d, c.In[0]).T(), f32.Dense(n, rows, out), false, nil)
		for i := range n {
			out[i*rows+from+i] = excluded
		}
	}
	x.gradient = func(c *core.Call, from, n int, ds []float32) {
		for i := range n {
			ds[i*rows+from+i] = 0
		}
		dz := c.GradIn[0]
		if from == 0 && !c.Add[0] {
			f32.Fill(c.Pool, dz, 0)
		}
		f32.Gemm(c.Pool, f32.Dense(n, rows, ds), f32.Dense(rows, d, c.In[0]), f32.Dense(n, d, dz[from*d:]), true, nil)
		f32.Gemm(c.Pool, f32.Dense(n, rows, ds).T(), f32.Dense(n, d, c.In[0][from*d:]), f32.Dense(rows, d, dz), true, nil)
	}
	return x.apply(g, "nt_xent", []*core.Node{z}, product(rows, d, rows))
}

// QueueContrast is the contrastive loss of MoCo (He et al., arXiv:1911.05722) for queries and keys
// [R, D] and a queue [K, D] of earlier keys, all of length 1. Of each row it is the cross-entropy of
// finding its key among it and the whole queue, with logits q·k/temperature. The gradient flows into
// the queries alone. The results are those of [NTXent], for R rows.
func QueueContrast(g *core.Graph, queries, keys, queue *core.Node, temperature float64) (loss, perRow, accuracy *core.Node) {
	if !g.Check("queue_contrast", "queries [R, D], keys [R, D], queue [K, D], temperature > 0", []*core.Node{queries, keys, queue}, nil, func() bool {
		q, k, m := queries.Shape(), keys.Shape(), queue.Shape()
		return len(q) == 2 && k.Equal(q) && len(m) == 2 && m[1] == q[1] && !queries.Integer() && !keys.Integer() && !queue.Integer() && temperature > 0
	}) {
		return g.Invalid(), g.Invalid(), g.Invalid()
	}
	rows, d, length := queries.Shape()[0], queries.Shape()[1], queue.Shape()[0]
	columns := (length + 1 + 15) / 16 * 16 // the key comes after the queue; the rest is excluded
	own := make([]int32, rows)
	for i := range own {
		own[i] = int32(length)
	}
	x := &contrast{rows: rows, columns: columns, scale: float32(1 / temperature), labels: own}
	similarities := func(n int, s []float32) f32.Matrix {
		return f32.Matrix{Data: s, Rows: n, Cols: length, Stride: columns}
	}
	x.similarities = func(c *core.Call, from, n int, out []float32) {
		f32.Gemm(c.Pool, f32.Dense(n, d, c.In[0][from*d:]), f32.Dense(length, d, c.In[2]).T(), similarities(n, out), false, nil)
		for i := range n {
			rest := out[i*columns+length : (i+1)*columns]
			for j := range rest {
				rest[j] = excluded
			}
			sum := 0.0
			for j, v := range c.In[0][(from+i)*d:][:d] {
				sum += float64(v) * float64(c.In[1][(from+i)*d+j])
			}
			rest[0] = float32(sum)
		}
	}
	x.gradient = func(c *core.Call, from, n int, ds []float32) {
		dq := c.GradIn[0][from*d:][:n*d]
		f32.Gemm(c.Pool, similarities(n, ds), f32.Dense(length, d, c.In[2]), f32.Dense(n, d, dq), c.Add[0], nil)
		for i := range n {
			f32.Axpy(c.Pool, dq[i*d:][:d], ds[i*columns+length], c.In[1][(from+i)*d:][:d])
		}
	}
	return x.apply(g, "queue_contrast", []*core.Node{queries, keys, queue}, product(rows, d, length))
}

// contrast is a cross-entropy of rows of similarities that are computed some rows at a time.
type contrast struct {
	rows, columns int
	scale         float32 // 1/temperature
	labels        []int32 // column of each row's partner
	// similarities computes rows from, from+1 ... of the logits, without the temperature, [n, columns].
	similarities func(c *core.Call, from, n int, out []float32)
	// gradient adds the contribution of these rows to the gradient of operand 0. ds is the gradient
	// of their similarities; the function may change it.
	gradient func(c *core.Call, from, n int, ds []float32)
}

// apply records the operator. Operand 0 takes the gradient, the others none.
func (x *contrast) apply(g *core.Graph, name string, in []*core.Node, flops float64) (loss, perRow, accuracy *core.Node) {
	chunk := min(contrastRows, x.rows)
	out := g.Apply(&core.Op{
		Name: name, In: in, NoGrad: core.AllOperands &^ core.OperandSet(0), KeepIn: core.AllOperands, AddsGrad: core.OperandSet(0), FLOPs: flops,
		Save: []int{x.rows}, Work: chunk*x.columns + x.rows, WorkBack: chunk*x.columns + x.rows,
		Forward:  func(c *core.Call) { x.forward(c, chunk) },
		Backward: func(c *core.Call) { x.backward(c, chunk) },
	}, tensor.Shape{}, tensor.Shape{x.rows}, tensor.Shape{})
	return out[0], out[1], out[2]
}

// kernel describes n rows of similarities to the kernel of the cross-entropy.
func (x *contrast) kernel(c *core.Call, from, n int, similarities []float32) f32.CrossEntropy {
	return f32.CrossEntropy{Rows: n, N: x.columns, X: similarities, Scale: x.scale, Labels: x.labels[from : from+n], LSE: c.Save[0][from : from+n]}
}

func (x *contrast) forward(c *core.Call, chunk int) {
	hits, s := c.Work[:x.rows], c.Work[x.rows:]
	for from := 0; from < x.rows; from += chunk {
		n := min(chunk, x.rows-from)
		x.similarities(c, from, n, s)
		c.EachRow(n, func(i int) {
			hits[from+i] = 0
			if argMax(s[i*x.columns:][:x.columns]) == int(x.labels[from+i]) {
				hits[from+i] = 1
			}
		})
		f32.CrossEntropyForward(c.Pool, x.kernel(c, from, n, s[:n*x.columns]), c.Out[1][from:from+n])
	}
	c.Out[0][0] = float32(f32.Sum(c.Pool, c.Out[1]) / float64(x.rows))
	c.Out[2][0] = float32(f32.Sum(c.Pool, hits) / float64(x.rows))
}

func (x *contrast) backward(c *core.Call, chunk int) {
	dloss, s := c.Work[:x.rows], c.Work[x.rows:]
	clear(dloss)
	for r := range dloss {
		if c.GradOut[0] != nil {
			dloss[r] = c.GradOut[0][0] / float32(x.rows)
		}
		if c.GradOut[1] != nil {
			dloss[r] += c.GradOut[1][r]
		}
	}
	for from := 0; from < x.rows; from += chunk {
		n := min(chunk, x.rows-from)
		x.similarities(c, from, n, s)
		ds := s[:n*x.columns]
		f32.CrossEntropyBackward(c.Pool, x.kernel(c, from, n, ds), dloss[from:from+n], ds)
		x.gradient(c, from, n, ds)
	}
}
