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

// channelsLast turns images [n, c, h, w] into [n, h, w, c].
func channelsLast(x []float64, n, c, h, w int) []float64 {
	y := make([]float64, len(x))
	for i := range n {
		for channel := range c {
			for p := range h * w {
				y[(i*h*w+p)*c+channel] = x[(i*c+channel)*h*w+p]
			}
		}
	}
	return y
}

// channelsFirst is the opposite.
func channelsFirst(x []float64, n, h, w, c int) []float64 { return channelsLast(x, n, h*w, 1, c) }

// convNHWCCase is a convolution of n images with the channels last as a gradient check.
func convNHWCCase(n int, k convolution) gradientCase {
	oh, ow := (k.h+2*k.padding-k.r)/k.stride+1, (k.w+2*k.padding-k.s)/k.stride+1
	return gradientCase{
		name:   fmt.Sprintf("conv nhwc %d×%d of %d×%d stride %d padding %d", k.r, k.s, k.h, k.w, k.stride, k.padding),
		shapes: []tensor.Shape{{n, k.h, k.w, k.c}, {k.o, k.c, k.r, k.s}},
		make:   func(g *core.Graph, p []*core.Node) *core.Node { return ConvNHWC(g, p[0], p[1], k.stride, k.padding) },
		reference: func(p [][]float64) []float64 {
			return channelsLast(plainConv(channelsFirst(p[0], n, k.h, k.w, k.c), p[1], nil, n, k), n, k.o, oh, ow)
		},
	}
}

// plainPoolNHWC takes the largest value of each window inside the images [n, h, w, c].
func plainPoolNHWC(x []float64, n, h, w, c, size, stride, padding int) []float64 {
	var y []float64
	for image := range n {
		for i := -padding; i+size <= h+padding; i += stride {
			for j := -padding; j+size <= w+padding; j += stride {
				for channel := range c {
					best := math.Inf(-1)
					for a := max(0, i); a < min(h, i+size); a++ {
						for b := max(0, j); b < min(w, j+size); b++ {
							best = max(best, x[((image*h+a)*w+b)*c+channel])
						}
					}
					y = append(y, best)
				}
			}
		}
	}
	return y
}

// nhwcCases are the operators on images with the channels last.
func nhwcCases() []gradientCase {
	return []gradientCase{
		convNHWCCase(2, convolution{c: 3, h: 5, w: 7, o: 4, r: 3, s: 3, stride: 1, padding: 1}),
		convNHWCCase(3, convolution{c: 2, h: 9, w: 6, o: 3, r: 4, s: 4, stride: 2, padding: 1}),
		convNHWCCase(2, convolution{c: 3, h: 9, w: 8, o: 2, r: 7, s: 7, stride: 2, padding: 3}),
		convNHWCCase(2, convolution{c: 5, h: 4, w: 5, o: 3, r: 1, s: 1, stride: 1, padding: 0}),
		convNHWCCase(2, convolution{c: 2, h: 5, w: 5, o: 3, r: 1, s: 1, stride: 2, padding: 0}),
		convNHWCCase(2, convolution{c: 1, h: 3, w: 2, o: 2, r: 7, s: 7, stride: 1, padding: 3}), // a kernel larger than the image
		convNHWCCase(1, convolution{c: 2, h: 2, w: 2, o: 1, r: 1, s: 1, stride: 1, padding: 2}), // patches wholly outside
		convNHWCCase(1, convolution{c: 3, h: 1, w: 1, o: 2, r: 3, s: 3, stride: 2, padding: 1}), // a single pixel
		{name: "conv nhwc twice, sharing x", shapes: []tensor.Shape{{2, 4, 4, 3}, {3, 3, 3, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Add(g, ConvNHWC(g, p[0], p[1], 1, 1), ConvNHWC(g, ConvNHWC(g, p[0], p[1], 1, 1), p[1], 1, 1))
			},
			reference: func(p [][]float64) []float64 {
				k := convolution{c: 3, h: 4, w: 4, o: 3, r: 3, s: 3, stride: 1, padding: 1}
				y := plainConv(channelsFirst(p[0], 2, 4, 4, 3), p[1], nil, 2, k)
				return channelsLast(plus(y, plainConv(y, p[1], nil, 2, k)), 2, 3, 4, 4)
			}},
		{name: "max pool nhwc", shapes: []tensor.Shape{{2, 7, 6, 3}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return MaxPoolNHWC(g, p[0], 3, 2, 1) },
			reference: func(p [][]float64) []float64 { return plainPoolNHWC(p[0], 2, 7, 6, 3, 3, 2, 1) }},
		{name: "max pool nhwc of a single pixel", shapes: []tensor.Shape{{2, 1, 1, 3}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return MaxPoolNHWC(g, p[0], 3, 2, 1) },
			reference: func(p [][]float64) []float64 { return p[0] }},
		{name: "max pool nhwc twice, sharing x", shapes: []tensor.Shape{{1, 4, 5, 2}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Add(g, MaxPoolNHWC(g, p[0], 2, 2, 0), MaxPoolNHWC(g, p[0], 2, 2, 0))
			},
			reference: func(p [][]float64) []float64 {
				y := plainPoolNHWC(p[0], 1, 4, 5, 2, 2, 2, 0)
				return plus(y, y)
			}},
	}
}

// The gradient of a border or of equal values goes to the first largest value of a window.
func TestMaxPoolNHWCTies(t *testing.T) {
	store := param.NewStore()
	p, err := store.Add("x", tensor.Shape{1, 3, 3, 1}, param.Init{Kind: "constant", A: -2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	g := core.NewGraph(devicetest.New(t, 1))
	y := MaxPoolNHWC(g, g.Param(p), 3, 2, 1)
	e := compiled(t, g, Sum(g, y), y)
	if want := []float32{-2, -2, -2, -2}; !slices.Equal(y.Value(), want) {
		t.Errorf("value %v, want %v: the border is never the largest", y.Value(), want)
	}
	if want := []float32{1, 1, 0, 1, 1, 0, 0, 0, 0}; !slices.Equal(e.Grad(p), want) {
		t.Errorf("gradient %v, want %v", e.Grad(p), want)
	}
}

// TestConvNHWCIsIndependentOfThreads: the same bits for any number of threads, also with a batch
// unrolled in several pieces and with fewer images than threads; an image's result does not depend
// on the others.
func TestConvNHWCIsIndependentOfThreads(t *testing.T) {
	for _, tc := range []struct {
		batch, c, side, o, kernel, stride int
	}{{5, 5, 19, 7, 3, 1}, {1, 150, 9, 40, 3, 2}, {9, 8, 96, 6, 7, 1}} {
		var first [][]float32
		for _, threads := range []int{1, 2, 7} {
			store := param.NewStore()
			g := core.NewGraph(devicetest.New(t, threads))
			var nodes []*core.Node
			for i, s := range []tensor.Shape{{tc.batch, tc.side, tc.side, tc.c}, {tc.o, tc.c, tc.kernel, tc.kernel}} {
				p, err := store.Add(fmt.Sprint(i), s, param.Init{Kind: "normal", A: 1}, 3)
				if err != nil {
					t.Fatal(err)
				}
				nodes = append(nodes, g.Param(p))
			}
			y := ConvNHWC(g, nodes[0], nodes[1], tc.stride, tc.kernel/2)
			alone := ConvNHWC(g, SliceRows(g, nodes[0], tc.batch-1, tc.batch), nodes[1], tc.stride, tc.kernel/2)
			e := compiled(t, g, Mean(g, Mul(g, y, y)), y, alone)
			got := [][]float32{y.Value()}
			for _, p := range store.Parameters() {
				got = append(got, e.Grad(p))
			}
			if last := y.Value()[len(y.Value())-len(alone.Value()):]; !slices.Equal(last, alone.Value()) {
				t.Errorf("%+v: the last image has another result without the others", tc)
			}
			if first == nil {
				first = got
				continue
			}
			for i := range got {
				if !slices.Equal(got[i], first[i]) {
					t.Errorf("%+v: with %d threads result %d differs from that with one", tc, threads, i)
				}
			}
		}
	}
}
