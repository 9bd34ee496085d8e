package ops

import (
	"math"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/tensor"
)

// patchLossCases are the losses over patches.
func patchLossCases() []gradientCase {
	mask := []float32{1, 0, 1, 1, 0, 0}
	patchLoss := func(f func(float64) float64) func(p [][]float64) []float64 {
		return func(p [][]float64) []float64 {
			total, count := 0.0, 0.0
			out := make([]float64, 7)
			for r := range 6 {
				for i := range 4 {
					out[1+r] += f(p[0][r*4+i]-0.1*float64(i)) / 4
				}
				total += float64(mask[r]) * out[1+r]
				count += float64(mask[r])
			}
			out[0] = total / count
			return out
		}
	}
	patchNode := func(f func(g *core.Graph, p, t, m *core.Node) (*core.Node, *core.Node)) func(g *core.Graph, p []*core.Node) *core.Node {
		return func(g *core.Graph, p []*core.Node) *core.Node {
			target := g.Input("target", tensor.Shape{2, 3, 4})
			for i := range target.Value() {
				target.Value()[i] = 0.1 * float32(i%4)
			}
			loss, per := f(g, p[0], target, input(g, "mask", tensor.Shape{2, 3}, mask...))
			return Concat(g, g.Reshape(loss, tensor.Shape{1}), g.Reshape(per, tensor.Shape{6}))
		}
	}
	return []gradientCase{
		{name: "patch mse", shapes: []tensor.Shape{{2, 3, 4}}, make: patchNode(func(g *core.Graph, p, t, m *core.Node) (*core.Node, *core.Node) { return PatchMSE(g, p, t, m) }), tolerance: 4e-6,
			reference: patchLoss(func(d float64) float64 { return d * d })},
		{name: "patch l1", shapes: []tensor.Shape{{2, 3, 4}}, make: patchNode(func(g *core.Graph, p, t, m *core.Node) (*core.Node, *core.Node) { return PatchL1(g, p, t, m) }), tolerance: 4e-6,
			reference: patchLoss(math.Abs)},
		{name: "patch smooth l1", shapes: []tensor.Shape{{2, 3, 4}}, tolerance: 4e-6,
			make: patchNode(func(g *core.Graph, p, t, m *core.Node) (*core.Node, *core.Node) {
				return PatchSmoothL1(g, p, t, m, 0.7)
			}),
			reference: patchLoss(func(d float64) float64 {
				if d = math.Abs(d); d < 0.7 {
					return d * d / 1.4
				}
				return d - 0.35
			})},
	}
}

// crossEntropyCases are softmax and the losses over classes.
func crossEntropyCases() []gradientCase {
	crossEntropy := func(target func(r, j int) float64) func(p [][]float64) []float64 {
		return func(p [][]float64) []float64 {
			out := make([]float64, 4)
			for r := range 3 {
				sum := 0.0
				for j := range 5 {
					sum += math.Exp(p[0][r*5+j])
				}
				for j := range 5 {
					out[1+r] -= target(r, j) * (p[0][r*5+j] - math.Log(sum))
				}
				out[0] += out[1+r] / 3
			}
			return out
		}
	}
	return []gradientCase{
		{name: "softmax", shapes: []tensor.Shape{{3, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Concat(g, Softmax(g, p[0]), LogSoftmax(g, p[0]))
			},
			reference: func(p [][]float64) []float64 { return plainSoftmax(p[0], 5) }},
		{name: "cross-entropy with labels", shapes: []tensor.Shape{{3, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				loss, rows := SoftmaxCrossEntropy(g, p[0], ints(g, "labels", tensor.Shape{3}, 4, 0, 2))
				return Concat(g, g.Reshape(loss, tensor.Shape{1}), rows)
			},
			reference: crossEntropy(func(r, j int) float64 {
				if []int{4, 0, 2}[r] == j {
					return 1
				}
				return 0
			})},
		{name: "cross-entropy with soft targets", shapes: []tensor.Shape{{3, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				target := g.Input("target", tensor.Shape{3, 5})
				for i := range target.Value() {
					target.Value()[i] = 0.125 * float32(i%4)
				}
				loss, rows := SoftmaxCrossEntropy(g, p[0], target)
				return Concat(g, g.Reshape(loss, tensor.Shape{1}), rows)
			},
			reference: crossEntropy(func(r, j int) float64 { return 0.125 * float64((r*5+j)%4) })},
	}
}

func plainSoftmax(x []float64, n int) []float64 {
	var p, logs []float64
	for r := 0; r < len(x); r += n {
		s := 0.0
		for _, v := range x[r : r+n] {
			s += math.Exp(v)
		}
		for _, v := range x[r : r+n] {
			p, logs = append(p, math.Exp(v)/s), append(logs, v-math.Log(s))
		}
	}
	return append(p, logs...)
}
