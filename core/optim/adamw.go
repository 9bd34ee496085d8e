package optim

import (
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// AdamWOptions are the constants of AdamW.
type AdamWOptions struct {
	Beta1, Beta2 float64 // 0.9, 0.999 (MAE: 0.95) are common
	Eps          float64 // 1e-8 is common
	// L2 adds weight decay to the gradient, which is Adam as it first was, instead
	// of shrinking the parameter.
	L2 bool
}

// AdamW is decoupled weight decay with adaptive moments (Loshchilov and Hutter,
// arXiv:1711.05101): p ← p·(1 - lr·wd); m, v are the running means of g and g²; p
// ← p - lr·(m/(1-β1ᵏ))/(√v/√(1-β2ᵏ) + eps), k counting this tensor's updates.
type AdamW struct {
	slots
	engine  *device.CPU
	options AdamWOptions
	scratch []float32
}

// NewAdamW returns an optimizer without state.
func NewAdamW(e *device.CPU, o AdamWOptions) *AdamW {
	return &AdamW{slots: newSlots("m", "v"), engine: e, options: o}
}

// Step updates the parameters.
func (o *AdamW) Step(params []*param.Parameter, grads func(*param.Parameter) []float32, lr, weightDecay float64) {
	for _, p := range params {
		d := grads(p)
		if d == nil {
			continue
		}
		s := o.of(p)
		s.steps++
		wd := 0.0
		if p.Decay {
			wd = weightDecay
		}
		if o.options.L2 && wd != 0 {
			if len(o.scratch) < len(d) {
				o.scratch = f32.Alloc(len(d))
			}
			sum := o.scratch[:len(d)]
			f32.Copy(o.engine.Pool(), sum, d)
			f32.Axpy(o.engine.Pool(), sum, float32(wd), p.Data)
			d, wd = sum, 0
		}
		f32.AdamW(o.engine.Pool(), p.Data, d, s.arrays[0], s.arrays[1], f32.AdamWStep{
			LR: lr * p.LRScale, Beta1: o.options.Beta1, Beta2: o.options.Beta2, Eps: o.options.Eps,
			WeightDecay: wd, Step: int(s.steps),
		})
	}
}
