package programtest

import (
	"slices"
	"testing"

	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/internal/golden"
)

// Training is how a case trains for some steps from its initial state.
type Training struct {
	Optimizer    optim.Optimizer
	Rate, Decay  optim.Schedule // learning rate and weight decay
	First, Steps int            // the iteration of the first step, and the number of steps
	Undecayed    []string       // trained parameters without weight decay, under their names in the reference
	// Step shows the inputs of step s, counted from 0, to the model and runs it.
	Step func(s int)
	// Clip changes the gradients of an iteration before they are used, and returns those that are.
	// It may record figures of the iteration. Nil changes nothing.
	Clip func(iteration int, figure func(name string, v float64)) optim.Gradients
	// Optional are figures that a case may leave out, of losses, lr, wd and those recorded.
	Optional []string
}

// Train trains a model of a case, and compares the figures of all steps, "traj.<figure>", and the
// state after them, "traj.<kind><name>".
func (m *Compiled) Train(t *testing.T, c *golden.Case, r Training) {
	t.Helper()
	m.Load(t, c)
	params := m.Exec().Parameters()
	var plain []string
	for _, p := range params {
		if !p.Decay {
			plain = append(plain, p.Name)
		}
	}
	SameNames(t, c, "no_decay", plain, m.places(r.Undecayed))
	got := map[string][]float64{}
	figure := func(name string, v float64) { got[name] = append(got[name], v) }
	for s := range r.Steps {
		it := r.First + s
		r.Step(s)
		lr, wd := r.Rate.At(it), r.Decay.At(it)
		figure("losses", m.Loss())
		figure("lr", lr)
		figure("wd", wd)
		gradients := m.Exec().Grad
		if r.Clip != nil {
			gradients = r.Clip(it, figure)
		}
		r.Optimizer.Step(params, gradients, optim.Rate{Now: lr}, wd)
		m.Finish(t)
	}
	for _, name := range SortedKeys(got) {
		if c.Has("traj."+name) || !slices.Contains(r.Optional, name) {
			c.CompareFloat64(t, "traj."+name, got[name])
		}
	}
	m.CompareState(t, c, "traj.", params...)
}

// Trajectory is the AdamW recipe of a case of a Vision Transformer.
type Trajectory struct {
	Optimizer      string     `json:"optimizer"`
	LR             float64    `json:"lr"`
	MinLR          float64    `json:"min_lr"`
	Betas          [2]float64 `json:"betas"`
	Eps            float64    `json:"eps"`
	WeightDecay    float64    `json:"weight_decay"`
	WeightDecayEnd *float64   `json:"weight_decay_end"`
	WarmupEpochs   float64    `json:"warmup_epochs"`
	Epochs         float64    `json:"epochs"`
	ItersPerEpoch  int        `json:"iters_per_epoch"`
	FirstIteration int        `json:"first_iteration"`
	Steps          int        `json:"steps"`
	NoDecay        []string   `json:"no_decay"`
}

// Total is the number of steps of the whole run.
func (r Trajectory) Total() int { return int(r.Epochs * float64(r.ItersPerEpoch)) }

// AdamW is the training of the recipe. A weight decay that moves stands for schedules by the step,
// as DINO has them, another for one by the fraction of an epoch, as MAE has it.
func (r Trajectory) AdamW(t *testing.T, m *Compiled, step func(s int)) Training {
	t.Helper()
	if r.Optimizer != "adamw" {
		t.Fatalf("there is no test for optimizer %q", r.Optimizer)
	}
	out := Training{
		Optimizer: optim.NewAdamW(m.Device, optim.AdamWOptions{Beta1: r.Betas[0], Beta2: r.Betas[1], Eps: r.Eps}),
		Rate:      optim.EpochCosine{LR: r.LR, Min: r.MinLR, WarmupEpochs: r.WarmupEpochs, Epochs: r.Epochs, PerEpoch: r.ItersPerEpoch},
		Decay:     optim.Constant(r.WeightDecay),
		First:     r.FirstIteration, Steps: r.Steps, Undecayed: r.NoDecay, Step: step, Optional: []string{"grad_norm"},
	}
	if r.WeightDecayEnd != nil {
		warmup := int(r.WarmupEpochs * float64(r.ItersPerEpoch))
		out.Rate = optim.Cosine{Base: r.LR, Final: r.MinLR, Warmup: warmup, Total: r.Total()}
		out.Decay = optim.Cosine{Base: r.WeightDecay, Final: *r.WeightDecayEnd, Total: r.Total()}
	} else {
		out.Optional = append(out.Optional, "wd")
	}
	return out
}

// ClipPerTensor clips each gradient of a model alone, and records the norm of all of them and the
// number of those that were clipped.
func (m *Compiled) ClipPerTensor(limit float64, figure func(name string, v float64)) optim.Gradients {
	norm, clipped := optim.ClipPerTensor(m.Device, m.Exec().Parameters(), m.Exec().Grad, limit)
	figure("clipped_count", float64(clipped))
	figure("grad_norm", norm)
	return m.Exec().Grad
}
