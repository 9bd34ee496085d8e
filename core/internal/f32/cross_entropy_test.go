package f32

import (
	"fmt"
	"testing"
)

func TestCrossEntropy(t *testing.T) {
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
