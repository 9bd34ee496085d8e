package optim

import (
	"math"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
)

// Active hides the gradients of parameters that are still frozen at a step (Parameter.FreezeUntil).
func Active(grads Gradients, step int) Gradients {
	return func(p *param.Parameter) []float32 {
		if step < p.FreezeUntil {
			return nil
		}
		return grads(p)
	}
}

// ClipGlobalNorm scales all gradients by min(1, most/(norm + 1e-6)) and returns norm, the Euclidean
// norm over all of them together before clipping. most <= 0 means no clipping.
func ClipGlobalNorm(cpu *device.CPU, params []*param.Parameter, grads Gradients, most float64) (norm float64) {
	sum := 0.0
	for _, d := range withGradient(params, grads) {
		sum += f32.SumSquares(cpu.Pool(), d)
	}
	norm = math.Sqrt(sum)
	if k := most / (norm + 1e-6); most > 0 && k < 1 {
		for _, d := range withGradient(params, grads) {
			f32.Scale(cpu.Pool(), d, float32(k), d)
		}
	}
	return norm
}

// ClipPerTensor scales each gradient by min(1, most/(norm + 1e-6)) of its own norm, as DINO does.
// It returns the norm over all of them together before clipping and the number of gradients scaled.
// most <= 0 means no clipping.
func ClipPerTensor(cpu *device.CPU, params []*param.Parameter, grads Gradients, most float64) (norm float64, clipped int) {
	sum := 0.0
	for _, d := range withGradient(params, grads) {
		squares := f32.SumSquares(cpu.Pool(), d)
		sum += squares
		if k := most / (math.Sqrt(squares) + 1e-6); most > 0 && k < 1 {
			f32.Scale(cpu.Pool(), d, float32(k), d)
			clipped++
		}
	}
	return math.Sqrt(sum), clipped
}
