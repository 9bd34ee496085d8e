package f32

import (
	"fmt"
	"math"
	"testing"
)

type normTrue struct{ y, dx, dgamma, dbeta []float64 }

func layerNormTrue(rows, n int, x, gamma, beta, dy []float32, eps float64) normTrue {
	o := normTrue{make([]float64, rows*n), make([]float64, rows*n), make([]float64, n), make([]float64, n)}
	at := func(s []float32, i int, absent float64) float64 {
		if s == nil {
			return absent
		}
		return float64(s[i])
	}
	for r := range rows {
		mean, variance := 0.0, 0.0
		for i := range n {
			mean += float64(x[r*n+i]) / float64(n)
		}
		for i := range n {
			variance += math.Pow(float64(x[r*n+i])-mean, 2) / float64(n)
		}
		rstd := 1 / math.Sqrt(variance+eps)
		s1, s2 := 0.0, 0.0
		for i := range n {
			xh, d := (float64(x[r*n+i])-mean)*rstd, float64(dy[r*n+i])
			o.y[r*n+i] = xh*at(gamma, i, 1) + at(beta, i, 0)
			o.dgamma[i] += d * xh
			o.dbeta[i] += d
			s1 += d * at(gamma, i, 1) / float64(n)
			s2 += d * at(gamma, i, 1) * xh / float64(n)
		}
		for i := range n {
			xh := (float64(x[r*n+i]) - mean) * rstd
			o.dx[r*n+i] = rstd * (float64(dy[r*n+i])*at(gamma, i, 1) - s1 - xh*s2)
		}
	}
	return o
}

func TestLayerNorm(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 2), newPool(t, 5)}
	shapes := [][2]int{{1, 1}, {130, 192}, {65, 768}, {700, 20}, {0, 4}}
	for n := 2; n <= 70; n++ {
		shapes = append(shapes, [2]int{1 + n%5, n})
	}
	const eps = 1e-6
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(shapes) {
			for variant := range 4 {
				rows, n := s[0], s[1]
				affine, addDX := variant&1 != 0, variant&2 != 0
				var first, firstGain []float32
				for _, p := range pools {
					r := newRand(uint64(n))
					x, dy := newGuarded("x", rows*n).random(r, 2), newGuarded("dy", rows*n).random(r, 1)
					for i := range x.x {
						x.x[i] += 5 // a mean that a one-pass variance would trip over
					}
					gamma, beta := newGuarded("gamma", n).random(r, 1), newGuarded("beta", n).random(r, 1)
					y, stats, dx := newGuarded("y", rows*n), newGuarded("stats", rows*2), newGuarded("dx", rows*n).random(r, 1)
					dgamma, dbeta := newGuarded("dgamma", n).random(r, 1), newGuarded("dbeta", n).random(r, 1)
					g, b := gamma.x, beta.x
					if !affine {
						g, b = nil, nil
					}
					want := layerNormTrue(rows, n, x.x, g, b, dy.x, eps)
					if addDX {
						for i := range want.dx {
							want.dx[i] += float64(dx.x[i])
						}
					}
					norm := LayerNorm{Rows: rows, N: n, X: x.x, Gamma: g, Beta: b, Eps: eps, Stats: stats.x}
					LayerNormForward(p, norm, y.x)
					if affine {
						LayerNormBackward(p, norm, dy.x, dx.x, dgamma.x, dbeta.x, addDX)
					} else {
						LayerNormBackward(p, norm, dy.x, dx.x, nil, nil, addDX)
					}
					label := fmt.Sprintf("%v affine=%v add=%v", s, affine, addDX)
					if n > 3 { // fewer values may nearly coincide, where the result is ill-conditioned
						near(t, "y "+label, y.x, want.y, 2e-6, 1)
						near(t, "dx "+label, dx.x, want.dx, 4e-6, 1)
						if affine {
							near(t, "dgamma "+label, dgamma.x, want.dgamma, 2e-6, 1)
						}
					}
					if affine {
						near(t, "dbeta "+label, dbeta.x, want.dbeta, 1e-6, 1)
					}
					for _, o := range []*guarded{x, dy, gamma, beta, y, stats, dx, dgamma, dbeta} {
						o.check(t)
					}
					if p == pools[0] {
						first, firstGain = dx.x, dgamma.x
					}
					sameBits(t, "dx "+label, dx.x, first)
					sameBits(t, "dgamma "+label, dgamma.x, firstGain)
				}
			}
		}
	})
}
