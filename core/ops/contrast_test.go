package ops

import (
	"math"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// contrastCases are the contrastive losses: loss, losses of the rows.
func contrastCases() []gradientCase {
	results := func(g *core.Graph, loss, rows *core.Node) *core.Node {
		return Concat(g, g.Reshape(loss, tensor.Shape{1}), rows)
	}
	ntxent := func(name string, b, d int, temperature float64) gradientCase {
		return gradientCase{name: name, shapes: []tensor.Shape{{2 * b, d}}, scale: .5, tolerance: 4e-6,
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				loss, rows, _ := NTXent(g, p[0], temperature)
				return results(g, loss, rows)
			},
			reference: func(p [][]float64) []float64 {
				return plainContrast(2*b, 2*b, func(i, j int) float64 {
					if i == j {
						return math.Inf(-1)
					}
					return plainDot(p[0][i*d:][:d], p[0][j*d:][:d]) / temperature
				}, func(i int) int { return (i + b) % (2 * b) })
			}}
	}
	queue := func(name string, rows, length, d int) gradientCase {
		fixed := func(n int, key string) []float32 {
			out, r := make([]float32, n), prng.New(5, key)
			for i := range out {
				out[i] = float32(r.NormFloat64())
			}
			return out
		}
		keys, queue := fixed(rows*d, "keys"), fixed(length*d, "queue")
		return gradientCase{name: name, shapes: []tensor.Shape{{rows, d}}, scale: .5, tolerance: 4e-6,
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				k, m := input(g, "keys", tensor.Shape{rows, d}, keys...), input(g, "queue", tensor.Shape{length, d}, queue...)
				loss, perRow, _ := QueueContrast(g, p[0], k, m, .7)
				return results(g, loss, perRow)
			},
			reference: func(p [][]float64) []float64 {
				return plainContrast(rows, 1+length, func(i, j int) float64 {
					if j == 0 {
						return plainDot(p[0][i*d:][:d], keys[i*d:][:d]) / .7
					}
					return plainDot(p[0][i*d:][:d], queue[(j-1)*d:][:d]) / .7
				}, func(int) int { return 0 })
			}}
	}
	return []gradientCase{
		ntxent("nt-xent", 3, 5, .5), ntxent("nt-xent of one pair", 1, 4, .5), ntxent("nt-xent of several chunks", 75, 3, .8),
		queue("queue contrast", 3, 7, 5), queue("queue contrast of a whole panel", 5, 15, 4), queue("queue contrast of several chunks", 130, 20, 3),
	}
}

func plainDot[T float32 | float64](x []float64, y []T) float64 {
	sum := 0.0
	for i, v := range x {
		sum += v * float64(y[i])
	}
	return sum
}

// plainContrast is the mean cross-entropy of rows of logits, and that of each row.
func plainContrast(rows, columns int, logit func(i, j int) float64, label func(i int) int) []float64 {
	out := make([]float64, 1+rows)
	for i := range rows {
		sum := 0.0
		for j := range columns {
			sum += math.Exp(logit(i, j))
		}
		out[1+i] = math.Log(sum) - logit(i, label(i))
		out[0] += out[1+i] / float64(rows)
	}
	return out
}

// The accuracy of a contrast is the share of rows that find their partner.
func TestContrastAccuracy(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 2))
	z := input(g, "z", tensor.Shape{6, 2}, 1, 0, 0, 1, -1, 0, 1, .1, .1, 1, 0, -1)
	_, _, pairs := NTXent(g, z, .1) // images 0 and 1 find each other, of 2 one view finds nothing
	q := input(g, "q", tensor.Shape{2, 2}, 1, 0, 0, 1)
	k := input(g, "k", tensor.Shape{2, 2}, 1, 0, 1, 0)
	_, _, keys := QueueContrast(g, q, k, input(g, "queue", tensor.Shape{3, 2}, .5, .5, -1, 0, 0, -1), .1)
	compiled(t, g, nil, pairs, keys)
	// (-1, 0) has the products -1, 0, -1, -.1, 0 with the others: the first of the two zeros is (0, 1).
	// (0, -1) has 0, -1, 0, -.1, -1: the first zero is (1, 0).
	if got := pairs.Value()[0]; math.Abs(float64(got)-4./6) > 1e-6 {
		t.Errorf("%v of the views find their partner, want 4/6", got)
	}
	if got := keys.Value()[0]; got != .5 {
		t.Errorf("%v of the queries find their key, want 1/2", got)
	}
}

func TestContrastShapes(t *testing.T) {
	for name, record := range map[string]func(g *core.Graph, x *core.Node){
		"an odd number of rows": func(g *core.Graph, x *core.Node) { NTXent(g, x, .1) },
		"no temperature":        func(g *core.Graph, x *core.Node) { NTXent(g, SliceRows(g, x, 0, 2), 0) },
		"keys of another width": func(g *core.Graph, x *core.Node) { QueueContrast(g, x, x, g.Input("queue", tensor.Shape{4, 3}), .1) },
		"no matrix":             func(g *core.Graph, x *core.Node) { Uniformity(g, g.Reshape(x, tensor.Shape{6})) },
		"other rows":            func(g *core.Graph, x *core.Node) { Alignment(g, x, SliceRows(g, x, 0, 2)) },
	} {
		g := core.NewGraph(devicetest.New(t, 1))
		record(g, g.Input("x", tensor.Shape{3, 2}))
		if g.Err() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
