package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// channelsFirst reorders maps [n, h·w, c] to [n, c, h·w]; with the last two sizes exchanged it is
// its own inverse.
func channelsFirst(x []float64, n, pixels, c int) []float64 {
	y := make([]float64, 0, len(x))
	for i := range n {
		for ch := range c {
			for p := range pixels {
				y = append(y, x[(i*pixels+p)*c+ch])
			}
		}
	}
	return y
}

// nhwcCase is a convolution of n images with channels last as a gradient check.
func nhwcCase(n int, k convolution, bias bool) gradientCase {
	tc := convCase(n, k, bias)
	first := tc.reference
	k.outH, k.outW = (k.h+2*k.padding-k.r)/k.stride+1, (k.w+2*k.padding-k.s)/k.stride+1
	tc.name = fmt.Sprintf("nhwc %d->%d %s", k.c, k.o, tc.name)
	tc.shapes[0] = tensor.Shape{n, k.h, k.w, k.c}
	tc.make = func(g *core.Graph, p []*core.Node) *core.Node {
		return Conv2DNHWC(g, p[0], p[1], slices.Concat(p, []*core.Node{nil})[2], ConvOptions{Stride: k.stride, Padding: k.padding})
	}
	tc.reference = func(p [][]float64) []float64 {
		q := append([][]float64{channelsFirst(p[0], n, k.h*k.w, k.c)}, p[1:]...)
		return channelsFirst(first(q), n, k.o, k.outH*k.outW)
	}
	return tc
}

func nhwcCases() []gradientCase {
	return []gradientCase{
		nhwcCase(2, convolution{c: 3, h: 5, w: 7, o: 4, r: 3, s: 3, stride: 1, padding: 1}, true),
		nhwcCase(1, convolution{c: 16, h: 3, w: 4, o: 17, r: 3, s: 3, stride: 1, padding: 1}, true), // Winograd
		nhwcCase(3, convolution{c: 2, h: 9, w: 6, o: 3, r: 4, s: 2, stride: 2, padding: 1}, true),
		nhwcCase(2, convolution{c: 5, h: 4, w: 5, o: 3, r: 1, s: 1, stride: 1, padding: 0}, true),
		nhwcCase(2, convolution{c: 2, h: 5, w: 5, o: 3, r: 1, s: 1, stride: 2, padding: 0}, false),
		nhwcCase(1, convolution{c: 1, h: 6, w: 5, o: 3, r: 7, s: 7, stride: 2, padding: 3}, false),
		{name: "nhwc dilated", shapes: []tensor.Shape{{1, 7, 6, 2}, {3, 2, 3, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Conv2DNHWC(g, p[0], p[1], nil, ConvOptions{Stride: 1, Padding: 1, Dilation: 2})
			},
			reference: func(p [][]float64) []float64 { // as a kernel of 5×5 with zeros between
				w := make([]float64, 3*2*25)
				for i, v := range p[1] {
					w[i/9*25+i%9/3*10+i%3*2] = v
				}
				k := convolution{c: 2, h: 7, w: 6, o: 3, r: 5, s: 5, stride: 1, padding: 1}
				return channelsFirst(plainConv(channelsFirst(p[0], 1, 42, 2), w, nil, 1, k), 1, 3, 5*4)
			}},
		{name: "nhwc residual block", shapes: []tensor.Shape{{2, 4, 4, 3}, {3, 3, 3, 3}, {3}, {3}}, tolerance: 1e-5,
			make: func(g *core.Graph, p []*core.Node) *core.Node { // the gradient of x comes by two ways
				y := Conv2DNHWC(g, p[0], p[1], nil, ConvOptions{Stride: 1, Padding: 1})
				return BatchNormNHWC(g, y, p[2], p[3], p[0], newStatistics(3), BatchNormOptions{Eps: 1e-5}, true)
			},
			reference: func(p [][]float64) []float64 {
				k := convolution{c: 3, h: 4, w: 4, o: 3, r: 3, s: 3, stride: 1, padding: 1}
				y := channelsFirst(plainConv(channelsFirst(p[0], 2, 16, 3), p[1], nil, 2, k), 2, 3, 16)
				return positive(plus(plainBatchNorm(y, p[2], p[3], 32, 3, 1e-5), p[0]))
			}},
	}
}

// nhwcNormCases are batch normalization and pooling of maps with channels last.
func nhwcNormCases() []gradientCase {
	return []gradientCase{
		{name: "nhwc batch norm", shapes: []tensor.Shape{{2, 3, 2, 5}, {5}, {5}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return BatchNormNHWC(g, p[0], p[1], p[2], nil, newStatistics(5), BatchNormOptions{Eps: 1e-5}, false)
			},
			reference: func(p [][]float64) []float64 { return plainBatchNorm(p[0], p[1], p[2], 12, 5, 1e-5) }},
		{name: "nhwc batch norm and positive part", shapes: []tensor.Shape{{70, 18}, {18}, {18}}, tolerance: 1e-5,
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return BatchNormNHWC(g, p[0], p[1], p[2], nil, newStatistics(18), BatchNormOptions{Eps: 1e-3}, true)
			},
			reference: func(p [][]float64) []float64 { return positive(plainBatchNorm(p[0], p[1], p[2], 70, 18, 1e-3)) }},
		{name: "nhwc batch norm without gain, with a frozen residual", shapes: []tensor.Shape{{3, 2}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				residual := input(g, "residual", tensor.Shape{3, 2}, .5, -.5, 2, 1, -3, 0)
				return BatchNormNHWC(g, p[0], nil, nil, residual, newStatistics(2), BatchNormOptions{Eps: 1e-2}, true)
			},
			reference: func(p [][]float64) []float64 {
				return positive(plus(plainBatchNorm(p[0], []float64{1, 1}, []float64{0, 0}, 3, 2, 1e-2), []float64{.5, -.5, 2, 1, -3, 0}))
			}},
		{name: "nhwc batch norm in evaluation", shapes: []tensor.Shape{{6, 4}, {4}, {4}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return BatchNormNHWC(g, p[0], p[1], p[2], nil, RunningStatistics{Mean: statistics("mean", 4, 0.5), Variance: statistics("var", 4, 4)}, BatchNormOptions{Eps: 1e-5, Eval: true}, true)
			},
			reference: func(p [][]float64) []float64 {
				out := append([]float64{}, p[0]...)
				for i := range out {
					out[i] = (out[i]-0.5)/math.Sqrt(4+1e-5)*p[1][i%4] + p[2][i%4]
				}
				return positive(out)
			}},
		{name: "nhwc max pool", shapes: []tensor.Shape{{2, 7, 6, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node { return MaxPool2DNHWC(g, p[0], 3, 2, 0) },
			reference: func(p [][]float64) []float64 {
				return channelsFirst(plainPool(channelsFirst(p[0], 2, 42, 3), 6, 7, 6, 3, 2), 2, 3, 6)
			}},
		{name: "nhwc max pool over the edge, twice", shapes: []tensor.Shape{{1, 5, 4, 2}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Add(g, MaxPool2DNHWC(g, p[0], 3, 2, 1), MaxPool2DNHWC(g, p[0], 3, 2, 1))
			},
			reference: func(p [][]float64) []float64 {
				wide := make([]float64, 2*7*6) // with a frame of small numbers
				for i := range wide {
					wide[i] = -1e9
				}
				for i, v := range channelsFirst(p[0], 1, 20, 2) {
					wide[i/20*42+(i%20/4+1)*6+i%4+1] = v
				}
				y := channelsFirst(plainPool(wide, 2, 7, 6, 3, 2), 1, 2, 6)
				return plus(y, y)
			}},
	}
}

func newStatistics(n int) RunningStatistics {
	return RunningStatistics{Mean: statistics("mean", n, 0), Variance: statistics("var", n, 1)}
}

// plainBatchNorm normalizes the columns of x [rows, n].
func plainBatchNorm(x, gamma, beta []float64, rows, n int, eps float64) []float64 {
	y := transposed(plainNorm(transposed(x, rows, n), nil, nil, rows, eps), n, rows)
	for i := range y {
		y[i] = y[i]*gamma[i%n] + beta[i%n]
	}
	return y
}

func positive(x []float64) []float64 {
	for i := range x {
		x[i] = max(x[i], 0)
	}
	return x
}

// BatchNormNHWC moves the running statistics as BatchNorm does: the mean, the unbiased variance,
// the count.
func TestRunningStatisticsNHWC(t *testing.T) {
	const rows, n = 40, 6
	g := core.NewGraph(devicetest.New(t, 2))
	x := g.Input("x", tensor.Shape{rows, n})
	for i := range x.Value() {
		x.Value()[i] = float32(math.Sin(float64(i*i)))*3 + float32(i%n)
	}
	all := [2]RunningStatistics{}
	for i := range all {
		all[i] = RunningStatistics{Mean: statistics("mean", n, 0.5), Variance: statistics("var", n, 2), Count: statistics("count", 1, 3)}
	}
	opt := BatchNormOptions{Eps: 1e-5, Momentum: 0.1}
	a, b := BatchNorm(g, x, nil, nil, all[0], opt), BatchNormNHWC(g, x, nil, nil, nil, all[1], opt, false)
	e := compiled(t, g, nil, a, b)
	e.Commit()
	wide := func(x []float32) []float64 {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = float64(v)
		}
		return y
	}
	compareTo(t, "result", b.Value(), wide(a.Value()), 1e-6)
	compareTo(t, "mean", all[1].Mean.Data, wide(all[0].Mean.Data), 1e-6)
	compareTo(t, "variance", all[1].Variance.Data, wide(all[0].Variance.Data), 1e-6)
	if all[1].Count.Data[0] != 4 {
		t.Errorf("count %v, want 4", all[1].Count.Data[0])
	}
}

// TestNHWCIsIndependentOfThreads: a small network gives the same bits for any number of threads.
func TestNHWCIsIndependentOfThreads(t *testing.T) {
	var first [][]float32
	for _, threads := range []int{1, 2, 5} {
		store := param.NewStore()
		g := core.NewGraph(devicetest.New(t, threads))
		var nodes []*core.Node
		for i, s := range []tensor.Shape{{9, 13, 14, 3}, {20, 3, 7, 7}, {24, 20, 3, 3}, {24, 24, 3, 3}, {24, 20, 1, 1}} {
			p, err := store.Add(fmt.Sprint(i), s, param.Init{Kind: "normal", A: 1}, 3)
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, g.Param(p))
		}
		norm := func(x, residual *core.Node) *core.Node {
			return BatchNormNHWC(g, x, nil, nil, residual, newStatistics(x.Shape().Last()), BatchNormOptions{Eps: 1e-5}, true)
		}
		x := MaxPool2DNHWC(g, norm(Conv2DNHWC(g, nodes[0], nodes[1], nil, ConvOptions{Stride: 1, Padding: 3}), nil), 3, 2, 1)
		y := norm(Conv2DNHWC(g, x, nodes[2], nil, ConvOptions{Stride: 2, Padding: 1}), nil)
		y = Conv2DNHWC(g, y, nodes[3], nil, ConvOptions{Stride: 1, Padding: 1})
		y = norm(y, Conv2DNHWC(g, x, nodes[4], nil, ConvOptions{Stride: 2}))
		e := compiled(t, g, Mean(g, Mul(g, y, y)), y)
		got := [][]float32{y.Value()}
		for _, p := range store.Parameters() {
			got = append(got, e.Grad(p))
		}
		if first == nil {
			first = got
			continue
		}
		for i := range got {
			if !slices.Equal(got[i], first[i]) {
				t.Errorf("with %d threads result %d differs from that with one", threads, i)
			}
		}
	}
}
