package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

// Evaluator computes, in the plugin, what a program cannot say. The host implements it over shared memory.
type Evaluator interface {
	// Evaluate is called once per Run. Inputs are those of the plan's EvaluateSpec, in order; where the spec asks
	// for a gradient and the graph wants it, Evaluate fills the slice in gradients (nil elsewhere) with the
	// gradient of the loss. ParamGradients is filled for EvaluateSpec.params.
	Evaluate(e *Evaluation) (loss float64, err error)
}

// Evaluation is one call of an Evaluator.
type Evaluation struct {
	Spec      *pb.EvaluateSpec
	Step      uint64
	SampleIDs []uint64
	Scalars   map[string]float64
	Inputs    [][]float32
	Params    []*param.Parameter
	// InputGradients and ParamGradients are to be filled, one per input and parameter; nil where no gradient is
	// wanted.
	InputGradients [][]float32
	ParamGradients [][]float32
	// Metrics are named numbers to be logged; they are merged with the program's.
	Metrics map[string]float64
}

// evaluation keeps what the operator evaluate needs between forward and backward.
type evaluation struct {
	step    uint64
	ids     []uint64
	metrics map[string]float64
	inputs  map[string]tensor.Shape
}

// EvaluateInputs are the shapes of what the operator evaluate reads, by the names of the EvaluateSpec.
func (m *Model) EvaluateInputs() map[string]tensor.Shape { return m.evaluation.inputs }

// buildEvaluate makes the operator evaluate: an external one whose forward pass asks the plugin for the loss and all
// gradients at once and whose backward pass hands the gradients out.
func buildEvaluate(c *call) []*core.Node {
	m, spec := c.m, c.m.Plan.GetEvaluate()
	if spec == nil {
		c.fail("the plan has no EvaluateSpec")
	}
	if m.evaluator == nil {
		c.fail("the plugin computes the loss itself, and the host was not asked to let it")
	}
	if len(c.order) != len(spec.GetInputs()) {
		c.fail("%d inputs are given and EvaluateSpec names %d", len(c.order), len(spec.GetInputs()))
	}
	e := &Evaluation{Spec: spec, Scalars: map[string]float64{}}
	var nodes []*core.Node
	for i, in := range spec.GetInputs() {
		if c.order[i].name != in.GetName() {
			c.fail("input %d is %q and EvaluateSpec names %q", i, c.order[i].name, in.GetName())
		}
		n := c.order[i].node
		if m.evaluation.inputs == nil {
			m.evaluation.inputs = map[string]tensor.Shape{}
		}
		m.evaluation.inputs[in.GetName()] = n.Shape()
		var gradient []float32
		if in.GetGradient() && m.Train {
			gradient = make([]float32, n.Shape().Size())
		} else {
			n = c.g.StopGradient(n)
		}
		nodes = append(nodes, n)
		e.InputGradients = append(e.InputGradients, gradient)
	}
	for _, name := range spec.GetParams() {
		p := m.params[name]
		if p == nil {
			c.fail("EvaluateSpec names parameter %q, which the plan does not have", name)
		}
		n := c.g.Param(p)
		var gradient []float32
		if m.Train && !p.Frozen {
			gradient = make([]float32, len(p.Data))
		}
		nodes = append(nodes, n)
		e.Params = append(e.Params, p)
		e.ParamGradients = append(e.ParamGradients, gradient)
	}
	for _, name := range spec.GetSchedules() {
		if m.scalars[name] == nil {
			c.fail("EvaluateSpec names schedule %q, which the plan does not have", name)
		}
	}
	inputs := len(spec.GetInputs())
	gradients := append(append([][]float32(nil), e.InputGradients...), e.ParamGradients...)
	return ops.CallExternal(c.g, ops.External{
		Name: pb.OpEvaluate,
		Forward: func(in, out [][]float32) error {
			e.Metrics = map[string]float64{}
			m.evaluation.metrics = e.Metrics
			e.Step, e.SampleIDs, e.Inputs = m.evaluation.step, m.evaluation.ids, in[:inputs]
			for _, name := range spec.GetSchedules() {
				e.Scalars[name] = m.scalars[name].now
			}
			loss, err := m.evaluator.Evaluate(e)
			if err != nil {
				return err
			}
			out[0][0] = float32(loss)
			return nil
		},
		Backward: func(_, _, gradOut, gradIn [][]float32) error {
			factor := gradOut[0][0]
			for i, dst := range gradIn {
				if dst == nil {
					continue
				}
				for j, v := range gradients[i] {
					dst[j] = factor * v
				}
			}
			return nil
		},
	}, nodes, []tensor.Shape{{}})
}
