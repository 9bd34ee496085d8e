package optim

import (
	"fmt"
	"math"
	"strings"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// LARSVariant names one of the published forms of LARS (You et al.,
// arXiv:1708.03888), which differ in where decay, learning rate and the guard
// against zero stand. g is the gradient, r the trust ratio, v the momentum.
type LARSVariant string

const (
	// LARSMoCoV3 (MoCo v3, MAE's linear probe): g ← g + wd·p; r = η‖p‖/‖g‖, 1 if a
	// norm is zero; v ← μv + r·g; p ← p - lr·v.
	LARSMoCoV3 LARSVariant = "mocov3"
	// LARSTF (google-research/simclr): the same g and r, but v ← μv + lr·r·g; p ← p - v.
	LARSTF LARSVariant = "tf"
	// LARSSolo (solo-learn, Lightning): r = η‖p‖/(‖g‖ + wd‖p‖ + 1e-8) of the raw g,
	// g ← (g + wd·p)·r; if a norm is zero neither decay nor scaling; then SGD.
	LARSSolo LARSVariant = "solo"
	// LARSPixPro (zdaxie/PixPro): g ← g + wd·p, then times η‖p‖/(‖g‖ + 1e-8) if both
	// norms are positive; then SGD.
	LARSPixPro LARSVariant = "pixpro"
	// LARC (apex, as SwAV uses it): the formula of LARSSolo on every parameter, also
	// those without Decay.
	LARC LARSVariant = "larc"
)

// LARSVariants lists the variants.
func LARSVariants() []LARSVariant {
	return []LARSVariant{LARSMoCoV3, LARSTF, LARSSolo, LARSPixPro, LARC}
}

// LARSOptions are the constants of LARS.
type LARSOptions struct {
	Variant  LARSVariant
	Momentum float64 // 0.9 is common
	Trust    float64 // η; 0.001 is common
	Nesterov bool
	ClipLR   bool // solo and larc: r = min(r/lr, 1)
}

// LARS scales each tensor's update to the tensor's norm. Parameters without Decay
// (biases, norms) get neither decay nor scaling, except with LARC.
type LARS struct {
	slots
	engine  *device.CPU
	options LARSOptions
}

// NewLARS returns an optimizer without state; an unknown variant is an error.
func NewLARS(e *device.CPU, o LARSOptions) (*LARS, error) {
	var names []string
	for _, v := range LARSVariants() {
		if v == o.Variant {
			return &LARS{slots: newSlots("momentum"), engine: e, options: o}, nil
		}
		names = append(names, string(v))
	}
	return nil, fmt.Errorf("unknown LARS variant %q (%s)", o.Variant, strings.Join(names, ", "))
}

// Step updates the parameters.
func (o *LARS) Step(params []*param.Parameter, grads func(*param.Parameter) []float32, lr, weightDecay float64) {
	pool := o.engine.Pool()
	for _, p := range params {
		d := grads(p)
		if d == nil {
			continue
		}
		s := o.of(p)
		rate := lr * p.LRScale
		u := f32.MomentumUpdate{LR: rate, Momentum: o.options.Momentum, Nesterov: o.options.Nesterov, First: s.steps == 0}
		ratio := 1.0
		if p.Decay || o.options.Variant == LARC {
			ratio, u.WeightDecay = o.trust(pool, p.Data, d, rate, weightDecay)
		}
		u.GradScale = ratio
		if o.options.Variant == LARSTF {
			u.GradScale, u.LR = ratio*rate, 1
		}
		s.steps++
		if u.GradScale == 0 { // a rate of zero: the buffer decays, nothing is added
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

// trust returns the factor of the gradient and the weight decay to be used.
func (o *LARS) trust(pool *f32.Pool, p, d []float32, lr, wd float64) (ratio, decay float64) {
	pp, dd := f32.SumSquares(pool, p), f32.SumSquares(pool, d)
	norm := math.Sqrt(pp)
	switch o.options.Variant {
	case LARSSolo, LARC:
		raw := math.Sqrt(dd)
		if norm == 0 || raw == 0 {
			return 1, 0
		}
		ratio = o.options.Trust * norm / (raw + wd*norm + 1e-8)
		if o.options.ClipLR {
			ratio = min(ratio/lr, 1)
		}
		return ratio, wd
	}
	decayed := math.Sqrt(max(0, dd+2*wd*f32.Dot(pool, p, d)+wd*wd*pp)) // ‖g + wd·p‖
	if norm == 0 || decayed == 0 {
		return 1, wd
	}
	if o.options.Variant == LARSPixPro {
		decayed += 1e-8
	}
	return o.options.Trust * norm / decayed, wd
}
