package optim

import (
	"math"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// LARSOptions are the constants of LARS and the differences between its published forms. With g the
// gradient, p the tensor, η Trust, ε Eps, μ Momentum and v the momentum buffer:
//
//	MoCo v3, MAE's linear probe  g ← g + wd·p; r = η‖p‖/‖g‖; v ← μv + r·g; p ← p - lr·v
//	SimCLR (TensorFlow)          the same g and r; v ← μv + lr·r·g; p ← p - v   (StepMomentum)
//	PixPro                       r = η‖p‖/(‖g‖ + 1e-8)                          (Eps)
//	solo-learn, Lightning        r = η‖p‖/(‖g‖ + wd‖p‖ + 1e-8) of the raw g,
//	                             g ← (g + wd·p)·r                               (RawRatio, Eps)
//	LARC of apex (SwAV)          solo-learn's on every parameter                (All)
//
// Where a norm is zero r is 1, and with RawRatio there is no weight decay either.
type LARSOptions struct {
	Momentum     float64 // 0.9 is common
	Trust        float64 // η; 0.001 is common
	Eps          float64 // ε, added to the norm that the trust ratio divides by
	RawRatio     bool    // the ratio is that of the gradient before weight decay
	StepMomentum bool    // momentum accumulates the step with its learning rate
	All          bool    // biases and norms are scaled and decayed too
	Nesterov     bool
	ClipLR       bool // with RawRatio: r = min(r/lr, 1)
}

// LARS scales each tensor's update to the tensor's norm (You et al., arXiv:1708.03888). Parameters
// without Decay (biases, norms) get neither decay nor scaling unless All is set.
type LARS struct {
	slots
	device  *device.CPU
	options LARSOptions
}

// NewLARS returns an optimizer without state.
func NewLARS(cpu *device.CPU, o LARSOptions) *LARS {
	return &LARS{slots: newSlots("momentum"), device: cpu, options: o}
}

// Step updates the parameters.
func (o *LARS) Step(params []*param.Parameter, grads Gradients, lr Rate, weightDecay float64) {
	pool := o.device.Pool()
	for p, d := range withGradient(params, grads) {
		s := o.of(p)
		rate := lr.of(p)
		u := f32.MomentumUpdate{LR: rate, Momentum: o.options.Momentum, Nesterov: o.options.Nesterov, First: s.steps == 0}
		ratio := 1.0
		if p.Decay || o.options.All {
			ratio, u.WeightDecay = o.trust(pool, p.Data, d, rate, weightDecay)
		}
		u.GradScale = ratio
		if o.options.StepMomentum {
			u.GradScale, u.LR = ratio*rate, 1
		}
		s.steps++
		if u.GradScale == 0 { // learning rate 0: the momentum decays without a new gradient
			back := u.LR
			if o.options.Nesterov {
				back *= u.Momentum
			}
			f32.Scale(pool, s.arrays[0], float32(u.Momentum), s.arrays[0])
			f32.Axpy(pool, p.Data, float32(-back), s.arrays[0])
			continue
		}
		f32.MomentumStep(pool, p.Data, d, s.arrays[0], u)
	}
}

// trust returns the factor of the gradient and the weight decay of a tensor.
func (o *LARS) trust(pool *f32.Pool, p, d []float32, lr, wd float64) (ratio, decay float64) {
	pp, dd := f32.SumSquares(pool, p), f32.SumSquares(pool, d)
	norm := math.Sqrt(pp)
	if o.options.RawRatio {
		raw := math.Sqrt(dd)
		if norm == 0 || raw == 0 {
			return 1, 0
		}
		ratio = o.options.Trust * norm / (raw + wd*norm + o.options.Eps)
		if o.options.ClipLR {
			ratio = min(ratio/lr, 1)
		}
		return ratio, wd
	}
	decayed := math.Sqrt(max(0, dd+2*wd*f32.Dot(pool, p, d)+wd*wd*pp)) // ‖g + wd·p‖
	if norm == 0 || decayed == 0 {
		return 1, wd
	}
	return o.options.Trust * norm / (decayed + o.options.Eps), wd
}
