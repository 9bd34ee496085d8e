// Package program compiles an objective's plan into a graph of package core and runs it.
//
// The plan (see plugins/plan) names views, passes of the backbone, parameters, buffers and a
// program of operators; Build makes of them one graph that computes loss, gradients, metrics,
// buffer updates and pictures for a fixed batch. A plan whose shapes do not agree is refused with
// an error that names the plugin, the node, and the shapes. All else was checked when the plan was
// made.
//
// # Names
//
// Everything that outlives a step lies in the store under a prefix and the name of the official
// code: "backbone." and timm's name for the student's backbone, "head." and the objective's name
// for its parameters, "teacher.backbone." and "teacher.head." for those of the teacher, "buffer." for
// buffers.
package program

import (
	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// setting is the part of a compilation that its runner keeps.
type setting struct {
	Plan    *plan.Plan
	Batch   int
	Train   bool
	Config  backbone.Config  // of the backbone, with the plan's requirements
	Student backbone.Network // nil where the plan uses no backbone
	Teacher backbone.Network // that the graph reads; nil without a teacher
	// Averaged is the teacher of the store, as a checkpoint holds it between two steps; nil without one.
	Averaged backbone.Network

	plugin string
	seed   uint64
	total  uint64 // steps of the run
	device *device.CPU
}

// Runner runs a plan that was compiled for one batch size. Per micro-batch: Step, then Loss, Metrics and the
// gradients of Exec, and Commit once these are known to be finite. Per step of the optimizer, after
// it: MoveTeacher.
type Runner struct {
	setting
	inputs     *inputs
	exec       *core.Executable
	loss       *core.Node
	metrics    []metric
	updates    []update
	pictures   []picture
	evaluation *evaluation
	teacher    *teacher // nil without one
	unitRows   []*param.Parameter
	cached     []*cachedTarget
}

type metric struct {
	name string
	node *core.Node
}

// View returns the slice [B, C, H, W] that a view's normalized pixels go into; nil if the plan has
// no such view.
func (m *Runner) View(name string) []float32 {
	if n := m.inputs.views[name]; n != nil {
		return n.Value()
	}
	return nil
}

// ViewShape returns the shape of a view; nil if the plan has no such view.
func (m *Runner) ViewShape(name string) tensor.Shape {
	if n := m.inputs.views[name]; n != nil {
		return n.Shape()
	}
	return nil
}

// Target returns the slice that a target of floats goes into; nil if there is none of this name.
func (m *Runner) Target(name string) []float32 {
	if t := m.inputs.targets[name]; t != nil && t.node != nil && !isInt(t.node) {
		return t.node.Value()
	}
	return nil
}

// TargetInts returns the slice that a target of integers goes into; nil if there is none of this
// name.
func (m *Runner) TargetInts(name string) []int32 {
	if t := m.inputs.targets[name]; t != nil && t.node != nil && isInt(t.node) {
		return t.node.Ints()
	}
	return nil
}

// Scalar returns the value of a schedule at the last step; false if there is none of this name.
func (m *Runner) Scalar(name string) (float64, bool) {
	s := m.inputs.scalars[name]
	if s == nil {
		return 0, false
	}
	return s.now, true
}

// Step is the forward and the backward pass of one micro-batch: it fills the inputs and computes
// loss, gradients and results. It changes nothing in the store but rows that are kept at unit
// length. Equal inputs give equal bits.
func (m *Runner) Step(in Inputs) error {
	if err := m.fill(in); err != nil {
		return &Error{m.plugin, err}
	}
	if in.Targets != nil {
		if err := in.Targets(m); err != nil {
			return err
		}
	}
	if err := m.begin(); err != nil {
		return err
	}
	if err := m.exec.Run(); err != nil {
		return &Error{m.plugin, err}
	}
	return nil
}

// begin brings the weights that the passes read up to date.
func (m *Runner) begin() error {
	if !m.Train {
		return nil
	}
	param.NormalizeRows(m.device, m.unitRows)
	return m.teacher.beforeForward(m.device)
}

// Loss is the loss of the last Step.
func (m *Runner) Loss() float64 { return float64(m.loss.Value()[0]) }

// Metrics are the named numbers of the last Step.
func (m *Runner) Metrics() map[string]float64 {
	out := make(map[string]float64, len(m.metrics))
	for _, x := range m.metrics {
		out[x.name] = float64(x.node.Value()[0])
	}
	for name, v := range m.evaluation.metrics {
		out[name] = v
	}
	return out
}

// Parameters lists the parameters with a gradient.
func (m *Runner) Parameters() []*param.Parameter { return m.exec.Parameters() }

// Grad returns the gradient of the loss with respect to p, nil if none reaches it. The next Step
// overwrites it; the caller may scale it in place.
func (m *Runner) Grad(p *param.Parameter) []float32 { return m.exec.Grad(p) }

// FirstNonFinite looks for NaN and infinity in the results of the last Step; see
// [core.Executable.FirstNonFinite].
func (m *Runner) FirstNonFinite() (tensor string, index int, value float32, ok bool) {
	return m.exec.FirstNonFinite()
}

// Bytes is the memory of activations and gradients.
func (m *Runner) Bytes() int { return m.exec.Bytes() }

// FLOPs is the cost of a Step: 2 × multiply-adds.
func (m *Runner) FLOPs() float64 { return m.exec.FLOPs() }

// Exec is the compiled graph: gradients, trained parameters, memory and cost.
func (m *Runner) Exec() *core.Executable { return m.exec }

// EvaluateInputs are the shapes of the inputs of the operator evaluate, by the names of the plan's
// Evaluate.
func (m *Runner) EvaluateInputs() map[string]tensor.Shape { return m.evaluation.inputs }

// MoveTeacher follows the optimizer's step, once for all of its micro-batches: it writes the
// teacher's next weights into the store.
func (m *Runner) MoveTeacher() error { return m.teacher.afterStep(m.device) }
