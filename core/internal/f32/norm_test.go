package f32

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestL2NormalizeRows(t *testing.T) {
	p := newPool(t, 2)
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(rowShapes()) {
			rows, n := s[0], s[1]
			r := newRand(uint64(n))
			x, dy := newGuarded("x", rows*n).random(r, 1), newGuarded("dy", rows*n).random(r, 1)
			y, dx, norms := newGuarded("y", rows*n), newGuarded("dx", rows*n), newGuarded("norms", rows)
			const eps = 1e-2
			if rows > 1 { // one row below eps
				for j := range n {
					x.x[j] *= 1e-6
				}
			}
			L2NormalizeRows(p, rows, n, x.x, y.x, norms.x, eps)
			L2NormalizeRowsBackward(p, rows, n, y.x, norms.x, dy.x, dx.x, eps)
			var want, wantDX []float64
			for i := range rows {
				sum, dot := 0.0, 0.0
				for j := range n {
					sum += float64(x.x[i*n+j]) * float64(x.x[i*n+j])
					dot += float64(x.x[i*n+j]) * float64(dy.x[i*n+j])
				}
				norm := math.Sqrt(sum)
				if norm < eps {
					norm, dot = eps, 0
				}
				for j := range n {
					v, d := float64(x.x[i*n+j]), float64(dy.x[i*n+j])
					want = append(want, v/norm)
					wantDX = append(wantDX, d/norm-v*dot/(norm*norm*norm))
				}
			}
			near(t, fmt.Sprint("normalized ", s), y.x, want, 5e-7, 0)
			near(t, fmt.Sprint("gradient ", s), dx.x, wantDX, 2e-6, 1)
			for _, g := range []*guarded{x, y, norms, dy, dx} {
				g.check(t)
			}
		}
	})
}

func TestWeightNorm(t *testing.T) {
	p := newPool(t, 2)
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(rowShapes()) {
			rows, n := s[0], s[1]
			r := newRand(uint64(n))
			v, dw := newGuarded("v", rows*n).random(r, 1), newGuarded("dw", rows*n).random(r, 1)
			gain := newGuarded("gain", rows).random(r, 1)
			w, dv, norms, dgain := newGuarded("w", rows*n), newGuarded("dv", rows*n), newGuarded("norms", rows), newGuarded("dgain", rows)
			for _, given := range []bool{true, false} {
				factors := gain.x
				if !given {
					factors = nil
				}
				norm := WeightNorm{Rows: rows, N: n, V: v.x, Gain: factors, Norms: norms.x}
				WeightNormForward(p, norm, w.x)
				WeightNormBackward(p, norm, dw.x, dv.x, dgain.x)
				var want, wantDV, wantDG []float64
				for i := range rows {
					sum, dot, k := 0.0, 0.0, 1.0
					if given {
						k = float64(gain.x[i])
					}
					for j := range n {
						sum += float64(v.x[i*n+j]) * float64(v.x[i*n+j])
						dot += float64(v.x[i*n+j]) * float64(dw.x[i*n+j])
					}
					norm := math.Sqrt(sum)
					wantDG = append(wantDG, dot/norm)
					for j := range n {
						want = append(want, k*float64(v.x[i*n+j])/norm)
						wantDV = append(wantDV, k/norm*(float64(dw.x[i*n+j])-float64(v.x[i*n+j])*dot/sum))
					}
				}
				near(t, fmt.Sprint("normed ", s), w.x, want, 5e-7, 0)
				near(t, fmt.Sprint("gradient of v ", s), dv.x, wantDV, 2e-6, 1)
				near(t, fmt.Sprint("gradient of the gain ", s), dgain.x, wantDG, 2e-6, 1)
			}
			WeightNormBackward(p, WeightNorm{Rows: rows, N: n, V: v.x, Gain: gain.x, Norms: norms.x}, dw.x, nil, nil)
			for _, g := range []*guarded{v, dw, gain, w, dv, norms, dgain} {
				g.check(t)
			}
		}
	})
}

// Rows get the length 1, and a second call leaves every bit.
func TestUnitRows(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(rowShapes()) {
			for _, p := range pools {
				rows, n := s[0], s[1]
				x := newGuarded("x", rows*n).random(newRand(uint64(n)), 3)
				want := make([]float64, rows*n)
				for i := range rows {
					sum := 0.0
					for _, v := range x.x[i*n:][:n] {
						sum += float64(v) * float64(v)
					}
					for j, v := range x.x[i*n:][:n] {
						want[i*n+j] = float64(v) / math.Sqrt(sum)
					}
				}
				UnitRows(p, rows, n, x.x, 1e-12)
				x.check(t)
				near(t, fmt.Sprint("UnitRows", s), x.x, want, 3e-7, 1)
				once := slices.Clone(x.x)
				UnitRows(p, rows, n, x.x, 1e-12)
				if !slices.Equal(x.x, once) {
					t.Errorf("UnitRows%v changes rows of length 1", s)
				}
			}
		}
	})
}
