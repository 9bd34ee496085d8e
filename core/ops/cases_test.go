package ops

import (
	"math"
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// Plain loops in float64, against which operators are checked.

func plainLinear(x, w, b []float64, in, out int) []float64 {
	rows := len(x) / in
	y := make([]float64, rows*out)
	for r := range rows {
		for o := range out {
			s := 0.0
			if b != nil {
				s = b[o]
			}
			for i := range in {
				s += x[r*in+i] * w[o*in+i]
			}
			y[r*out+o] = s
		}
	}
	return y
}

func plainGelu(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = 0.5 * v * (1 + math.Erf(v/math.Sqrt2))
	}
	return y
}

func plainNorm(x, gamma, beta []float64, n int, eps float64) []float64 {
	y := make([]float64, len(x))
	for r := 0; r < len(x); r += n {
		m, v := 0.0, 0.0
		for _, a := range x[r : r+n] {
			m += a / float64(n)
		}
		for _, a := range x[r : r+n] {
			v += (a - m) * (a - m) / float64(n)
		}
		for i := range n {
			y[r+i] = (x[r+i] - m) / math.Sqrt(v+eps)
			if gamma != nil {
				y[r+i] *= gamma[i]
			}
			if beta != nil {
				y[r+i] += beta[i]
			}
		}
	}
	return y
}

func plainAttention(qkv, bias []float64, b, n, d, heads int, causal bool) []float64 {
	dh := d / heads
	out := make([]float64, b*n*d)
	for s := range b {
		for h := range heads {
			at := func(part, token, k int) float64 { return qkv[((s*n+token)*3+part)*d+h*dh+k] }
			for i := range n {
				p := make([]float64, n)
				sum := 0.0
				for j := range n {
					if causal && j > i {
						continue
					}
					for k := range dh {
						p[j] += at(0, i, k) * at(1, j, k) / math.Sqrt(float64(dh))
					}
					if bias != nil {
						p[j] += bias[(h*n+i)*n+j]
					}
					p[j] = math.Exp(p[j])
					sum += p[j]
				}
				for j := range n {
					for k := range dh {
						out[(s*n+i)*d+h*dh+k] += p[j] / sum * at(2, j, k)
					}
				}
			}
		}
	}
	return out
}

func gradientCases() []gradientCase {
	return slices.Concat(
		blockCases(), attentionCases(), patchCases(), maskCases(), positionCases(), sliceCases(),
		elementwiseCases(), externalCases(), matmulCases(), lengthNormCases(), batchNormCases(),
		patchLossCases(), crossEntropyCases(), contrastCases(), viewCases(), convCases(), nhwcCases(), nhwcNormCases(), poolCases(), rowCases(),
		bankCases(),
	)
}

// blockCases are the layers of a transformer block but attention.
func blockCases() []gradientCase {
	return []gradientCase{
		{name: "linear", shapes: []tensor.Shape{{2, 5, 7}, {9, 7}, {9}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return Linear(g, p[0], p[1], p[2]) },
			reference: func(p [][]float64) []float64 { return plainLinear(p[0], p[1], p[2], 7, 9) }},
		{name: "linear without bias", shapes: []tensor.Shape{{10, 7}, {9, 7}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return Linear(g, p[0], p[1], nil) },
			reference: func(p [][]float64) []float64 { return plainLinear(p[0], p[1], nil, 7, 9) }},
		{name: "shared weight", shapes: []tensor.Shape{{10, 7}, {7, 7}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Linear(g, Linear(g, p[0], p[1], nil), p[1], nil)
			},
			reference: func(p [][]float64) []float64 { return plainLinear(plainLinear(p[0], p[1], nil, 7, 7), p[1], nil, 7, 7) }},
		{name: "linear gelu", shapes: []tensor.Shape{{2, 5, 7}, {9, 7}, {9}}, scale: 0.6,
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return LinearGelu(g, p[0], p[1], p[2]) },
			reference: func(p [][]float64) []float64 { return plainGelu(plainLinear(p[0], p[1], p[2], 7, 9)) }},
		{name: "mlp with fused gelu gradient", shapes: []tensor.Shape{{6, 7}, {9, 7}, {9}, {7, 9}, {7}}, scale: 0.6,
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return LinearResidual(g, LinearGelu(g, p[0], p[1], p[2]), p[3], p[4], p[0], nil, nil)
			},
			reference: func(p [][]float64) []float64 {
				y := plainLinear(plainGelu(plainLinear(p[0], p[1], p[2], 7, 9)), p[3], p[4], 9, 7)
				return plus(y, p[0])
			}},
		{name: "linear residual with gamma and row scale", shapes: []tensor.Shape{{3, 4, 7}, {9, 7}, {9}, {3, 4, 9}, {9}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				drop := input(g, "drop", tensor.Shape{3}, 0, 1.25, 1.5)
				return LinearResidual(g, p[0], p[1], p[2], p[3], p[4], drop)
			},
			reference: func(p [][]float64) []float64 {
				y := plainLinear(p[0], p[1], p[2], 7, 9)
				for i := range y {
					y[i] = y[i]*p[4][i%9]*[]float64{0, 1.25, 1.5}[i/36] + p[3][i]
				}
				return y
			}},
		{name: "layer norm", shapes: []tensor.Shape{{2, 4, 6}, {6}, {6}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return LayerNorm(g, p[0], p[1], p[2], 1e-6) },
			reference: func(p [][]float64) []float64 { return plainNorm(p[0], p[1], p[2], 6, 1e-6) }},
		{name: "layer norm, plain", shapes: []tensor.Shape{{5, 6}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return LayerNorm(g, p[0], nil, nil, 1e-5) },
			reference: func(p [][]float64) []float64 { return plainNorm(p[0], nil, nil, 6, 1e-5) }},
		{name: "residual stream", shapes: []tensor.Shape{{5, 6}, {6}, {6}, {6, 6}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { // fan-in of gradients, in place
				return LinearResidual(g, LayerNorm(g, p[0], p[1], p[2], 1e-6), p[3], nil, p[0], nil, nil)
			},
			reference: func(p [][]float64) []float64 {
				return plus(plainLinear(plainNorm(p[0], p[1], p[2], 6, 1e-6), p[3], nil, 6, 6), p[0])
			}},
	}
}

// attentionCases are attention and its relative position bias.
func attentionCases() []gradientCase {
	return []gradientCase{
		{name: "attention", shapes: []tensor.Shape{{2, 5, 24}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return Attention(g, p[0], 2, nil, false) },
			reference: func(p [][]float64) []float64 { return plainAttention(p[0], nil, 2, 5, 8, 2, false) }},
		{name: "attention with bias", shapes: []tensor.Shape{{2, 5, 24}, {2, 5, 5}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return Attention(g, p[0], 2, p[1], false) },
			reference: func(p [][]float64) []float64 { return plainAttention(p[0], p[1], 2, 5, 8, 2, false) }},
		{name: "causal attention", shapes: []tensor.Shape{{2, 5, 24}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return Attention(g, p[0], 4, nil, true) },
			reference: func(p [][]float64) []float64 { return plainAttention(p[0], nil, 2, 5, 8, 4, true) }},
		{name: "relative bias", shapes: []tensor.Shape{{5, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return RelativeBias(g, p[0], []int32{0, 1, 2, 4, 4, 4, 1, 0, 2})
			},
			reference: func(p [][]float64) []float64 {
				var out []float64
				for h := range 3 {
					for _, i := range []int{0, 1, 2, 4, 4, 4, 1, 0, 2} {
						out = append(out, p[0][i*3+h])
					}
				}
				return out
			}},
	}
}

func plus(a, b []float64) []float64 {
	c := make([]float64, len(a))
	for i := range a {
		c[i] = a[i] + b[i]
	}
	return c
}
