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
	// L2 adds weight decay to the gradient, as the original Adam does, instead of decaying the
	// parameter.
	L2 bool
}

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101). With m and v
// the running means of g and g², and k the number of updates of the tensor,
//
//	p ← p·(1 - lr·wd);  p ← p - lr·(m/(1-β1ᵏ))/(√v/√(1-β2ᵏ) + eps).
type AdamW struct {
	slots
	device  *device.CPU
	options AdamWOptions
	scratch []float32
}

// NewAdamW returns an optimizer without state.
func NewAdamW(cpu *device.CPU, o AdamWOptions) *AdamW {
	return &AdamW{slots: newSlots("m", "v"), device: cpu, options: o}
}

// Step updates the parameters.
func (o *AdamW) Step(params []*param.Parameter, grads Gradients, lr Rate, weightDecay float64) {
	for p, d := range withGradient(params, grads) {
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
			f32.Copy(o.device.Pool(), sum, d)
			f32.Axpy(o.device.Pool(), sum, float32(wd), p.Data)
			d, wd = sum, 0
		}
		f32.AdamW(o.device.Pool(), p.Data, d, s.arrays[0], s.arrays[1], f32.AdamWStep{
			LR: lr.of(p), Beta1: o.options.Beta1, Beta2: o.options.Beta2, Eps: o.options.Eps,
			WeightDecay: wd, Step: int(s.steps),
		})
	}
}
