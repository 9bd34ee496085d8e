package f32

import (
	"fmt"
	"math"
	"testing"
)

func TestOptimizers(t *testing.T) {
	pools := []*Pool{newPool(t, 1), newPool(t, 3)}
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{1, 7, 16, 33, 70, elementChunk + 9} {
			for _, p := range pools {
				r := newRand(uint64(n))
				param, grad := newGuarded("param", n).random(r, 1), newGuarded("grad", n)
				m, v := newGuarded("m", n), newGuarded("v", n)
				wp, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
				for i, x := range param.x {
					wp[i] = float64(x)
				}
				for step := 1; step <= 4; step++ {
					a := AdamWStep{LR: 1e-2, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.05, Step: step}
					grad.random(r, 1)
					AdamW(p, param.x, grad.x, m.x, v.x, a)
					for i, g := range grad.x {
						g := float64(g)
						wm[i] = a.Beta1*wm[i] + (1-a.Beta1)*g
						wv[i] = a.Beta2*wv[i] + (1-a.Beta2)*g*g
						mh, vh := wm[i]/(1-math.Pow(a.Beta1, float64(step))), wv[i]/(1-math.Pow(a.Beta2, float64(step)))
						wp[i] = wp[i]*(1-a.LR*a.WeightDecay) - a.LR*mh/(math.Sqrt(vh)+a.Eps)
					}
				}
				near(t, "param", param.x, wp, 4e-7, 1)
				near(t, "m", m.x, wm, 4e-7, 1)
				near(t, "v", v.x, wv, 4e-7, 1)
				for _, g := range []*guarded{param, grad, m, v} {
					g.check(t)
				}

				for _, u := range []MomentumUpdate{
					{LR: 0.1, Momentum: 0.9},
					{LR: 0.1, Momentum: 0.9, Dampening: 0.1, WeightDecay: 0.05, Nesterov: true},
					{LR: 0.1, Momentum: 0.9, WeightDecay: 0.05, GradScale: 0.02},
				} {
					param.random(r, 1)
					m.random(r, 1) // to be ignored by the first step
					for i, x := range param.x {
						wp[i] = float64(x)
					}
					for step := range 3 {
						grad.random(r, 1)
						u.First = step == 0
						MomentumStep(p, param.x, grad.x, m.x, u)
						for i, g := range grad.x {
							scale := u.GradScale
							if scale == 0 {
								scale = 1
							}
							g := scale * (float64(g) + u.WeightDecay*wp[i])
							if u.First {
								wm[i] = g
							} else {
								wm[i] = u.Momentum*wm[i] + (1-u.Dampening)*g
							}
							d := wm[i]
							if u.Nesterov {
								d = g + u.Momentum*wm[i]
							}
							wp[i] -= u.LR * d
						}
					}
					near(t, fmt.Sprintf("%+v", u), param.x, wp, 4e-7, 1)
					near(t, fmt.Sprintf("%+v buffer", u), m.x, wm, 4e-7, 1)
				}
			}
		}
	})
}
