package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// lengthNormCases are the operators that scale vectors to a length.
func lengthNormCases() []gradientCase {
	return []gradientCase{
		{name: "l2 normalize", shapes: []tensor.Shape{{3, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return L2Normalize(g, p[0], 1e-12) },
			reference: func(p [][]float64) []float64 {
				out := append([]float64{}, p[0]...)
				for r := 0; r < 15; r += 5 {
					s := 0.0
					for _, v := range p[0][r : r+5] {
						s += v * v
					}
					for i := range 5 {
						out[r+i] /= math.Sqrt(s)
					}
				}
				return out
			}},
		{name: "weight norm", shapes: []tensor.Shape{{4, 3, 2}, {4, 1}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return WeightNorm(g, p[0], p[1]) },
			reference: func(p [][]float64) []float64 { return plainWeightNorm(p[0], p[1], 6) }},
		{name: "weight norm without gain", shapes: []tensor.Shape{{5, 7}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return WeightNorm(g, p[0], nil) },
			reference: func(p [][]float64) []float64 { return plainWeightNorm(p[0], []float64{1, 1, 1, 1, 1}, 7) }},
		{name: "linear with normed weight", shapes: []tensor.Shape{{3, 5}, {4, 5}, {4, 1}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return Linear(g, p[0], WeightNorm(g, p[1], p[2]), nil) },
			reference: func(p [][]float64) []float64 {
				return plainLinear(p[0], plainWeightNorm(p[1], p[2], 5), nil, 5, 4)
			}},
	}
}

// batchNormCases are batch normalization in training and in evaluation.
func batchNormCases() []gradientCase {
	return []gradientCase{
		{name: "batch norm", shapes: []tensor.Shape{{6, 4}, {4}, {4}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return BatchNorm(g, p[0], p[1], p[2], RunningStatistics{Mean: statistics("mean", 4, 0), Variance: statistics("var", 4, 1)}, BatchNormOptions{Eps: 1e-5, Momentum: 0.1})
			},
			reference: func(p [][]float64) []float64 {
				out := plainNorm(transposed(p[0], 6, 4), nil, nil, 6, 1e-5)
				out = transposed(out, 4, 6)
				for i := range out {
					out[i] = out[i]*p[1][i%4] + p[2][i%4]
				}
				return out
			}},
		{name: "batch norm over more columns than go together", shapes: []tensor.Shape{{5, 35}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return BatchNorm(g, p[0], nil, nil, RunningStatistics{Mean: statistics("mean", 35, 0), Variance: statistics("var", 35, 1)}, BatchNormOptions{Eps: 1e-3})
			},
			reference: func(p [][]float64) []float64 {
				return transposed(plainNorm(transposed(p[0], 5, 35), nil, nil, 5, 1e-3), 35, 5)
			}},
		{name: "batch norm in evaluation", shapes: []tensor.Shape{{6, 4}, {4}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return BatchNorm(g, p[0], p[1], nil, RunningStatistics{Mean: statistics("mean", 4, 0.5), Variance: statistics("var", 4, 4)}, BatchNormOptions{Eps: 1e-5, Eval: true})
			},
			reference: func(p [][]float64) []float64 {
				out := append([]float64{}, p[0]...)
				for i := range out {
					out[i] = (out[i] - 0.5) / math.Sqrt(4+1e-5) * p[1][i%4]
				}
				return out
			}},
	}
}

func plainWeightNorm(v, gain []float64, n int) []float64 {
	out := append([]float64{}, v...)
	for r, k := range gain {
		s := 0.0
		for _, x := range v[r*n : (r+1)*n] {
			s += x * x
		}
		for i := range n {
			out[r*n+i] *= k / math.Sqrt(s)
		}
	}
	return out
}

// statistics makes a buffer that holds one value throughout.
func statistics(name string, n int, value float64) *param.Parameter {
	p, err := param.NewStore().AddBuffer(name, tensor.Shape{n}, param.Init{Kind: "constant", A: value}, 0)
	if err != nil {
		panic(err)
	}
	return p
}
