package train

import (
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
)

// gradients are those of one optimizer step: the mean over its micro-batches.
type gradients struct {
	device *device.CPU
	sum    *optim.Accumulator // nil where one computation yields them
	newest gradientSource
}

// gradientSource is a computation with gradients.
type gradientSource interface {
	Parameters() []*param.Parameter
	Grad(p *param.Parameter) []float32
}

func newGradients(dev *device.CPU, t configs.Train) *gradients {
	g := &gradients{device: dev}
	if t.Accumulate > 1 && !t.GradCache {
		g.sum = optim.NewAccumulator(dev)
	}
	return g
}

// Add takes the gradients of a micro-batch, counted from 0, of a step of count ones.
func (g *gradients) Add(from gradientSource, micro, count int) {
	g.newest = from
	if g.sum == nil {
		return
	}
	if micro == 0 {
		g.sum.Reset()
	}
	g.sum.Add(from.Parameters(), from.Grad, 1/float64(count))
}

// Parameters lists the parameters with a gradient.
func (g *gradients) Parameters() []*param.Parameter { return g.newest.Parameters() }

// Of returns the gradient of a parameter, nil when none reached it.
func (g *gradients) Of(p *param.Parameter) []float32 {
	if g.sum != nil {
		return g.sum.Grad(p)
	}
	return g.newest.Grad(p)
}

// Clip scales the gradients down to a norm of at most train.clip_norm (0: leaves them), all
// together or each by itself, and returns their global norm before.
func (g *gradients) Clip(t configs.Train) float64 {
	if t.ClipMode == "tensor" {
		norm, _ := optim.ClipPerTensor(g.device, g.Parameters(), g.Of, t.ClipNorm)
		return norm
	}
	return optim.ClipGlobalNorm(g.device, g.Parameters(), g.Of, t.ClipNorm)
}
