package train

import (
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// state is everything that a checkpoint holds: a run goes on from it as if nothing had happened.
type state struct {
	step      int          // optimizer steps done
	store     *param.Store // parameters, teachers and buffers
	optimizer optim.Optimizer
	epoch     epochMeans // sums of the epoch so far

	moving  []*param.Parameter // buffers that a micro-batch changes, running statistics above all
	before  [][]float32        // their values before a step of several micro-batches
	midstep bool               // some of them have changed the buffers since
}

// tensors are the tensors of a checkpoint, in any order.
func (s *state) tensors() []tensor.Tensor {
	tensors := append(s.store.Tensors(), s.optimizer.State()...)
	return append(tensors, s.epoch.tensors()...)
}

// load takes the tensors from a checkpoint.
func (s *state) load(file *tensor.File) error {
	if err := param.LoadInto(s.store, file, nil, false); err != nil {
		return err
	}
	if err := s.optimizer.Load(file, s.store.Parameters()); err != nil {
		return err
	}
	return s.epoch.load(file)
}

// stepBegins copies the buffers that move before the first of several micro-batches, into memory that
// every step uses again.
func (s *state) stepBegins(micros int) {
	if micros == 1 {
		return
	}
	if s.before == nil {
		s.before = make([][]float32, len(s.moving))
	}
	for i, b := range s.moving {
		s.before[i] = append(s.before[i][:0], b.Data...)
	}
	s.midstep = true
}

// rewind undoes the micro-batches of a step that does not come to its end, so that a checkpoint
// holds the state between two steps.
func (s *state) rewind() {
	if !s.midstep {
		return
	}
	for i, b := range s.moving {
		copy(b.Data, s.before[i])
	}
	s.midstep = false
}

// stepDone counts an optimizer step.
func (s *state) stepDone() { s.step, s.midstep = s.step+1, false }

// newOptimizer makes the optimizer that train.optimizer names.
func newOptimizer(dev *device.CPU, t configs.Train) (optim.Optimizer, error) {
	switch t.Optimizer {
	case "adamw":
		return optim.NewAdamW(dev, optim.AdamWOptions{Beta1: t.Beta1, Beta2: t.Beta2, Eps: t.Eps}), nil
	case "sgd":
		return optim.NewSGD(dev, optim.SGDOptions{Momentum: t.Momentum}), nil
	case "lars":
		return optim.NewLARS(dev, optim.LARSOptions{
			Momentum: t.Momentum, Trust: t.LARS.Trust, Eps: t.LARS.Eps, RawRatio: t.LARS.Ratio == "raw",
			StepMomentum: t.LARS.Accumulate == "step", All: t.LARS.All, Nesterov: t.LARS.Nesterov, ClipLR: t.LARS.Clip,
		}), nil
	}
	return nil, &configs.Error{Key: "train.optimizer", Value: t.Optimizer, Problem: "unknown optimizer", Hint: "use adamw, sgd or lars"}
}
