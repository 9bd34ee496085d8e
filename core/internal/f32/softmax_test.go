package f32

import (
	"fmt"
	"math"
	"testing"
)

func softmaxTrue(x []float32, scale float64) (p []float64, lse float64) {
	most := math.Inf(-1)
	for _, v := range x {
		most = math.Max(most, scale*float64(v))
	}
	sum := 0.0
	for _, v := range x {
		e := math.Exp(scale*float64(v) - most)
		p = append(p, e)
		sum += e
	}
	for i := range p {
		p[i] /= sum
	}
	return p, most + math.Log(sum)
}

func TestSoftmaxRows(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(rowShapes()) {
			for _, scale := range []float32{1, 10, -0.5} {
				rows, n := s[0], s[1]
				var first []float32
				for _, p := range pools {
					r := newRand(uint64(n))
					x := newGuarded("x", rows*n).random(r, 3)
					y, log := newGuarded("y", rows*n), newGuarded("log", rows*n)
					dy, dx := newGuarded("dy", rows*n).random(r, 1), newGuarded("dx", rows*n)
					label := fmt.Sprintf("%v scale %v", s, scale)
					SoftmaxRows(p, rows, n, x.x, y.x, scale)
					LogSoftmaxRows(p, rows, n, x.x, log.x, scale)
					var want, wantLog, wantDX, wantLogDX []float64
					for i := range rows {
						prob, lse := softmaxTrue(x.x[i*n:(i+1)*n], float64(scale))
						dot, sum := 0.0, 0.0
						for j, q := range prob {
							dot += q * float64(dy.x[i*n+j])
							sum += float64(dy.x[i*n+j])
						}
						for j, q := range prob {
							want = append(want, q)
							wantLog = append(wantLog, float64(scale)*float64(x.x[i*n+j])-lse)
							wantDX = append(wantDX, float64(scale)*q*(float64(dy.x[i*n+j])-dot))
							wantLogDX = append(wantLogDX, float64(scale)*(float64(dy.x[i*n+j])-q*sum))
						}
					}
					near(t, "softmax "+label, y.x, want, 1e-6, 0)
					near(t, "log-softmax "+label, log.x, wantLog, 1e-6, 1)
					SoftmaxRowsBackward(p, rows, n, y.x, dy.x, dx.x, scale)
					near(t, "softmax gradient "+label, dx.x, wantDX, 2e-6, 1)
					LogSoftmaxRowsBackward(p, rows, n, log.x, dy.x, dx.x, scale)
					near(t, "log-softmax gradient "+label, dx.x, wantLogDX, 8e-6, 1) // exp of a rounded logarithm near -90
					for _, g := range []*guarded{x, y, log, dy, dx} {
						g.check(t)
					}
					if first == nil {
						first = append(first, y.x...)
					}
					sameBits(t, label, y.x, first)
				}
			}
		}
	})
}
