package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// elementwiseCases are elementwise operators, sums and biases.
func elementwiseCases() []gradientCase {
	return []gradientCase{
		{name: "arithmetic", shapes: []tensor.Shape{{3, 4}, {3, 4}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { // every kind of fan-in
				x := Sub(g, Mul(g, p[0], p[1]), Scale(g, p[0], 3))
				x = Add(g, Sub(g, x, p[1]), Mul(g, p[0], p[0]))
				return Add(g, x, x)
			},
			reference: func(p [][]float64) []float64 {
				out := make([]float64, 12)
				for i := range out {
					a, b := p[0][i], p[1][i]
					out[i] = 2 * (a*b - 3*a - b + a*a)
				}
				return out
			}},
		{name: "sum, mean, dot", shapes: []tensor.Shape{{3, 4}, {3, 4}}, tolerance: 4e-6,
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Add(g, Add(g, Sum(g, p[0]), Mean(g, p[0])), Dot(g, p[0], Mul(g, p[1], p[1])))
			},
			reference: func(p [][]float64) []float64 {
				s := 0.0
				for i, v := range p[0] {
					s += v + v/12 + v*p[1][i]*p[1][i]
				}
				return []float64{s}
			}},
		{name: "activations", shapes: []tensor.Shape{{4, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Concat(g, Gelu(g, p[0]), Relu(g, p[0]), QuickGelu(g, p[0]))
			},
			reference: func(p [][]float64) []float64 {
				out := plainGelu(p[0])
				for _, v := range p[0] {
					out = append(out, max(v, 0))
				}
				for _, v := range p[0] {
					out = append(out, v/(1+math.Exp(-1.702*v)))
				}
				return out
			}},
		{name: "exp", shapes: []tensor.Shape{{3, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return Exp(g, p[0]) },
			reference: func(p [][]float64) []float64 {
				out := make([]float64, len(p[0]))
				for i, v := range p[0] {
					out[i] = math.Exp(v)
				}
				return out
			}},
		{name: "add row", shapes: []tensor.Shape{{2, 3, 5}, {1, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return AddRow(g, p[0], p[1]) },
			reference: func(p [][]float64) []float64 {
				out := append([]float64{}, p[0]...)
				for i := range out {
					out[i] += p[1][i%5]
				}
				return out
			}},
		{name: "add channel bias", shapes: []tensor.Shape{{2, 3, 5, 7}, {3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return AddChannelBias(g, p[0], p[1]) },
			reference: func(p [][]float64) []float64 {
				out := make([]float64, len(p[0]))
				for i, v := range p[0] {
					out[i] = v + p[1][i/35%3]
				}
				return out
			}},
	}
}

// externalCases is an operator computed elsewhere.
func externalCases() []gradientCase {
	return []gradientCase{
		{name: "external", shapes: []tensor.Shape{{3}, {3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				out := CallExternal(g, External{Name: "elsewhere",
					Forward: func(in, out [][]float32) error {
						for i := range out[0] {
							out[0][i], out[1][i] = in[0][i]*in[1][i], 2*in[0][i]
						}
						return nil
					},
					Backward: func(in, _, gout, gin [][]float32) error {
						for i := range gout[0] {
							gin[0][i] = gout[0][i]*in[1][i] + 2*gout[1][i]
							gin[1][i] = gout[0][i] * in[0][i]
						}
						return nil
					}}, []*core.Node{p[0], p[1]}, []tensor.Shape{{3}, {3}})
				return Concat(g, out...)
			},
			reference: func(p [][]float64) []float64 {
				var a, b []float64
				for i, v := range p[0] {
					a, b = append(a, v*p[1][i]), append(b, 2*v)
				}
				return append(a, b...)
			}},
	}
}

// input makes a float input that holds the values.
func input(g *core.Graph, name string, shape tensor.Shape, values ...float32) *core.Node {
	n := g.Input(name, shape)
	copy(n.Value(), values)
	return n
}
