package program

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// Evaluator computes, in the plugin, what a program cannot say. The host implements it over shared memory.
type Evaluator interface {
	// Evaluate is called once per Step. Inputs are those of the plan's Evaluate, in order; where the spec asks
	// for a gradient and the graph wants it, Evaluate fills the slice in gradients (nil elsewhere) with the
	// gradient of the loss. ParamGradients is filled for Evaluate.Params.
	Evaluate(e *Evaluation) (loss float64, err error)
}

// Evaluation is one call of an Evaluator.
type Evaluation struct {
	Spec      *plan.Evaluate
	Step      uint64
	SampleIDs []uint64
	Scalars   map[string]float64
	Inputs    [][]float32
	Shapes    []tensor.Shape // of the inputs
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
	metrics map[string]float64
	inputs  map[string]tensor.Shape
}

// buildEvaluate makes the operator evaluate: an external one whose forward pass asks the plugin for the loss and all
// gradients at once and whose backward pass hands the gradients out.
func buildEvaluate(c *call) []*core.Node {
	m, spec := c.c, c.c.Plan.Evaluate
	if m.evaluator == nil {
		c.fail("the plugin computes the loss itself, and the host was not asked to let it")
	}
	e := &Evaluation{Spec: spec, Scalars: map[string]float64{}}
	var nodes []*core.Node
	for i, in := range spec.Inputs {
		n := c.order[i].node
		if m.evaluation.inputs == nil {
			m.evaluation.inputs = map[string]tensor.Shape{}
		}
		m.evaluation.inputs[in.Name] = n.Shape()
		var gradient []float32
		if in.Gradient && m.Train {
			gradient = make([]float32, n.Shape().Size())
		} else {
			n = c.g.StopGradient(n)
		}
		nodes = append(nodes, n)
		e.Shapes = append(e.Shapes, n.Shape())
		e.InputGradients = append(e.InputGradients, gradient)
	}
	for _, name := range spec.Params {
		p := m.params[name]
		n := c.g.Param(p)
		var gradient []float32
		if m.Train && !p.Frozen {
			gradient = make([]float32, len(p.Data))
		}
		nodes = append(nodes, n)
		e.Params = append(e.Params, p)
		e.ParamGradients = append(e.ParamGradients, gradient)
	}
	inputs := len(spec.Inputs)
	gradients := append(append([][]float32(nil), e.InputGradients...), e.ParamGradients...)
	return ops.CallExternal(c.g, ops.External{
		Name: plan.OpEvaluate,
		Forward: func(in, out [][]float32) error {
			e.Metrics = map[string]float64{}
			m.evaluation.metrics = e.Metrics
			e.Step, e.SampleIDs, e.Inputs = m.inputs.step, m.inputs.ids, in[:inputs]
			for _, name := range spec.Schedules {
				e.Scalars[name] = m.inputs.scalars[name].now
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
