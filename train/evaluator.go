package train

import (
	"context"
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// evaluator lets the plugin compute what a program cannot say, over the shared
// memory that it was bound to: the EvaluateSpec of its plan and the targets it
// makes itself.
type evaluator struct {
	ctx       context.Context
	objective *host.Objective
	store     *param.Store
	seed      uint64
	binding   *host.Binding
	masks     *pb.MaskReply // of the pass in progress
	updated   map[string]bool
}

// needsBinding reports whether a plan uses shared memory at all.
func needsBinding(plan *pb.Plan) bool {
	for _, t := range plan.GetTargets() {
		if t.GetSource() == pb.TargetSpec_SOURCE_PLUGIN {
			return true
		}
	}
	return plan.GetEvaluate() != nil
}

// bind lays out the memory for the largest batch. inputs are the shapes of the
// EvaluateSpec's inputs, known once the program is compiled.
func (e *evaluator) bind(ctx context.Context, plan *pb.Plan, network backbone.Info, batch int, inputs map[string]tensor.Shape) error {
	var l host.Layout
	for _, v := range plan.GetViews() {
		h, w := int(v.GetHeight()), int(v.GetWidth())
		if h == 0 {
			h = network.ImageH
		}
		if w == 0 {
			w = network.ImageW
		}
		l.Views = append(l.Views, host.Tensor{Name: v.GetName(), Shape: []int{batch, network.Channels, h, w}})
	}
	for _, t := range plan.GetTargets() {
		shape := []int{batch}
		for _, d := range t.GetShape() {
			shape = append(shape, int(d))
		}
		dtype := t.GetDtype()
		switch t.GetSource() {
		case pb.TargetSpec_SOURCE_SAMPLE_ID, pb.TargetSpec_SOURCE_LABEL:
			shape, dtype = []int{batch}, pb.DType_DTYPE_I32
		case pb.TargetSpec_SOURCE_GEOMETRY:
			shape, dtype = []int{batch, 7}, pb.DType_DTYPE_F32
		}
		l.Targets = append(l.Targets, host.Tensor{Name: t.GetName(), Shape: shape, DType: dtype})
	}
	spec := plan.GetEvaluate()
	for _, in := range spec.GetInputs() {
		l.Inputs = append(l.Inputs, host.Tensor{Name: in.GetName(), Shape: inputs[in.GetName()]})
	}
	for _, name := range spec.GetParams() {
		l.Params = append(l.Params, host.Tensor{Name: name, Shape: e.store.Get(runs.HeadPrefix + name).Shape})
	}
	for _, name := range spec.GetBuffers() {
		l.Buffers = append(l.Buffers, host.Tensor{Name: name, Shape: e.store.Get(runs.BufferPrefix + name).Shape})
	}
	var err error
	e.binding, err = e.objective.Bind(ctx, l)
	return err
}

// Evaluate hands inputs, parameters and buffers over and takes loss and
// gradients back.
func (e *evaluator) Evaluate(v *program.Evaluation) (float64, error) {
	for i, in := range v.Spec.GetInputs() {
		copy(e.binding.F32(pb.Region_ROLE_INPUT, in.GetName()), v.Inputs[i])
	}
	for i, name := range v.Spec.GetParams() {
		copy(e.binding.F32(pb.Region_ROLE_PARAM, name), v.Params[i].Data)
	}
	for _, name := range v.Spec.GetBuffers() {
		copy(e.binding.F32(pb.Region_ROLE_BUFFER, name), e.store.Get(runs.BufferPrefix+name).Data)
	}
	gradients := false
	for _, g := range append(append([][]float32(nil), v.InputGradients...), v.ParamGradients...) {
		gradients = gradients || g != nil
	}
	request := &pb.EvaluateRequest{Step: v.Step, Seed: e.seed, SampleIds: v.SampleIDs, Gradients: gradients}
	for _, name := range v.Spec.GetSchedules() {
		request.Scalars = append(request.Scalars, &pb.Value{Name: name, Value: v.Scalars[name]})
	}
	for _, set := range e.masks.GetSets() {
		for _, name := range v.Spec.GetMasks() {
			if set.GetName() == name {
				request.Masks = append(request.Masks, set)
			}
		}
	}
	reply, err := e.objective.Evaluate(e.ctx, request)
	if err != nil {
		return 0, err
	}
	for i, in := range v.Spec.GetInputs() {
		if g := v.InputGradients[i]; g != nil {
			copy(g, e.binding.F32(pb.Region_ROLE_INPUT_GRADIENT, in.GetName()))
		}
	}
	for i, name := range v.Spec.GetParams() {
		if g := v.ParamGradients[i]; g != nil {
			copy(g, e.binding.F32(pb.Region_ROLE_PARAM_GRADIENT, name))
		}
	}
	for _, m := range reply.GetMetrics() {
		v.Metrics[m.GetName()] = m.GetValue()
	}
	e.updated = map[string]bool{}
	for _, name := range reply.GetUpdated() {
		e.updated[name] = true
	}
	return reply.GetLoss(), nil
}

// commit takes over the buffers that the plugin replaced in the step.
func (e *evaluator) commit() {
	for name := range e.updated {
		copy(e.store.Get(runs.BufferPrefix+name).Data, e.binding.F32(pb.Region_ROLE_BUFFER_UPDATE, name))
	}
	e.updated = nil
}

// targets asks the plugin for the targets that it makes itself and fills in the
// others, which Evaluate may read.
func (e *evaluator) targets(ctx context.Context, plan *pb.Plan, model *program.Model, step uint64, ids []uint64) error {
	asked := false
	for _, t := range plan.GetTargets() {
		name := t.GetName()
		if t.GetSource() == pb.TargetSpec_SOURCE_PLUGIN {
			asked = true
			continue
		}
		copy(e.binding.F32(pb.Region_ROLE_TARGET, name), model.Target(name))
		copy(e.binding.I32(pb.Region_ROLE_TARGET, name), model.TargetInts(name))
	}
	if !asked {
		return nil
	}
	for _, v := range plan.GetViews() {
		copy(e.binding.F32(pb.Region_ROLE_VIEW, v.GetName()), model.View(v.GetName()))
	}
	if err := e.objective.Targets(ctx, &pb.TargetsRequest{Step: step, Seed: e.seed, SampleIds: ids}); err != nil {
		return err
	}
	for _, t := range plan.GetTargets() {
		if t.GetSource() != pb.TargetSpec_SOURCE_PLUGIN {
			continue
		}
		switch t.GetDtype() {
		case pb.DType_DTYPE_F32:
			copy(model.Target(t.GetName()), e.binding.F32(pb.Region_ROLE_TARGET, t.GetName()))
		case pb.DType_DTYPE_I32:
			copy(model.TargetInts(t.GetName()), e.binding.I32(pb.Region_ROLE_TARGET, t.GetName()))
		default:
			return fmt.Errorf("target %s is of %v: 32-bit floats or integers are needed", t.GetName(), t.GetDtype())
		}
	}
	return nil
}
