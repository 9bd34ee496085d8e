package train

import (
	"context"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// evaluator lets the plugin compute the EvaluateSpec of its plan and the targets that it makes
// itself, over the shared memory that it was bound to.
type evaluator struct {
	ctx       context.Context
	objective *host.Objective
	store     *param.Store
	seed      uint64
	binding   *host.Binding
	masks     []plan.MaskSet // of the pass in progress
	updated   []string       // buffers that the plugin replaced in the step
}

// bind lays out the memory for the largest batch. inputs are the shapes of the EvaluateSpec's
// inputs, known once the program is compiled.
func (e *evaluator) bind(ctx context.Context, p *plan.Plan, channels, batch int, inputs map[string]tensor.Shape) error {
	var l host.Layout
	for _, v := range p.Views {
		l.Views = append(l.Views, host.Tensor{Name: v.Name, Shape: []int{batch, channels, v.Height, v.Width}})
	}
	for _, t := range p.Targets {
		shape, dtype := append([]int{batch}, t.Shape...), t.DType
		switch t.Source {
		case plan.SourceSampleID, plan.SourceLabel:
			shape, dtype = []int{batch}, plan.I32
		case plan.SourceGeometry:
			shape, dtype = []int{batch, 7}, plan.F32
		}
		l.Targets = append(l.Targets, host.Tensor{Name: t.Name, Shape: shape, DType: dtype})
	}
	if spec := p.Evaluate; spec != nil {
		for _, in := range spec.Inputs {
			l.Inputs = append(l.Inputs, host.Tensor{Name: in.Name, Shape: inputs[in.Name]})
		}
		for _, name := range spec.Params {
			l.Params = append(l.Params, host.Tensor{Name: name, Shape: e.store.Get(runs.HeadPrefix + name).Shape})
		}
		for _, name := range spec.Buffers {
			l.Buffers = append(l.Buffers, host.Tensor{Name: name, Shape: e.store.Get(runs.BufferPrefix + name).Shape})
		}
	}
	var err error
	e.binding, err = e.objective.Bind(ctx, l)
	return err
}

// Evaluate hands inputs, parameters and buffers over and takes loss and gradients back.
func (e *evaluator) Evaluate(v *program.Evaluation) (float64, error) {
	var inputs []host.Tensor
	for i, in := range v.Spec.Inputs {
		inputs = append(inputs, host.Tensor{Name: in.Name, Shape: v.Shapes[i]})
		copy(e.binding.F32(host.RoleInput, in.Name), v.Inputs[i])
	}
	for i, name := range v.Spec.Params {
		copy(e.binding.F32(host.RoleParam, name), v.Params[i].Data)
	}
	for _, name := range v.Spec.Buffers {
		copy(e.binding.F32(host.RoleBuffer, name), e.store.Get(runs.BufferPrefix+name).Data)
	}
	gradients := false
	for _, g := range append(append([][]float32(nil), v.InputGradients...), v.ParamGradients...) {
		gradients = gradients || g != nil
	}
	request := host.EvaluateRequest{Call: host.Call{Step: v.Step, Seed: e.seed, SampleIDs: v.SampleIDs}, Gradients: gradients, Inputs: inputs}
	for _, name := range v.Spec.Schedules {
		request.Scalars = append(request.Scalars, host.Value{Name: name, Value: v.Scalars[name]})
	}
	for _, set := range e.masks {
		for _, name := range v.Spec.Masks {
			if set.Name == name {
				request.Masks = append(request.Masks, set)
			}
		}
	}
	reply, err := e.objective.Evaluate(e.ctx, request)
	if err != nil {
		return 0, err
	}
	for i, in := range v.Spec.Inputs {
		if g := v.InputGradients[i]; g != nil {
			copy(g, e.binding.F32(host.RoleInputGradient, in.Name))
		}
	}
	for i, name := range v.Spec.Params {
		if g := v.ParamGradients[i]; g != nil {
			copy(g, e.binding.F32(host.RoleParamGradient, name))
		}
	}
	for _, m := range reply.Metrics {
		v.Metrics[m.Name] = m.Value
	}
	e.updated = reply.Updated
	return reply.Loss, nil
}

// commit takes over the buffers that the plugin replaced in the step.
func (e *evaluator) commit() {
	for _, name := range e.updated {
		copy(e.store.Get(runs.BufferPrefix+name).Data, e.binding.F32(host.RoleBufferUpdate, name))
	}
	e.updated = nil
}

// targets asks the plugin for the targets that it makes itself and fills in the others, which
// Evaluate may read.
func (e *evaluator) targets(ctx context.Context, runner *program.Runner, step uint64, ids []uint64) error {
	var own []*plan.Target
	for _, t := range runner.Plan.Targets {
		if t.Source == plan.SourcePlugin {
			own = append(own, t)
			continue
		}
		copy(e.binding.F32(host.RoleTarget, t.Name), runner.Target(t.Name))
		copy(e.binding.I32(host.RoleTarget, t.Name), runner.TargetInts(t.Name))
	}
	if own == nil {
		return nil
	}
	for _, v := range runner.Plan.Views {
		copy(e.binding.F32(host.RoleView, v.Name), runner.View(v.Name))
	}
	if err := e.objective.Targets(ctx, host.Call{Step: step, Seed: e.seed, SampleIDs: ids}); err != nil {
		return err
	}
	for _, t := range own {
		copy(runner.Target(t.Name), e.binding.F32(host.RoleTarget, t.Name))
		copy(runner.TargetInts(t.Name), e.binding.I32(host.RoleTarget, t.Name))
	}
	return nil
}
