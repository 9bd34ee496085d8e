package optim

import (
	"fmt"
	"iter"

	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// Gradients returns the gradient of a parameter, nil if it has none. It has the size of the
// parameter.
type Gradients = func(*param.Parameter) []float32

// Optimizer updates parameters by their gradients.
type Optimizer interface {
	// Step updates every parameter for which grads returns a gradient. A parameter without gradient
	// (nil) keeps its value, moments and step count; with a zero gradient it decays and counts.
	// LRScale scales the learning rate; weightDecay applies where Decay is set.
	Step(params []*param.Parameter, grads Gradients, lr Rate, weightDecay float64)
	// State returns moments and step counts as tensors to be stored, which share their memory.
	// Their names begin with "optimizer.".
	State() []tensor.Tensor
	// Load restores the state of the given parameters from tensors of State. An error leaves the
	// optimizer unchanged.
	Load(f *tensor.File, params []*param.Parameter) error
}

// Rate is the learning rate of a step.
type Rate struct {
	Now  float64
	Peak float64 // of parameters with ConstantLR
}

// of returns the learning rate of a parameter.
func (r Rate) of(p *param.Parameter) float64 {
	if p.ConstantLR {
		return r.Peak * p.LRScale
	}
	return r.Now * p.LRScale
}

// withGradient yields the parameters with a gradient, and it.
func withGradient(params []*param.Parameter, grads Gradients) iter.Seq2[*param.Parameter, []float32] {
	return func(yield func(*param.Parameter, []float32) bool) {
		for _, p := range params {
			if d := grads(p); d != nil && !yield(p, d) {
				return
			}
		}
	}
}

// slots is the state of an optimizer: a step count and arrays for each parameter.
type slots struct {
	names []string // of the arrays
	state map[*param.Parameter]*slot
	order []*param.Parameter
}

// slot is the state of one parameter.
type slot struct {
	steps  int64
	arrays [][]float32
}

// newSlots returns an empty state with arrays of these names.
func newSlots(names ...string) slots {
	return slots{names: names, state: map[*param.Parameter]*slot{}}
}

// of returns the state of p. The first call makes it.
func (s *slots) of(p *param.Parameter) *slot {
	x := s.state[p]
	if x == nil {
		x = &slot{}
		for range s.names {
			x.arrays = append(x.arrays, f32.Alloc(len(p.Data)))
		}
		s.state[p] = x
		s.order = append(s.order, p)
	}
	return x
}

// State returns the arrays and counts of the parameters updated so far.
func (s *slots) State() []tensor.Tensor {
	var out []tensor.Tensor
	for _, p := range s.order {
		x := s.state[p]
		out = append(out, tensor.NewI64("optimizer.steps."+p.Name, tensor.Shape{}, []int64{x.steps}))
		for i, name := range s.names {
			out = append(out, tensor.NewF32("optimizer."+name+"."+p.Name, p.Shape, x.arrays[i]))
		}
	}
	return out
}

// Load restores the arrays and counts. A parameter without stored state starts anew.
func (s *slots) Load(f *tensor.File, params []*param.Parameter) error {
	fresh := newSlots(s.names...)
	var faults []string
	for _, p := range params {
		count, ok := f.Get("optimizer.steps." + p.Name)
		if !ok {
			continue
		}
		n, err := count.Int64s()
		if err != nil || len(n) != 1 || n[0] < 0 {
			faults = append(faults, fmt.Sprintf("%s is not a step count", count.Name))
			continue
		}
		x := fresh.of(p)
		x.steps = n[0]
		for i, name := range s.names {
			t, ok := f.Get("optimizer." + name + "." + p.Name)
			if !ok {
				faults = append(faults, fmt.Sprintf("optimizer.%s.%s is missing", name, p.Name))
				continue
			}
			data, err := t.Float32s()
			switch {
			case err != nil:
				faults = append(faults, err.Error())
			case !t.Shape.Equal(p.Shape):
				faults = append(faults, fmt.Sprintf("%s has shape %v, %v is wanted", t.Name, t.Shape, p.Shape))
			default:
				copy(x.arrays[i], data)
			}
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s: optimizer state does not fit: %s", f.Path, param.JoinFaults(faults))
	}
	*s = fresh
	return nil
}
