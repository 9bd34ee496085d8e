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

func rowShapes() [][2]int {
	shapes := [][2]int{{300, 10}, {5, 1000}, {2, 70000}, {0, 3}}
	for n := 1; n <= 70; n++ {
		shapes = append(shapes, [2]int{1 + n%4, n})
	}
	return shapes
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

func TestCrossEntropyRows(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range some(rowShapes()) {
			for _, soft := range []bool{false, true} {
				rows, n := s[0], s[1]
				const scale = float32(2.5)
				var first []float32
				for _, p := range pools {
					r := newRand(uint64(n))
					x := newGuarded("x", rows*n).random(r, 3)
					target := make([]float32, rows*n)
					labels := make([]int32, rows)
					for i := range labels {
						labels[i] = int32(r.IntN(n+1)) - 1
						for j := range n {
							if soft {
								target[i*n+j] = r.Float32()
							} else if int(labels[i]) == j {
								target[i*n+j] = 1
							}
						}
					}
					loss, lse := newGuarded("loss", rows), newGuarded("lse", rows)
					dloss, dx := newGuarded("dloss", rows).random(r, 1), newGuarded("dx", rows*n)
					var want, wantDX []float64
					for i := range rows {
						prob, z := softmaxTrue(x.x[i*n:(i+1)*n], float64(scale))
						sum, l := 0.0, 0.0
						for j := range n {
							w := float64(target[i*n+j])
							sum += w
							l += w * (z - float64(scale)*float64(x.x[i*n+j]))
						}
						want = append(want, l)
						for j, q := range prob {
							wantDX = append(wantDX, float64(dloss.x[i])*float64(scale)*(q*sum-float64(target[i*n+j])))
						}
					}
					c := CrossEntropy{Rows: rows, N: n, X: x.x, Scale: scale, LSE: lse.x}
					if soft {
						c.Target = target
					} else {
						c.Labels = labels
					}
					CrossEntropyForward(p, c, loss.x)
					CrossEntropyBackward(p, c, dloss.x, dx.x)
					label := fmt.Sprintf("%v soft=%v", s, soft)
					near(t, "cross entropy "+label, loss.x, want, 1e-6, 1)
					near(t, "cross entropy gradient "+label, dx.x, wantDX, 4e-6, 1)
					for _, g := range []*guarded{x, loss, lse, dloss, dx} {
						g.check(t)
					}
					if first == nil {
						first = append(first, dx.x...)
					}
					sameBits(t, label, dx.x, first)
				}
			}
		}
	})
}

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
			near(t, fmt.Sprint("normalised ", s), y.x, want, 5e-7, 0)
			near(t, fmt.Sprint("gradient ", s), dx.x, wantDX, 2e-6, 1)
			for _, g := range []*guarded{x, y, norms, dy, dx} {
				g.check(t)
			}
		}
	})
}

func TestWeightNormRows(t *testing.T) {
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

func TestRowHelpers(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, s := range [][2]int{{1, 1}, {7, 33}, {50, 19}, {9, 5000}} {
			for _, p := range pools {
				rows, n := s[0], s[1]
				r := newRand(uint64(n))
				x, row, factor := newGuarded("x", rows*n).random(r, 1), newGuarded("row", n).random(r, 1), newGuarded("factor", ceilDiv(rows, 2)).random(r, 1)
				y := newGuarded("y", rows*n)
				each := func(name string, want func(i, j int, v float64) float64) {
					t.Helper()
					ref := make([]float64, rows*n)
					for i := range ref {
						ref[i] = want(i/n, i%n, float64(x.x[i]))
					}
					y.check(t)
					near(t, fmt.Sprint(name, s), y.x, ref, 1e-7, 1)
				}
				AddRow(p, rows, n, x.x, row.x, y.x)
				each("AddRow", func(_, j int, v float64) float64 { return v + float64(row.x[j]) })
				MulRow(p, rows, n, x.x, row.x, y.x)
				each("MulRow", func(_, j int, v float64) float64 { return v * float64(row.x[j]) })
				ScaleRows(p, rows, n, x.x, factor.x, 2, y.x)
				each("ScaleRows", func(i, _ int, v float64) float64 { return v * float64(factor.x[i/2]) })

				index := make([]int32, rows)
				for i := range index {
					index[i] = int32(r.IntN(rows+1)) - 1
				}
				GatherRows(p, rows, n, x.x, index, y.x)
				each("GatherRows", func(i, j int, _ float64) float64 {
					if index[i] < 0 {
						return 0
					}
					return float64(x.x[int(index[i])*n+j])
				})
				want := make([]float64, rows*n)
				clear(y.x)
				ScatterAddRows(p, rows, n, x.x, index, y.x)
				for i, to := range index {
					for j := range n {
						if to >= 0 {
							want[int(to)*n+j] += float64(x.x[i*n+j])
						}
					}
				}
				y.check(t)
				near(t, "ScatterAddRows", y.x, want, 1e-6, 1)
			}
		}
	})
}
