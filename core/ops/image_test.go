package ops

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

func plainConv(x, w, b []float64, n int, k convolution) []float64 {
	oh, ow := (k.h+2*k.padding-k.r)/k.stride+1, (k.w+2*k.padding-k.s)/k.stride+1
	y := make([]float64, 0, n*k.o*oh*ow)
	for image := range n {
		for o := range k.o {
			for i := range oh {
				for j := range ow {
					sum := 0.0
					if b != nil {
						sum = b[o]
					}
					for c := range k.c {
						for r := range k.r {
							for s := range k.s {
								yy, xx := i*k.stride+r-k.padding, j*k.stride+s-k.padding
								if yy >= 0 && yy < k.h && xx >= 0 && xx < k.w {
									sum += w[((o*k.c+c)*k.r+r)*k.s+s] * x[((image*k.c+c)*k.h+yy)*k.w+xx]
								}
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

// convCase is a convolution of n images as a gradient check.
func convCase(n int, k convolution, bias bool) gradientCase {
	shapes := []tensor.Shape{{n, k.c, k.h, k.w}, {k.o, k.c, k.r, k.s}}
	if bias {
		shapes = append(shapes, tensor.Shape{k.o})
	}
	third := func(p []*core.Node) *core.Node {
		if bias {
			return p[2]
		}
		return nil
	}
	return gradientCase{
		name: fmt.Sprintf("conv %d×%d of %d×%d stride %d padding %d", k.r, k.s, k.h, k.w, k.stride, k.padding), shapes: shapes,
		make: func(g *core.Graph, p []*core.Node) *core.Node {
			return Conv2D(g, p[0], p[1], third(p), k.stride, k.padding)
		},
		reference: func(p [][]float64) []float64 {
			var b []float64
			if bias {
				b = p[2]
			}
			return plainConv(p[0], p[1], b, n, k)
		},
	}
}

// convCases are convolutions of all kinds of borders.
func convCases() []gradientCase {
	return []gradientCase{
		convCase(2, convolution{c: 3, h: 5, w: 7, o: 4, r: 3, s: 3, stride: 1, padding: 1}, true),
		convCase(3, convolution{c: 2, h: 9, w: 6, o: 3, r: 4, s: 4, stride: 2, padding: 1}, true),
		convCase(1, convolution{c: 2, h: 4, w: 5, o: 3, r: 1, s: 1, stride: 1, padding: 0}, true),
		convCase(2, convolution{c: 2, h: 5, w: 5, o: 3, r: 1, s: 1, stride: 2, padding: 0}, false),
		convCase(2, convolution{c: 1, h: 3, w: 2, o: 2, r: 7, s: 7, stride: 1, padding: 3}, true), // a kernel larger than the image
		convCase(2, convolution{c: 2, h: 8, w: 7, o: 2, r: 2, s: 5, stride: 3, padding: 2}, false),
		convCase(1, convolution{c: 2, h: 2, w: 2, o: 1, r: 1, s: 1, stride: 1, padding: 2}, true), // patches wholly outside
		{name: "conv twice, sharing x", shapes: []tensor.Shape{{2, 3, 4, 4}, {3, 3, 3, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				return Add(g, Conv2D(g, p[0], p[1], nil, 1, 1), Conv2D(g, Conv2D(g, p[0], p[1], nil, 1, 1), p[1], nil, 1, 1))
			},
			reference: func(p [][]float64) []float64 {
				k := convolution{c: 3, h: 4, w: 4, o: 3, r: 3, s: 3, stride: 1, padding: 1}
				y := plainConv(p[0], p[1], nil, 2, k)
				return plus(y, plainConv(y, p[1], nil, 2, k))
			}},
	}
}

// poolCases are pooling and its opposite.
func poolCases() []gradientCase {
	return []gradientCase{
		{name: "max pool", shapes: []tensor.Shape{{2, 3, 6, 4}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return MaxPool2D(g, p[0], 2, 2) },
			reference: func(p [][]float64) []float64 { return plainPool(p[0], 6, 6, 4, 2, 2) }},
		{name: "overlapping max pool of an odd size", shapes: []tensor.Shape{{1, 2, 7, 6}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return MaxPool2D(g, p[0], 3, 2) },
			reference: func(p [][]float64) []float64 { return plainPool(p[0], 2, 7, 6, 3, 2) }},
		{name: "upsample", shapes: []tensor.Shape{{2, 2, 3, 5}},
			make:      func(g *core.Graph, p []*core.Node) *core.Node { return UpsampleNearest(g, p[0], 3) },
			reference: func(p [][]float64) []float64 { return plainUpsample(p[0], 4, 3, 5, 3) }},
	}
}

// plainUpsample repeats every pixel of planes [h, w] factor times in both directions.
func plainUpsample(x []float64, planes, h, w, factor int) []float64 {
	var y []float64
	for p := range planes {
		for i := range h * factor {
			for j := range w * factor {
				y = append(y, x[(p*h+i/factor)*w+j/factor])
			}
		}
	}
	return y
}

// plainPool takes the largest value of each window of planes [h, w].
func plainPool(x []float64, planes, h, w, size, stride int) []float64 {
	var y []float64
	for p := range planes {
		for i := 0; i+size <= h; i += stride {
			for j := 0; j+size <= w; j += stride {
				best := math.Inf(-1)
				for a := range size {
					for b := range size {
						best = max(best, x[(p*h+i+a)*w+j+b])
					}
				}
				y = append(y, best)
			}
		}
	}
	return y
}

// rowCases are operators on the rows of a table.
func rowCases() []gradientCase {
	return []gradientCase{
		{name: "gather rows of a table", shapes: []tensor.Shape{{4, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				rows := ints(g, "rows", tensor.Shape{2, 3}, 3, 0, 0, 1, 3, 3)
				return GatherRows(g, p[0], rows)
			},
			reference: func(p [][]float64) []float64 {
				var y []float64
				for _, r := range []int{3, 0, 0, 1, 3, 3} {
					y = append(y, p[0][r*3:][:3]...)
				}
				return y
			}},
		{name: "gather rows by chosen integers", shapes: []tensor.Shape{{4, 3}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				labels, places := g.InputInt("labels", tensor.Shape{2, 3}), g.InputInt("places", tensor.Shape{2, 4})
				copy(labels.Ints(), []int32{3, 0, 2, 1, 2, 0})
				copy(places.Ints(), []int32{2, 2, 0, 1, 1, 0, 2, 0})
				return GatherRows(g, p[0], GatherIntegers(g, labels, places))
			},
			reference: func(p [][]float64) []float64 {
				var y []float64
				for _, r := range []int{2, 2, 3, 0, 2, 1, 0, 1} {
					y = append(y, p[0][r*3:][:3]...)
				}
				return y
			}},
		{name: "scale rows", shapes: []tensor.Shape{{3, 2, 2}},
			make: func(g *core.Graph, p []*core.Node) *core.Node {
				factor := input(g, "factor", tensor.Shape{3}, 2, 0, -1)
				return ScaleRows(g, p[0], factor)
			},
			reference: func(p [][]float64) []float64 {
				y := make([]float64, 12)
				for i := range y {
					y[i] = p[0][i] * []float64{2, 0, -1}[i/4]
				}
				return y
			}},
	}
}

// TestConvIsIndependentOfThreads: a convolution gives the same bits for any number of threads, also
// with a batch unrolled in several pieces and with fewer images than threads.
func TestConvIsIndependentOfThreads(t *testing.T) {
	for _, tc := range []struct {
		batch, c, side, o, kernel int
	}{{5, 5, 19, 7, 3}, {1, 150, 9, 40, 3}, {9, 8, 96, 6, 7}} {
		var first [][]float32
		for _, threads := range []int{1, 2, 7} {
			store := param.NewStore()
			g := core.NewGraph(devicetest.New(t, threads))
			var nodes []*core.Node
			for i, s := range []tensor.Shape{{tc.batch, tc.c, tc.side, tc.side}, {tc.o, tc.c, tc.kernel, tc.kernel}, {tc.o}} {
				p := must.Get(store.Add(fmt.Sprint(i), s, param.Init{Kind: "normal", A: 1}, 3))(t)
				nodes = append(nodes, g.Param(p))
			}
			y := Conv2D(g, nodes[0], nodes[1], nodes[2], 1, tc.kernel/2)
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
					t.Errorf("%+v: with %d threads result %d differs from that with one", tc, threads, i)
				}
			}
		}
	}
}

// Integers that an operator computes feed those that read integers, and count as values too.
func TestChoices(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 2))
	x := input(g, "x", tensor.Shape{4, 3}, 0, 2, 1, 5, 5, 4, -3, -2, -1, .4, 0, 0)
	table := input(g, "table", tensor.Shape{5, 3}, 0, 0, 0, 0, 2, 2, 5, 5, 5, -2, -2, -2, 1, 1, 1)
	largest, nearest := ArgMax(g, x), NearestRow(g, x, table)
	weights := input(g, "weights", tensor.Shape{4}, 1, 2, 0, 1)
	labels := ints(g, "labels", tensor.Shape{4}, 1, 1, 2, 0)
	plain, weighted := Accuracy(g, x, labels, nil), Accuracy(g, x, labels, weights)
	rows := GatherRows(g, table, nearest)
	compiled(t, g, nil, largest, nearest, plain, weighted, rows)
	if want := []int32{1, 0, 2, 0}; !slices.Equal(largest.Ints(), want) {
		t.Errorf("arg max %v, want %v", largest.Ints(), want)
	}
	if want := []int32{1, 2, 3, 0}; !slices.Equal(nearest.Ints(), want) || !slices.Equal(nearest.Value(), []float32{1, 2, 3, 0}) {
		t.Errorf("nearest %v, as numbers %v, want %v", nearest.Ints(), nearest.Value(), want)
	}
	if plain.Value()[0] != .75 || weighted.Value()[0] != .5 {
		t.Errorf("accuracy %v and %v, want 0.75 and 0.5", plain.Value()[0], weighted.Value()[0])
	}
	if rows.Value()[3] != 5 {
		t.Errorf("rows %v", rows.Value())
	}
}

// NearestRow against all distances in float64, over several chunks of vectors.
func TestNearestRow(t *testing.T) {
	const n, k, d = 2*nearestChunk + 37, 19, 5
	g := core.NewGraph(devicetest.New(t, 2))
	x, table := g.Input("x", tensor.Shape{n, d}), g.Input("table", tensor.Shape{k, d})
	r := prng.New(1, "nearest")
	for _, v := range [][]float32{x.Value(), table.Value()} {
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
	}
	nearest := NearestRow(g, x, table)
	compiled(t, g, nil, nearest)
	distance := func(i int, code int32) float64 {
		sum := 0.0
		for j := range d {
			v := float64(x.Value()[i*d+j] - table.Value()[int(code)*d+j])
			sum += v * v
		}
		return sum
	}
	for i, got := range nearest.Ints() {
		for code := range int32(k) {
			if distance(i, code) < distance(i, got)-1e-5 {
				t.Fatalf("vector %d: code %d at distance %g, %d at %g is nearer", i, got, distance(i, got), code, distance(i, code))
			}
		}
	}
}

func TestCodebookUpdate(t *testing.T) {
	g := core.NewGraph(devicetest.New(t, 2))
	x := input(g, "x", tensor.Shape{3, 2}, 1, 2, 3, 4, 10, 20)
	codes := ints(g, "codes", tensor.Shape{3}, 0, 0, 3)
	fresh := input(g, "fresh", tensor.Shape{1, 2}, -7, -8)
	book := input(g, "book", tensor.Shape{4, 2}, 9, 9, 8, 8, 7, 7, 6, 6)
	count := input(g, "count", tensor.Shape{4}, 4, 1, 1, 2)
	sum := input(g, "sum", tensor.Shape{4, 2}, 4, 8, 8, 8, 7, 7, 12, 12)
	a, b, c := CodebookUpdate(g, x, codes, fresh, book, count, sum, CodebookOptions{Decay: .5, Alive: 1})
	e := compiled(t, g, nil, a, b, c)
	// Code 0: count (4+2)/2, sum (4+4, 8+6)/2. Codes 1 and 2 die; one fresh vector is there. Code
	// 3: count (2+1)/2, sum (12+10, 12+20)/2.
	third := float32(3)
	if want := []float32{4 / third, 7 / third, -7, -8, 7, 7, 22 / third, 32 / third}; !slices.Equal(a.Value(), want) {
		t.Errorf("codebook %v, want %v", a.Value(), want)
	}
	if want := []float32{3, 1, 1, 1.5}; !slices.Equal(b.Value(), want) {
		t.Errorf("counts %v, want %v", b.Value(), want)
	}
	if want := []float32{4, 7, -7, -8, 7, 7, 11, 16}; !slices.Equal(c.Value(), want) {
		t.Errorf("sums %v, want %v", c.Value(), want)
	}
	codes.Ints()[1] = 4
	if err := e.Run(); err == nil || !strings.Contains(err.Error(), "code 4 of row 1") {
		t.Errorf("a code outside of the codebook: %v", err)
	}
}
