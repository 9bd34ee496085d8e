package optim

import (
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// SGDOptions are the constants of SGD.
type SGDOptions struct {
	Momentum, Dampening float64
	Nesterov            bool
}

// SGD is gradient descent with momentum as in PyTorch:
//
//	g ← g + wd·p;  v ← μ·v + (1-dampening)·g, at the first step v ← g;  p ← p - lr·v.
//
// With Nesterov the last is p ← p - lr·(g + μ·v).
type SGD struct {
	slots
	device  *device.CPU
	options SGDOptions
}

// NewSGD returns an optimizer without state.
func NewSGD(cpu *device.CPU, o SGDOptions) *SGD {
	return &SGD{slots: newSlots("momentum"), device: cpu, options: o}
}

// Step updates the parameters.
func (o *SGD) Step(params []*param.Parameter, grads Gradients, lr Rate, weightDecay float64) {
	for p, d := range withGradient(params, grads) {
		s := o.of(p)
		u := f32.MomentumUpdate{LR: lr.of(p), Momentum: o.options.Momentum, Dampening: o.options.Dampening, Nesterov: o.options.Nesterov, First: s.steps == 0}
		if p.Decay {
			u.WeightDecay = weightDecay
		}
		s.steps++
		f32.MomentumStep(o.device.Pool(), p.Data, d, s.arrays[0], u)
	}
}
