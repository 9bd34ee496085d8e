package optim

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/internal/f32"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// Optimizer changes parameters by their gradients.
type Optimizer interface {
	// Step updates every parameter for which grads returns a gradient. A parameter
	// without gradient (nil) is skipped wholly: no decay, no moment update, and its
	// own count of steps stays; a zero gradient is not the same. The learning rate
	// is multiplied by LRScale; weightDecay applies where Decay is set.
	Step(params []*param.Parameter, grads func(*param.Parameter) []float32, lr, weightDecay float64)
	// State returns moments and step counts as tensors to be stored, sharing their
	// memory, under names that begin with "optimizer.".
	State() []tensor.Tensor
	// Load restores what State gave, for the given parameters. On an error nothing
	// has changed.
	Load(f *tensor.File, params []*param.Parameter) error
}

// slots is the state of an optimizer: per parameter a step count and arrays.
type slots struct {
	names []string // of the arrays
	state map[*param.Parameter]*slot
	order []*param.Parameter
}

type slot struct {
	steps  int64
	arrays [][]float32
}

func newSlots(names ...string) slots {
	return slots{names: names, state: map[*param.Parameter]*slot{}}
}

// of returns the state of p, made at its first update.
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

// Load restores the arrays and counts. A parameter without any stored state has
// not been updated yet.
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
			faults = append(faults, fmt.Sprintf("%s is not a count", count.Name))
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

// Active hides the gradients of parameters that are still frozen at a step
// (Parameter.FreezeUntil) from an optimizer.
func Active(grads func(*param.Parameter) []float32, step int) func(*param.Parameter) []float32 {
	return func(p *param.Parameter) []float32 {
		if step < p.FreezeUntil {
			return nil
		}
		return grads(p)
	}
}

// ClipGlobalNorm scales all gradients by min(1, most/(norm + 1e-6)), norm being
// the Euclidean norm over all of them together, which it returns. most <= 0
// means no clipping.
func ClipGlobalNorm(e *device.CPU, params []*param.Parameter, grads func(*param.Parameter) []float32, most float64) (norm float64) {
	sum := 0.0
	for _, p := range params {
		if d := grads(p); d != nil {
			sum += f32.SumSquares(e.Pool(), d)
		}
	}
	norm = math.Sqrt(sum)
	if k := most / (norm + 1e-6); most > 0 && k < 1 {
		for _, p := range params {
			if d := grads(p); d != nil {
				f32.Scale(e.Pool(), d, float32(k), d)
			}
		}
	}
	return norm
}

// ClipPerTensor scales each gradient by min(1, most/(its norm + 1e-6)), as DINO
// does. It returns the norm over all of them before that, and how many were
// scaled. most <= 0 means no clipping.
func ClipPerTensor(e *device.CPU, params []*param.Parameter, grads func(*param.Parameter) []float32, most float64) (norm float64, clipped int) {
	sum := 0.0
	for _, p := range params {
		d := grads(p)
		if d == nil {
			continue
		}
		squares := f32.SumSquares(e.Pool(), d)
		sum += squares
		if k := most / (math.Sqrt(squares) + 1e-6); most > 0 && k < 1 {
			f32.Scale(e.Pool(), d, float32(k), d)
			clipped++
		}
	}
	return math.Sqrt(sum), clipped
}

// EMA moves teacher parameters towards the student's of the same position:
// teacher = momentum·teacher + (1-momentum)·student.
func EMA(e *device.CPU, teacher, student []*param.Parameter, momentum float64) error {
	if len(teacher) != len(student) {
		return fmt.Errorf("moving average: %d teacher parameters for %d of the student", len(teacher), len(student))
	}
	for i, t := range teacher {
		if !t.Shape.Equal(student[i].Shape) {
			return fmt.Errorf("moving average: teacher %s has shape %v, student %s %v", t.Name, t.Shape, student[i].Name, student[i].Shape)
		}
	}
	for i, t := range teacher {
		f32.Lerp(e.Pool(), t.Data, student[i].Data, momentum)
	}
	return nil
}

// Accumulator adds up gradients of several runs before one optimizer step.
type Accumulator struct {
	engine *device.CPU
	sums   map[*param.Parameter][]float32
	filled map[*param.Parameter]bool
}

// NewAccumulator returns an empty accumulator. Its memory is made at the first
// Add and kept.
func NewAccumulator(e *device.CPU) *Accumulator {
	return &Accumulator{engine: e, sums: map[*param.Parameter][]float32{}, filled: map[*param.Parameter]bool{}}
}

// Add adds weight times the gradients of a run.
func (a *Accumulator) Add(params []*param.Parameter, grads func(*param.Parameter) []float32, weight float64) {
	for _, p := range params {
		d := grads(p)
		if d == nil {
			continue
		}
		sum := a.sums[p]
		if sum == nil {
			sum = f32.Alloc(len(d))
			a.sums[p] = sum
		}
		if a.filled[p] {
			f32.Axpy(a.engine.Pool(), sum, float32(weight), d)
		} else {
			f32.Scale(a.engine.Pool(), sum, float32(weight), d)
			a.filled[p] = true
		}
	}
}

// Grad returns the sum for p since the last Reset, nil if no run had a gradient.
func (a *Accumulator) Grad(p *param.Parameter) []float32 {
	if !a.filled[p] {
		return nil
	}
	return a.sums[p]
}

// Reset starts the next sum.
func (a *Accumulator) Reset() { clear(a.filled) }
