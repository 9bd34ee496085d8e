package f32

import (
	"fmt"
	"math"
	"testing"
)

// lengths sweeps every remainder of the vector loops and crosses the chunks of the parallel
// drivers.
func lengths() []int {
	var n []int
	for i := range 71 {
		n = append(n, i)
	}
	return append(n, 127, 1000, elementChunk-1, elementChunk+1, 2*elementChunk+77)
}

// elementwiseCase is one kernel and its definition on a single element.
type elementwiseCase struct {
	name      string
	operands  int // slices; the first is written
	run       func(p *Pool, x [][]float32)
	want      func(x []float64) float64
	tolerance float64
}

func elementwiseCases() []elementwiseCase {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	return []elementwiseCase{
		{"Add", 3, func(p *Pool, x [][]float32) { Add(p, x[0], x[1], x[2]) }, func(x []float64) float64 { return x[1] + x[2] }, 1e-7},
		{"Sub", 3, func(p *Pool, x [][]float32) { Sub(p, x[0], x[1], x[2]) }, func(x []float64) float64 { return x[1] - x[2] }, 1e-7},
		{"Mul", 3, func(p *Pool, x [][]float32) { Mul(p, x[0], x[1], x[2]) }, func(x []float64) float64 { return x[1] * x[2] }, 1e-7},
		{"MulAdd", 3, func(p *Pool, x [][]float32) { MulAdd(p, x[0], x[1], x[2]) }, func(x []float64) float64 { return x[0] + x[1]*x[2] }, 2e-7},
		{"Axpy", 2, func(p *Pool, x [][]float32) { Axpy(p, x[0], 0.3, x[1]) }, func(x []float64) float64 { return x[0] + float64(float32(0.3))*x[1] }, 2e-7},
		{"Scale", 2, func(p *Pool, x [][]float32) { Scale(p, x[0], -1.7, x[1]) }, func(x []float64) float64 { return float64(float32(-1.7)) * x[1] }, 1e-7},
		{"Lerp", 2, func(p *Pool, x [][]float32) { Lerp(p, x[0], x[1], 0.996) }, func(x []float64) float64 { return 0.996*x[0] + 0.004*x[1] }, 2e-7},
		{"Copy", 2, func(p *Pool, x [][]float32) { Copy(p, x[0], x[1]) }, func(x []float64) float64 { return x[1] }, 0},
		{"Fill", 1, func(p *Pool, x [][]float32) { Fill(p, x[0], 2.5) }, func(x []float64) float64 { return 2.5 }, 0},
		{"ReluForward", 2, func(p *Pool, x [][]float32) { ReluForward(p, x[1], x[0]) }, func(x []float64) float64 { return math.Max(x[1], 0) }, 0},
		{"ReluBackward", 3, func(p *Pool, x [][]float32) { ReluBackward(p, x[1], x[2], x[0]) }, func(x []float64) float64 {
			if x[1] > 0 {
				return x[2]
			}
			return 0
		}, 0},
		{"GeluForward", 2, func(p *Pool, x [][]float32) { GeluForward(p, x[1], x[0]) }, func(x []float64) float64 { return geluTrue(x[1]) }, 1.2e-7},
		{"GeluBackward", 3, func(p *Pool, x [][]float32) { GeluBackward(p, x[1], x[2], x[0]) }, func(x []float64) float64 { return x[2] * geluSlope(x[1]) }, 2.5e-7},
		{"QuickGeluForward", 2, func(p *Pool, x [][]float32) { QuickGeluForward(p, x[1], x[0]) }, func(x []float64) float64 { return x[1] * sigmoid(1.702*x[1]) }, 2.5e-7},
		{"QuickGeluBackward", 3, func(p *Pool, x [][]float32) { QuickGeluBackward(p, x[1], x[2], x[0]) }, func(x []float64) float64 {
			s := sigmoid(1.702 * x[1])
			return x[2] * s * (1 + 1.702*x[1]*(1-s))
		}, 1e-6},
	}
}

func TestElementwise(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 2), newPool(t, 5)}
	eachLevel(t, func(t *testing.T) {
		for _, c := range elementwiseCases() {
			for _, n := range some(lengths()) {
				var first []float32
				for _, p := range pools {
					r := newRand(uint64(n))
					var x [][]float32
					var g []*guarded
					for range c.operands {
						o := newGuarded(c.name, n).random(r, 2)
						g, x = append(g, o), append(x, o.x)
					}
					want := make([]float64, n)
					for i := range want {
						in := make([]float64, c.operands)
						for k := range in {
							in[k] = float64(x[k][i])
						}
						want[i] = c.want(in)
					}
					c.run(p, x)
					for _, o := range g {
						o.check(t)
					}
					near(t, fmt.Sprintf("%s of %d", c.name, n), x[0], want, c.tolerance, 1)
					if first == nil {
						first = append(first, x[0]...)
					}
					sameBits(t, c.name, x[0], first)
				}
			}
		}
	})
}

// The activations far from zero, where a careless formula overflows, loses all digits or drops a
// NaN.
func TestActivationExtremes(t *testing.T) {
	p := newPool(t, 1)
	inf := float32(math.Inf(1))
	x := []float32{-3e38, -1e10, -1000, -100, -20, -13, -8, -5.7, -4, -1e-30, 0, 1e-30, 4, 5.7, 8, 13, 20, 100, 1000, 1e10, 3e38}
	dy := make([]float32, len(x))
	for i := range dy {
		dy[i] = 1
	}
	eachLevel(t, func(t *testing.T) {
		y := make([]float32, len(x))
		relative := func(name string, want func(x float64) float64) {
			t.Helper()
			for i, v := range x {
				w := want(float64(v))
				if d := math.Abs(float64(y[i]) - w); !(d <= 2e-7*math.Abs(w)+1e-7) {
					t.Errorf("%s(%v) = %v, want %v", name, v, y[i], w)
				}
			}
		}
		sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
		GeluForward(p, x, y)
		relative("gelu", geluTrue)
		GeluBackward(p, x, dy, y)
		relative("gelu'", geluSlope)
		QuickGeluForward(p, x, y)
		relative("quick gelu", func(x float64) float64 {
			if x < -100 {
				return 0
			}
			return x * sigmoid(1.702*x)
		})
		for _, v := range []float32{float32(math.NaN()), inf} {
			in, out := []float32{1, v}, make([]float32, 2)
			for name, f := range map[string]func(){
				"gelu":       func() { GeluForward(p, in, out) },
				"gelu'":      func() { GeluBackward(p, in, in, out) },
				"quick gelu": func() { QuickGeluForward(p, in, out) },
				"relu":       func() { ReluForward(p, in, out) },
			} {
				f()
				if FirstNonFinite(p, out) != 1 {
					t.Errorf("%s(%v) = %v hides it", name, v, out[1])
				}
			}
		}
	})
}

// GELU tail, relative to the value itself.
func TestGeluTail(t *testing.T) {
	p := newPool(t, 1)
	eachLevel(t, func(t *testing.T) {
		for x := -9.0; x < 0; x += 0.01 {
			in, out := []float32{float32(x)}, []float32{0}
			GeluForward(p, in, out)
			want := geluTrue(float64(in[0]))
			if d := math.Abs(float64(out[0])-want) / math.Abs(want); d > 1e-5 {
				t.Fatalf("gelu(%v) = %v, want %v", in[0], out[0], want)
			}
		}
	})
}
