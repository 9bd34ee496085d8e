package f32

import (
	"fmt"
	"math"
	"testing"
)

// TestMaxPool compares pooling and its gradient with plain loops.
func TestMaxPool(t *testing.T) {
	cases := []MaxPool{
		{N: 2, H: 8, W: 8, C: 16, Size: 3, Stride: 2, Pad: 1}, {N: 3, H: 7, W: 5, C: 37, Size: 3, Stride: 2, Pad: 1},
		{N: 1, H: 4, W: 6, C: 3, Size: 2, Stride: 2}, {N: 1, H: 5, W: 5, C: 9, Size: 5, Stride: 1, Pad: 2}, {N: 1, H: 1, W: 1, C: 70, Size: 2, Stride: 3, Pad: 1},
	}
	eachLevel(t, func(t *testing.T) {
		for _, m := range some(cases) {
			t.Run(fmt.Sprintf("%+v", m), func(t *testing.T) { checkMaxPool(t, m) })
		}
	})
}

// plainMaxPool returns the results of pooling, and the gradient of x.
func plainMaxPool(m MaxPool, x, dy []float32) (want []float32, dx []float64) {
	out := len(dy)
	want, dx = make([]float32, out), make([]float64, len(x))
	for at := range out {
		n, i, j, c := at/(m.OutH()*m.OutW()*m.C), at/(m.OutW()*m.C)%m.OutH(), at/m.C%m.OutW(), at%m.C
		best, from := float32(math.Inf(-1)), -1
		for k := range m.Size * m.Size {
			a, b := i*m.Stride-m.Pad+k/m.Size, j*m.Stride-m.Pad+k%m.Size
			if a < 0 || b < 0 || a >= m.H || b >= m.W {
				continue
			}
			p := ((n*m.H+a)*m.W+b)*m.C + c
			if v := x[p]; from < 0 || v > best || v != v {
				best, from = v, p
			}
		}
		want[at] = best
		dx[from] += float64(dy[at])
	}
	return want, dx
}

func checkMaxPool(t *testing.T, m MaxPool) {
	r := newRand(1)
	out := m.N * m.OutH() * m.OutW() * m.C
	x, dy := newGuarded("x", m.N*m.H*m.W*m.C).random(r, 1), newGuarded("dy", out).random(r, 1)
	for i := range x.x { // equal values, and NaN
		x.x[i] = float32(math.Round(float64(x.x[i])))
		if r.IntN(20) == 0 {
			x.x[i] = float32(math.NaN())
		}
	}
	want, dx := plainMaxPool(m, x.x, dy.x)
	for _, threads := range []int{1, 3} {
		p := newPool(t, threads)
		y, place, gx := newGuarded("y", out), newGuarded("place", out), newGuarded("dx", len(dx))
		for range 2 {
			MaxPoolForward(p, m, x.x, y.x, place.x)
			for i, v := range want {
				if y.x[i] != v && (v == v || y.x[i] == y.x[i]) {
					t.Fatalf("y[%d] = %v, want %v", i, y.x[i], v)
				}
			}
			MaxPoolBackward(p, m, dy.x, place.x, gx.x, false)
			near(t, "dx", gx.x, dx, 1e-6, 1)
		}
		MaxPoolBackward(p, m, dy.x, place.x, gx.x, true)
		for i, v := range gx.x {
			if d := float64(v) - 2*dx[i]; math.Abs(d) > 1e-5 {
				t.Fatalf("added dx[%d] = %v, want %v", i, v, 2*dx[i])
			}
		}
		for _, g := range []*guarded{x, dy, y, place, gx} {
			g.check(t)
		}
	}
}

// TestEmulatedMaxPool runs the kernels of every level in the emulator and compares them with plain
// Go.
func TestEmulatedMaxPool(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs on one goroutine, and slowly")
	}
	for _, level := range emulatedLevels {
		e := newEmulator(t, level.file)
		r := newRand(1)
		for _, c := range []int{1, level.w, 2*level.w + 3} {
			e.reset()
			x, y, place := e.floats(3*5*c).random(r), e.floats(c), e.floats(c)
			x.set(4*c%(2*c), float32(math.NaN()))
			wantY, wantPlace := y.values(), place.values()
			genericMaxPoolForward(c, 2, 3, &x.values()[0], 5*c, &wantY[0], &wantPlace[0], 4, 2)
			e.call("maxPool"+level.suffix, c, 2, 3, x, 5*c, y, place, float32(4), float32(2))
			close32(t, "y", y.values(), wantY)
			sameBits(t, "place", place.values(), wantPlace)
			dx := x.values()
			genericMaxPoolGrad(c, 2, 3, &dx[0], 5*c, &wantY[0], &wantPlace[0], 4, 2)
			e.call("maxPoolGrad"+level.suffix, c, 2, 3, x, 5*c, y, place, float32(4), float32(2))
			close32(t, "dx", x.values(), dx)
		}
		for _, name := range []string{"maxPool", "maxPoolGrad"} {
			if n := e.unused(name + level.suffix); n > 0 {
				t.Errorf("%d instructions of %s%s never ran", n, name, level.suffix)
			}
		}
	}
}
