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

// SGD is gradient descent with momentum as in PyTorch: g ← g + wd·p; v = g at a
// tensor's first step, then v ← μ·v + (1-dampening)·g; p ← p - lr·v, with
// Nesterov p - lr·(g + μ·v).
type SGD struct {
	slots
	engine  *device.CPU
	options SGDOptions
}

// NewSGD returns an optimizer without state.
func NewSGD(e *device.CPU, o SGDOptions) *SGD {
	return &SGD{slots: newSlots("momentum"), engine: e, options: o}
}

// Step updates the parameters.
func (o *SGD) Step(params []*param.Parameter, grads func(*param.Parameter) []float32, lr, weightDecay float64) {
	for _, p := range params {
		d := grads(p)
		if d == nil {
			continue
		}
		s := o.of(p)
		u := f32.MomentumUpdate{LR: lr * p.LRScale, Momentum: o.options.Momentum, Dampening: o.options.Dampening, Nesterov: o.options.Nesterov, First: s.steps == 0}
		if p.Decay {
			u.WeightDecay = weightDecay
		}
		s.steps++
		f32.MomentumStep(o.engine.Pool(), p.Data, d, s.arrays[0], u)
	}
}
