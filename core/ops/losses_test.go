package ops

import (
	"math"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// input makes a float input that holds the values.
func input(g *core.Graph, name string, shape tensor.Shape, values ...float32) *core.Node {
	n := g.Input(name, shape)
	copy(n.Value(), values)
	return n
}

// lossCases are elementwise operators, normalisations and losses.
func lossCases() []gradientCase {
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
		{name: "add row", shapes: []tensor.Shape{{2, 3, 5}, {1, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return AddRow(g, p[0], p[1]) },
			reference: func(p [][]float64) []float64 {
				out := append([]float64{}, p[0]...)
				for i := range out {
					out[i] += p[1][i%5]
				}
				return out
			}},
		viewCase("two targets of five views", 2, 5), viewCase("two targets of two views", 2, 2), viewCase("one target of three views", 1, 3),
		viewCase("four targets of six views", 4, 6), viewCase("three targets of two views", 3, 2),
		{name: "exp", shapes: []tensor.Shape{{3, 5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return Exp(g, p[0]) },
			reference: func(p [][]float64) []float64 {
				out := make([]float64, len(p[0]))
				for i, v := range p[0] {
					out[i] = math.Exp(v)
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
		matmulCase("matmul", 1, false, false), matmulCase("matmul, a transposed", 1, true, false),
		matmulCase("matmul, b transposed", 3, false, true), matmulCase("matmul, both transposed", 3, true, true),
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

// Sizes of the cases of ViewCrossEntropy.
const (
	viewBatch, viewClasses = 2, 5
	viewTemperature        = 0.4
)

func viewTarget(i int) float64 { return 0.125 * float64(3*i%7%4) }

// viewNodes compares as many views with as many targets.
func viewNodes(g *core.Graph, logits *core.Node, targets int) (loss, pairs *core.Node) {
	q := g.Input("target", tensor.Shape{targets * viewBatch, viewClasses})
	for i := range q.Value() {
		q.Value()[i] = float32(viewTarget(i))
	}
	return ViewCrossEntropy(g, logits, q, targets, viewTemperature)
}

// plainViews is the loss of all pairs, [targets, views], and their mean.
func plainViews(logits []float64, targets, views int) (loss float64, pairs []float64) {
	const n = viewBatch * viewClasses
	scaled := append([]float64{}, logits...)
	for i := range scaled {
		scaled[i] /= viewTemperature
	}
	logs := plainSoftmax(scaled, viewClasses)[len(scaled):]
	count := 0.0
	for i := range targets {
		for v := range views {
			pair := 0.0
			for k := range n {
				if v != i {
					pair -= viewTarget(i*n+k) * logs[v*n+k] / viewBatch
				}
			}
			if v != i {
				count++
			}
			loss += pair
			pairs = append(pairs, pair)
		}
	}
	return loss / count, pairs
}

func viewCase(name string, targets, views int) gradientCase {
	return gradientCase{name: "view cross-entropy, " + name, shapes: []tensor.Shape{{views * viewBatch, viewClasses}}, tolerance: 4e-6,
		make: func(g *core.Graph, p []*core.Node) *core.Node {
			loss, _ := viewNodes(g, p[0], targets)
			return loss
		},
		reference: func(p [][]float64) []float64 {
			loss, _ := plainViews(p[0], targets, views)
			return []float64{loss}
		}}
}

// The pairs are those that the loss is the mean of.
func TestViewPairs(t *testing.T) {
	const targets, views = 3, 5
	g := core.NewGraph(devicetest.New(t, 2))
	logits := g.Input("logits", tensor.Shape{views * viewBatch, viewClasses})
	wide := make([]float64, len(logits.Value()))
	for i := range wide {
		logits.Value()[i] = float32(i*i%11)/8 - 0.5
		wide[i] = float64(logits.Value()[i])
	}
	loss, pairs := viewNodes(g, logits, targets)
	exe, err := g.Compile(nil, loss, pairs)
	if err != nil {
		t.Fatal(err)
	}
	if err := exe.Run(); err != nil {
		t.Fatal(err)
	}
	mean, each := plainViews(wide, targets, views)
	compareTo(t, "pairs", pairs.Value(), each, 2e-6)
	compareTo(t, "loss", loss.Value(), []float64{mean}, 2e-6)
	for _, wrong := range []struct {
		shape       tensor.Shape
		views       int
		temperature float64
	}{{tensor.Shape{4, 5}, 3, 1}, {tensor.Shape{10, 4}, 2, 1}, {tensor.Shape{10, 5}, 1, 1}, {tensor.Shape{4, 5}, 2, 0}} {
		g := core.NewGraph(devicetest.New(t, 1))
		ViewCrossEntropy(g, g.Input("x", tensor.Shape{10, 5}), g.Input("q", wrong.shape), wrong.views, wrong.temperature)
		if g.Err() == nil {
			t.Errorf("%+v passes", wrong)
		}
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

func transposed(x []float64, rows, cols int) []float64 {
	y := make([]float64, len(x))
	for r := range rows {
		for c := range cols {
			y[c*rows+r] = x[r*cols+c]
		}
	}
	return y
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

func matmulCase(name string, batch int, transA, transB bool) gradientCase {
	const m, n, k = 3, 4, 5
	a, b := tensor.Shape{m, k}, tensor.Shape{k, n}
	if transA {
		a = tensor.Shape{k, m}
	}
	if transB {
		b = tensor.Shape{n, k}
	}
	if batch > 1 {
		a, b = append(tensor.Shape{batch}, a...), append(tensor.Shape{batch}, b...)
	}
	return gradientCase{name: name, shapes: []tensor.Shape{a, b},
		make: func(g *core.Graph, p []*core.Node) *core.Node { return MatMul(g, p[0], p[1], transA, transB) },
		reference: func(p [][]float64) []float64 {
			var out []float64
			for s := range batch {
				x, y := p[0][s*m*k:(s+1)*m*k], p[1][s*k*n:(s+1)*k*n]
				if transA {
					x = transposed(x, k, m)
				}
				if !transB {
					y = transposed(y, k, n)
				}
				out = append(out, plainLinear(x, y, nil, k, n)...)
			}
			return out
		}}
}
