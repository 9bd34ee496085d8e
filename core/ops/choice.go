package ops

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// choice records an operator without gradient whose result is integers of the given shape, which
// choose writes. The float32 memory of the node holds them too, so that Node.Value shows them.
func choice(g *core.Graph, name string, in []*core.Node, work int, shape tensor.Shape, choose func(c *core.Call, out []int32)) *core.Node {
	o := &core.Op{Name: name, In: in, NoGrad: core.AllOperands, Work: work}
	numbers := make([]int32, shape.Size())
	o.Forward = func(c *core.Call) {
		choose(c, numbers)
		for i, v := range numbers {
			c.Out[0][i] = float32(v)
		}
	}
	return g.ApplyIntegers(o, shape, numbers)
}

// ArgMax is the index of the largest value of each innermost vector of x [..., C], as integers
// [...]; of equal values the first. There is no gradient.
func ArgMax(g *core.Graph, x *core.Node) *core.Node {
	if !g.Check("arg_max", "x [..., C]", []*core.Node{x}, nil, func() bool { return len(x.Shape()) > 0 && !x.Integer() }) {
		return g.Invalid()
	}
	n := x.Shape().Last()
	return choice(g, "arg_max", []*core.Node{x}, 0, x.Shape()[:len(x.Shape())-1].Clone(), func(c *core.Call, out []int32) {
		c.EachRow(len(out), func(r int) { out[r] = int32(argMax(c.In[0][r*n:][:n])) })
	})
}

// argMax returns the index of the largest value of x, the first of equal ones.
func argMax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// nearestChunk is the number of vectors that NearestRow compares with the table at a time.
const nearestChunk = 1 << 10

// NearestRow is the index of the row of table [K, D] nearest to each innermost vector of x
// [..., D], as integers [...]; of equally near rows the first. It is the code of a vector quantizer
// (van den Oord et al., arXiv:1711.00937). There is no gradient. Only tokenizers need it, those of
// BEiT and their training.
func NearestRow(g *core.Graph, x, table *core.Node) *core.Node {
	if !g.Check("nearest_row", "x [..., D], table [K, D]", []*core.Node{x, table}, nil, func() bool {
		return len(x.Shape()) > 0 && !x.Integer() && len(table.Shape()) == 2 && table.Shape()[1] == x.Shape().Last()
	}) {
		return g.Invalid()
	}
	k, d := table.Shape()[0], table.Shape()[1]
	chunk := min(nearestChunk, x.Shape().Rows())
	return choice(g, "nearest_row", []*core.Node{x, table}, (chunk+1)*k, x.Shape()[:len(x.Shape())-1].Clone(), func(c *core.Call, out []int32) {
		// The nearest row has the largest x·e - |e|²/2.
		scores, half := c.Work[:chunk*k], c.Work[chunk*k:]
		for i := range k {
			sum := 0.0
			for _, v := range c.In[1][i*d:][:d] {
				sum += float64(v) * float64(v)
			}
			half[i] = float32(-sum / 2)
		}
		for at := 0; at < len(out); at += chunk {
			n := min(chunk, len(out)-at)
			f32.Gemm(c.Pool, f32.Dense(n, d, c.In[0][at*d:]), f32.Dense(k, d, c.In[1]).T(), f32.Dense(n, k, scores), false, &f32.Epilogue{Bias: half})
			c.EachRow(n, func(r int) { out[at+r] = int32(argMax(scores[r*k:][:k])) })
		}
	})
}

// Accuracy is the share, a scalar, of the rows of logits [R, C] whose largest value is that of the
// integer label [R], each row with its weight [R] (nil: 1). There is no gradient. Of the built-in
// objectives only BEiT needs it.
func Accuracy(g *core.Graph, logits, labels, weights *core.Node) *core.Node {
	if !g.Check("accuracy", "logits [R, C], integers labels [R], weights [R] or nil", []*core.Node{logits, labels}, []*core.Node{weights}, func() bool {
		return len(logits.Shape()) == 2 && !logits.Integer() && labels.Integer() && labels.Shape().Equal(logits.Shape()[:1]) &&
			(weights == nil || !weights.Integer() && weights.Shape().Equal(labels.Shape()))
	}) {
		return g.Invalid()
	}
	rows, n := logits.Shape()[0], logits.Shape()[1]
	return g.Apply(&core.Op{
		Name: "accuracy", In: []*core.Node{logits, labels, weights}, NoGrad: core.AllOperands, Work: rows,
		Forward: func(c *core.Call) {
			c.EachRow(rows, func(r int) {
				c.Work[r] = 0
				if argMax(c.In[0][r*n:][:n]) == int(c.Ints[1][r]) {
					c.Work[r] = 1
				}
			})
			right, all := 0.0, 0.0
			for r, hit := range c.Work {
				w := 1.0
				if c.In[2] != nil {
					w = float64(c.In[2][r])
				}
				right, all = right+w*float64(hit), all+w
			}
			c.Out[0][0] = 0
			if all > 0 {
				c.Out[0][0] = float32(right / all)
			}
		},
	}, tensor.Shape{})[0]
}
