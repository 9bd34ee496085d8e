package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/tensor"
)

// The measures of this file show a collapse of features. They are scalars without gradient.

// measuredRows is the number of rows at the start of a batch that the costly measures look at.
const measuredRows = 256

// FeatureDeviation is the mean over D of the unbiased standard deviation over the rows of x [R, D],
// 0 where all rows are equal; of rows of length 1 that are spread evenly it is near 1/√D (Chen and
// He, arXiv:2011.10566). That of a single row is 0.
func FeatureDeviation(g *core.Graph, x *core.Node) *core.Node {
	if !fitsRows(g, "feature_deviation", x) {
		return g.Invalid()
	}
	rows, d := x.Shape()[0], x.Shape()[1]
	return measure(g, "feature_deviation", []*core.Node{x}, d, func(c *core.Call) float64 {
		c.EachRow(d, func(j int) {
			mean, squares := 0.0, 0.0
			for r := range rows {
				mean += float64(c.In[0][r*d+j]) / float64(rows)
			}
			for r := range rows {
				v := float64(c.In[0][r*d+j]) - mean
				squares += v * v
			}
			c.Work[j] = float32(math.Sqrt(squares / float64(max(rows-1, 1))))
		})
		return f32.Sum(c.Pool, c.Work) / float64(d)
	})
}

// Alignment is the mean of ‖x_r - y_r‖² over the rows of x and y [R, D]: the distance of the two
// views of an image (Wang and Isola, arXiv:2005.10242).
func Alignment(g *core.Graph, x, y *core.Node) *core.Node {
	if !fitsPair(g, "alignment", x, y) || !fitsRows(g, "alignment", x) {
		return g.Invalid()
	}
	rows, d := x.Shape()[0], x.Shape()[1]
	return measure(g, "alignment", []*core.Node{x, y}, rows, func(c *core.Call) float64 {
		c.EachRow(rows, func(r int) { c.Work[r] = float32(squaredDistance(c.In[0][r*d:][:d], c.In[1][r*d:][:d])) })
		return f32.Sum(c.Pool, c.Work) / float64(rows)
	})
}

// Uniformity is log mean exp(-2‖x_r - x_s‖²) over all pairs of rows of x [R, D]: 0 where all rows
// are equal, near -4 where rows of length 1 are spread evenly (Wang and Isola, arXiv:2005.10242).
// That of a single row is 0; of more than 256 rows the first 256 count.
func Uniformity(g *core.Graph, x *core.Node) *core.Node {
	if !fitsRows(g, "uniformity", x) {
		return g.Invalid()
	}
	rows, d := min(measuredRows, x.Shape()[0]), x.Shape()[1]
	return measure(g, "uniformity", []*core.Node{x}, rows, func(c *core.Call) float64 {
		if rows == 1 {
			return 0
		}
		c.EachRow(rows, func(r int) {
			sum := 0.0
			for s := range r {
				sum += math.Exp(-2 * squaredDistance(c.In[0][r*d:][:d], c.In[0][s*d:][:d]))
			}
			c.Work[r] = float32(sum)
		})
		return math.Log(max(f32.Sum(c.Pool, c.Work), math.SmallestNonzeroFloat64) / (float64(rows) * float64(rows-1) / 2))
	})
}

func squaredDistance(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		d := float64(v) - float64(y[i])
		sum += d * d
	}
	return sum
}

// EffectiveRank is RankMe (Garrido et al., arXiv:2210.02885): e to the entropy of the singular
// values of x [R, D], divided by their sum. It is 1 where all rows are multiples of one, and
// min(R, D) at most. Of more than 256 rows the first 256 count.
func EffectiveRank(g *core.Graph, x *core.Node) *core.Node {
	if !fitsRows(g, "effective_rank", x) {
		return g.Invalid()
	}
	rows, d := min(measuredRows, x.Shape()[0]), x.Shape()[1]
	n := min(rows, d)
	gram := make([][]float64, n)
	for i := range gram {
		gram[i] = make([]float64, n)
	}
	return measure(g, "effective_rank", []*core.Node{x}, 0, func(c *core.Call) float64 {
		c.EachRow(n, func(i int) {
			for j := range i + 1 {
				sum := 0.0
				if rows <= d { // of rows
					for k, v := range c.In[0][i*d:][:d] {
						sum += float64(v) * float64(c.In[0][j*d+k])
					}
				} else { // of columns
					for r := range rows {
						sum += float64(c.In[0][r*d+i]) * float64(c.In[0][r*d+j])
					}
				}
				gram[i][j] = sum
			}
		})
		return entropyRank(eigenvalues(gram))
	})
}

// entropyRank is e to the entropy of the roots of the values.
func entropyRank(squares []float64) float64 {
	total := 0.0
	for i, v := range squares {
		squares[i] = math.Sqrt(max(v, 0))
		total += squares[i]
	}
	entropy := 0.0
	for _, v := range squares {
		if p := v / max(total, math.SmallestNonzeroFloat64); p > 0 {
			entropy -= p * math.Log(p)
		}
	}
	return math.Exp(entropy)
}

// measure records a scalar without gradient.
func measure(g *core.Graph, name string, in []*core.Node, work int, value func(c *core.Call) float64) *core.Node {
	return g.Apply(&core.Op{
		Name: name, In: in, NoGrad: core.AllOperands, Work: work,
		Forward: func(c *core.Call) { c.Out[0][0] = float32(value(c)) },
	}, tensor.Shape{})[0]
}

// fitsRows checks a matrix.
func fitsRows(g *core.Graph, name string, x *core.Node) bool {
	return g.Check(name, "x [R, D]", []*core.Node{x}, nil, func() bool { return len(x.Shape()) == 2 && !x.Integer() })
}
