package f32

import (
	"fmt"
	"math"
	"testing"
)

// TestBatchNorm compares all passes with plain loops in float64, over odd sizes, with and without
// residual and positive part, and the bits of one thread with those of three.
func TestBatchNorm(t *testing.T) {
	sizes := [][2]int{{2, 1}, {3, 16}, {70, 5}, {131, 37}, {300, 64}, {700, 33}, {64, 272}, {65, 530}}
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(sizes) {
			for _, relu := range []bool{false, true} {
				for _, residual := range []bool{false, true} {
					t.Run(fmt.Sprintf("%v relu %v residual %v", s, relu, residual), func(t *testing.T) {
						checkBatchNorm(t, s[0], s[1], relu, residual)
					})
				}
			}
		}
	})
}

// plainBatchNorm returns the mean and the variance, the result, the gradient that passes the
// positive part, its sums and products with x - mean.
func plainBatchNorm(rows, n int, x, residual, gamma, beta, dy []float32, relu bool, eps float64) (mean, variance, y, g, sum, dot []float64) {
	mean, variance, sum, dot = make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	y, g = make([]float64, rows*n), make([]float64, rows*n)
	for j := range n {
		for r := range rows {
			mean[j] += float64(x[r*n+j]) / float64(rows)
		}
		for r := range rows {
			d := float64(x[r*n+j]) - mean[j]
			variance[j] += d * d / float64(rows)
		}
		for r := range rows {
			i := r*n + j
			d := float64(x[i]) - mean[j]
			y[i] = d/math.Sqrt(variance[j]+eps)*float64(gamma[j]) + float64(beta[j])
			if residual != nil {
				y[i] += float64(residual[i])
			}
			if !relu || y[i] > 0 {
				g[i] = float64(dy[i])
			} else {
				y[i] = 0
			}
			sum[j] += g[i]
			dot[j] += g[i] * d
		}
	}
	return mean, variance, y, g, sum, dot
}

func checkBatchNorm(t *testing.T, rows, n int, relu, residual bool) {
	const eps = 1e-5
	r := newRand(uint64(rows*1000 + n))
	x, dy := newGuarded("x", rows*n).random(r, 2), newGuarded("dy", rows*n).random(r, 1)
	for i := range x.x { // means far from zero
		x.x[i] += float32(100 * (i % n % 3))
	}
	gamma, beta := newGuarded("gamma", n).random(r, 1), newGuarded("beta", n).random(r, 1)
	b := BatchNorm{Rows: rows, N: n, X: x.x, Relu: relu, Vectors: Alloc(5 * n)}
	var g []float32
	if residual {
		b.Residual = newGuarded("residual", rows*n).random(r, 1).x
		g = newGuarded("g", rows*n).x
	}
	wantMean, wantVariance, wantY, wantG, wantSum, wantDot := plainBatchNorm(rows, n, x.x, b.Residual, gamma.x, beta.x, dy.x, relu, eps)
	single := func(x []float64) []float32 {
		y := make([]float32, len(x))
		for i, v := range x {
			y[i] = float32(v)
		}
		return y
	}
	var first [][]float32
	for _, threads := range []int{1, 3} {
		p := newPool(t, threads)
		y, dx := newGuarded("y", rows*n), newGuarded("dx", rows*n)
		mean, variance, sum, dot := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
		slope, offset := make([]float64, n), make([]float64, n)
		for range 2 {
			b.Moments(p, mean, variance)
			b.Scale(mean, variance, eps, gamma.x, beta.x)
			b.Forward(p, y.x)
			b.BackwardSums(p, dy.x, y.x, g, sum, dot)
		}
		near(t, "mean", single(mean), wantMean, 1e-6, 1)
		near(t, "variance", single(variance), wantVariance, 2e-6, 0)
		near(t, "y", y.x, wantY, 4e-5, 0)
		near(t, "sum", single(sum), wantSum, 1e-5, 1)
		near(t, "dot", single(dot), wantDot, 1e-5, 100) // the mean of Vectors is rounded
		grad := dy.x
		if residual {
			near(t, "g", g, wantG, 0, 0)
			grad = g
		}
		want := make([]float64, rows*n)
		for j := range n {
			slope[j], offset[j] = float64(j%3)-1, float64(j%5)
		}
		for i := range want {
			j := i % n
			want[i] = wantG[i]/math.Sqrt(wantVariance[j]+eps)*float64(gamma.x[j]) + slope[j]*(float64(x.x[i])-wantMean[j]) + offset[j]
		}
		b.Backward(p, grad, dx.x, slope, offset)
		near(t, "dx", dx.x, want, 2e-5, 1)
		for _, v := range []*guarded{x, dy, gamma, beta, y, dx} {
			v.check(t)
		}
		got := [][]float32{single(mean), single(variance), y.x, single(sum), single(dot), dx.x}
		if first == nil {
			first = got
		}
		for i := range got {
			sameBits(t, fmt.Sprintf("result %d with %d threads", i, threads), got[i], first[i])
		}
	}
}

func TestBatchNormAllocatesNothing(t *testing.T) {
	p := newPool(t, 2)
	const rows, n = 300, 70
	x, y, z := Alloc(rows*n), Alloc(rows*n), Alloc(rows*n)
	a, c := make([]float64, n), make([]float64, n)
	b := BatchNorm{Rows: rows, N: n, X: x, Relu: true, Vectors: Alloc(5 * n)}
	m := MaxPool{N: 1, H: 20, W: 15, C: n, Size: 3, Stride: 2, Pad: 1}
	f := func() {
		b.Moments(p, a, c)
		b.Scale(a, c, 1e-5, nil, nil)
		b.Forward(p, y)
		b.BackwardSums(p, y, nil, nil, a, c)
		b.Backward(p, y, z, a, c)
		MaxPoolForward(p, m, x, y, z)
		MaxPoolBackward(p, m, y, z, x, false)
	}
	f()
	if a := testing.AllocsPerRun(5, f); a != 0 && !raceEnabled {
		t.Errorf("%v allocations a call", a)
	}
}

// A NaN reaches the moments and the result, as does an infinity.
func TestBatchNormNaN(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		p := newPool(t, 1)
		const rows, n = 40, 3
		x, y := Alloc(rows*n), Alloc(rows*n)
		x[35*n] = float32(math.NaN())
		x[38*n+1] = float32(math.Inf(1))
		b := BatchNorm{Rows: rows, N: n, X: x, Relu: true, Vectors: Alloc(5 * n)}
		mean, variance := make([]float64, n), make([]float64, n)
		b.Moments(p, mean, variance)
		b.Scale(mean, variance, 1e-5, nil, nil)
		b.Forward(p, y)
		for j := range 2 {
			if y[38*n+j] == y[38*n+j] || variance[j] == variance[j] {
				t.Errorf("column %d: variance %v, result %v, want NaN", j, variance[j], y[38*n+j])
			}
		}
		if y[2] != 0 || variance[2] != 0 {
			t.Errorf("a column of zeros: variance %v, result %v", variance[2], y[2])
		}
	})
}

// TestEmulatedBatchNorm runs the kernels of every level in the emulator and compares them with
// plain Go.
func TestEmulatedBatchNorm(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs on one goroutine, and slowly")
	}
	const rows, floor = 3, float32(0.1)
	for _, level := range emulatedLevels {
		e := newEmulator(t, level.file)
		r := newRand(1)
		for _, n := range []int{1, level.w, 2*level.w + 3, 9*level.w + 1} {
			e.reset()
			m := func() floats { return e.floats(rows * n).random(r) }
			v := func() floats { return e.floats(n).random(r) }
			x, dy, y, residual, g := m(), m(), m(), m(), m()
			mean, gain, shift, slope, offset := v(), v(), v(), v(), v()
			sum, dot := e.doubles(roundUp(n, 16)), e.doubles(roundUp(n, 16))
			at := func(f floats) *float32 { return &f.values()[0] }
			compare := func(name string, out floats, sums []doubles, call func(name string), plain func(out *float32, sums []*float64)) {
				t.Helper()
				var wanted [][]float64
				var addresses []*float64
				for _, s := range sums {
					wanted = append(wanted, s.values())
					addresses = append(addresses, &wanted[len(wanted)-1][0])
				}
				want := out.values()
				plain(&want[0], addresses)
				call(name + level.suffix)
				close32(t, fmt.Sprintf("%s%s of %d columns", name, level.suffix, n), out.values(), want)
				for i, s := range sums {
					for j, v := range s.values()[:n] {
						if d := math.Abs(v - wanted[i][j]); !(d < 1e-5) {
							t.Fatalf("%s%s of %d columns: sum %d of column %d is %v, want %v", name, level.suffix, n, i, j, v, wanted[i][j])
						}
					}
				}
			}
			both := []doubles{sum, dot}
			compare("batchMoments", y, both, func(name string) { e.call(name, rows, n, x, mean, sum, dot) },
				func(_ *float32, s []*float64) { genericBatchMoments(rows, n, at(x), at(mean), s[0], s[1]) })
			compare("batchNorm", y, nil, func(name string) { e.call(name, rows, n, x, y, mean, gain, shift, floor) },
				func(o *float32, _ []*float64) {
					genericBatchNormForward(rows, n, at(x), o, at(mean), at(gain), at(shift), floor)
				})
			compare("batchNormSums", y, both, func(name string) { e.call(name, rows, n, x, dy, mean, gain, shift, floor, sum, dot) },
				func(_ *float32, s []*float64) {
					genericBatchNormSums(rows, n, at(x), at(dy), at(mean), at(gain), at(shift), floor, s[0], s[1])
				})
			compare("batchNormAdd", y, nil, func(name string) { e.call(name, rows, n, x, residual, y, mean, gain, shift, floor) },
				func(o *float32, _ []*float64) {
					genericBatchNormAdd(rows, n, at(x), at(residual), o, at(mean), at(gain), at(shift), floor)
				})
			compare("batchNormAddSums", g, both, func(name string) { e.call(name, rows, n, x, dy, y, g, mean, floor, sum, dot) },
				func(o *float32, s []*float64) {
					genericBatchNormAddSums(rows, n, at(x), at(dy), at(y), o, at(mean), floor, s[0], s[1])
				})
			compare("batchNormGrad", g, nil, func(name string) { e.call(name, rows, n, x, dy, g, mean, gain, shift, floor, slope, offset) },
				func(o *float32, _ []*float64) {
					genericBatchNormGrad(rows, n, at(x), at(dy), o, at(mean), at(gain), at(shift), floor, at(slope), at(offset))
				})
		}
		for _, name := range []string{"batchMoments", "batchNorm", "batchNormAdd", "batchNormSums", "batchNormAddSums", "batchNormGrad"} {
			if n := e.unused(name + level.suffix); n > 0 {
				t.Errorf("%d instructions of %s%s never ran", n, name, level.suffix)
			}
		}
	}
}
