package optim

import (
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// Accumulator adds up the gradients of several micro-batches before one optimizer step.
type Accumulator struct {
	device *device.CPU
	sums   map[*param.Parameter][]float32
	filled map[*param.Parameter]bool
}

// NewAccumulator returns an empty accumulator. The first Add allocates its memory.
func NewAccumulator(cpu *device.CPU) *Accumulator {
	return &Accumulator{device: cpu, sums: map[*param.Parameter][]float32{}, filled: map[*param.Parameter]bool{}}
}

// Add adds weight times the gradients of a micro-batch.
func (a *Accumulator) Add(params []*param.Parameter, grads Gradients, weight float64) {
	for p, d := range withGradient(params, grads) {
		sum := a.sums[p]
		if sum == nil {
			sum = f32.Alloc(len(d))
			a.sums[p] = sum
		}
		if a.filled[p] {
			f32.Axpy(a.device.Pool(), sum, float32(weight), d)
		} else {
			f32.Scale(a.device.Pool(), sum, float32(weight), d)
			a.filled[p] = true
		}
	}
}

// Grad returns the sum for p since the last Reset, nil if it has no gradient.
func (a *Accumulator) Grad(p *param.Parameter) []float32 {
	if !a.filled[p] {
		return nil
	}
	return a.sums[p]
}

// Reset starts the next sum.
func (a *Accumulator) Reset() { clear(a.filled) }
