package f32

import (
	"fmt"
	"math"
)

// AdamWStep holds the settings of one AdamW update (Loshchilov & Hutter, arXiv:1711.05101), as in
// torch.optim.AdamW.
type AdamWStep struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	Step                               int // 1 for the first update of this parameter
}

// AdamW updates a parameter and its first and second moments: with t = a.Step and for every i,
//
//	m[i] = β₁*m[i] + (1-β₁)*grad[i]
//	v[i] = β₂*v[i] + (1-β₂)*grad[i]²
//	param[i] = (1-LR*WeightDecay)*param[i] - LR*m[i]/(1-β₁ᵗ) / (√(v[i]/(1-β₂ᵗ)) + Eps)
func AdamW(p *Pool, param, grad, m, v []float32, a AdamWStep) {
	if a.Step < 1 {
		panic(fmt.Sprintf("f32.AdamW: step %d, the first is 1", a.Step))
	}
	t := float64(a.Step)
	p.element("AdamW", elementJob{op: adamWRange, n: len(param), a: param, b: operand(grad), c: operand(m), d: operand(v), consts: [8]float32{
		float32(a.Beta1), float32(1 - a.Beta1),
		float32(a.Beta2), float32(1 - a.Beta2),
		float32(1 - a.LR*a.WeightDecay),
		float32(a.LR / (1 - math.Pow(a.Beta1, t))),
		float32(1 / math.Sqrt(1-math.Pow(a.Beta2, t))),
		float32(a.Eps),
	}})
}

func adamWRange(j *elementJob, lo, hi int) {
	j.t.adamW(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi], j.d[lo:hi], &j.consts)
}

// MomentumUpdate holds the settings of one SGD or LARS update. For every element:
//
//	g = GradScale·(grad + WeightDecay·param)
//	buf = Momentum·buf + (1-Dampening)·g   (First: buf = g)
//	param -= LR·buf                        (Nesterov: LR·(g + Momentum·buf))
type MomentumUpdate struct {
	LR, Momentum, Dampening, WeightDecay float64
	GradScale                            float64 // 0 means 1
	Nesterov, First                      bool
}

// MomentumStep updates a parameter and its momentum buffer as u says.
func MomentumStep(p *Pool, param, grad, buf []float32, u MomentumUpdate) {
	gradScale, ofGrad, ofBuf := 1.0, 0.0, 1.0
	if u.GradScale != 0 {
		gradScale = u.GradScale
	}
	if u.Nesterov {
		ofGrad, ofBuf = 1, u.Momentum
	}
	momentum, dampen := u.Momentum, 1-u.Dampening
	if u.First {
		// The buffer counts as empty: it may hold anything before the first step.
		Fill(p, buf, 0)
		dampen = 1
	}
	p.element("MomentumStep", elementJob{op: momentumRange, n: len(param), a: param, b: operand(grad), c: operand(buf), consts: [8]float32{
		float32(u.WeightDecay), float32(gradScale), float32(momentum), float32(dampen), float32(u.LR), float32(ofGrad), float32(ofBuf),
	}})
}

func momentumRange(j *elementJob, lo, hi int) {
	j.t.momentum(j.a[lo:hi], j.b[lo:hi], j.c[lo:hi], &j.consts)
}
