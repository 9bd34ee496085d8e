// Package program compiles an objective's plan into a graph of the engine.
//
// The plan (see plugins/pb) names views, passes of the backbone, parameters, buffers and a program of operators; Build
// makes of them one graph that computes loss, gradients, metrics, buffer updates and pictures for a fixed batch. The
// operators are those of the table in Operators, which docs/operators.md prints. A plan that cannot be compiled is
// refused with an error that names the plugin, the node, and the shapes.
//
// # Names
//
// Everything that outlives a step lies in the store under a prefix of package runs and the name of the official code.
package program

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

// Model is a compiled plan for one batch size. Per step: fill the views, SetGeometry, SetLabels,
// SetMasks, SetStep, Remember, Run; then Loss, Metrics
// and the gradients of Exec; once the step is good, Commit and the teacher's update.
type Model struct {
	Plan    *pb.Plan
	Batch   int
	Train   bool
	Config  backbone.Config  // of the backbone, with what the plan requires of it
	Student backbone.Network // nil where the plan uses no backbone
	Teacher backbone.Network // that the graph reads; nil without a teacher

	plugin    string
	seed      uint64
	total     uint64
	evaluator Evaluator

	engine *device.CPU
	g      *core.Graph
	store  *param.Store
	exec   *core.Executable

	views         map[string]*core.Node
	masks         map[string]*mask
	targets       map[string]*target
	params        map[string]*param.Parameter
	teacherParams map[string]*param.Parameter
	buffers       map[string]*buffer
	scalars       map[string]*scalar
	passes        map[string]*pass
	specs         map[string]*pb.Node
	nodes         map[string][]*core.Node

	loss     *core.Node
	metrics  []metric
	updates  []update
	pictures []picture
	teacher  *teacher // nil without one
	randoms  []random
	files    map[string]*tensor.File // that parameters are taken from, by path; let go when the model is built
	unitRows []*param.Parameter

	evaluation evaluation
	remembered []*remembered
	recalled   bool // they are filled for the next Run
}

type metric struct {
	name string
	node *core.Node
}

// picture is a prediction to be shown.
type picture struct {
	spec       *pb.Picture
	prediction *core.Node
}

// View returns the slice [B, C, H, W] that a view's normalised pixels go into; nil if the plan has no such view.
func (m *Model) View(name string) []float32 {
	if n := m.views[name]; n != nil {
		return n.Value()
	}
	return nil
}

// ViewShape returns the shape of a view; nil if the plan has no such view.
func (m *Model) ViewShape(name string) tensor.Shape {
	if n := m.views[name]; n != nil {
		return n.Shape()
	}
	return nil
}

// Target returns the slice that a target of floats goes into; nil if there is none of this name.
func (m *Model) Target(name string) []float32 {
	if t := m.targets[name]; t != nil && t.node != nil && !isInt(t.node) {
		return t.node.Value()
	}
	return nil
}

// TargetInts returns the slice that a target of integers goes into; nil if there is none of this name.
func (m *Model) TargetInts(name string) []int32 {
	if t := m.targets[name]; t != nil && t.node != nil && isInt(t.node) {
		return t.node.Ints()
	}
	return nil
}

// SetGeometry fills the targets that hold the boxes of a view, one box per sample.
func (m *Model) SetGeometry(view string, boxes []*pb.Box) error {
	for _, t := range m.targets {
		if t.spec.GetSource() != pb.TargetSpec_SOURCE_GEOMETRY || t.spec.GetView() != view {
			continue
		}
		if len(boxes) != m.Batch {
			return fmt.Errorf("plugin %s: view %s has %d boxes for %d samples", m.plugin, view, len(boxes), m.Batch)
		}
		for i, b := range boxes {
			flip := float32(0)
			if b.GetFlip() {
				flip = 1
			}
			copy(t.node.Value()[i*geometryFields:], []float32{float32(b.GetTop()), float32(b.GetLeft()), float32(b.GetHeight()),
				float32(b.GetWidth()), flip, float32(b.GetSourceHeight()), float32(b.GetSourceWidth())})
		}
	}
	return nil
}

// SetLabels fills the targets that hold the samples' labels, -1 where there is none.
func (m *Model) SetLabels(labels []int32) {
	for _, t := range m.targets {
		if t.spec.GetSource() == pb.TargetSpec_SOURCE_LABEL {
			copy(t.node.Ints(), labels)
		}
	}
}

// SetStep sets everything that is a function of the step, counted from 0, and of the samples' ids: schedules,
// stochastic depth, sample-id targets. Equal arguments give equal numbers.
func (m *Model) SetStep(step uint64, ids []uint64) {
	m.evaluation.step, m.evaluation.ids = step, ids
	for _, s := range m.scalars {
		s.now = ScheduleAt(s.spec, step, m.total)
		if s.node != nil {
			s.node.Value()[0] = float32(s.now)
		}
	}
	for name, p := range m.passes {
		if p.dropPath != nil {
			p.dropPath.Draw(m.seed, step, name, ids)
		}
	}
	m.drawRandoms(step, ids)
	for _, t := range m.targets {
		if t.spec.GetSource() == pb.TargetSpec_SOURCE_SAMPLE_ID {
			for i, id := range ids {
				t.node.Ints()[i] = int32(id)
			}
		}
	}
}

// Scalar returns the value of a schedule at the step that was set.
func (m *Model) Scalar(name string) (float64, bool) {
	s := m.scalars[name]
	if s == nil {
		return 0, false
	}
	return s.now, true
}

// Run computes loss, gradients and results of the step that was set. It changes nothing in the store but rows that
// are kept at unit length.
func (m *Model) Run() error {
	if !m.recalled {
		return fmt.Errorf("plugin %s: Run before Remember, and the plan has a target that is remembered", m.plugin)
	}
	m.recalled = len(m.remembered) == 0
	if m.Train {
		param.NormalizeRows(m.engine, m.unitRows)
		if err := m.teacher.lead(m.engine); err != nil {
			return err
		}
	}
	if err := m.exec.Run(); err != nil {
		return fmt.Errorf("plugin %s: %w", m.plugin, err)
	}
	return nil
}

// Loss is the loss of the last Run.
func (m *Model) Loss() float64 { return float64(m.loss.Value()[0]) }

// Metrics are the named numbers of the last Run.
func (m *Model) Metrics() map[string]float64 {
	out := make(map[string]float64, len(m.metrics))
	for _, x := range m.metrics {
		out[x.name] = float64(x.node.Value()[0])
	}
	for name, v := range m.evaluation.metrics {
		out[name] = v
	}
	return out
}

// Exec is the compiled graph: gradients, trained parameters, memory and cost.
func (m *Model) Exec() *core.Executable { return m.exec }

// Graph is the graph under construction, for Options.Extra.
func (m *Model) Graph() *core.Graph { return m.g }

// ViewNode returns the input of a view, for Options.Extra; nil if the plan has no such view.
func (m *Model) ViewNode(name string) *core.Node { return m.views[name] }

// MaskNode returns the input that one form of a mask fills, for Options.Extra.
func (m *Model) MaskNode(name string, form pb.MaskRef_Form) (*core.Node, error) {
	k := m.masks[name]
	if k == nil {
		return nil, fmt.Errorf("the plan has no mask %q", name)
	}
	return k.input(m.g, form)
}

// Pass returns the nodes of a pass, for Options.Extra.
func (m *Model) Pass(name string) (backbone.Outputs, error) {
	p := m.passes[name]
	if p == nil {
		return nil, fmt.Errorf("the plan has no pass %q", name)
	}
	if err := m.buildPass(p); err != nil {
		return nil, err
	}
	return p.out, nil
}

// Outputs returns the nodes that a node of the program makes, for Options.Extra.
func (m *Model) Outputs(node string) ([]*core.Node, error) { return m.node(node) }

// StudentParameters lists the student's backbone and the objective's parameters, frozen ones included.
func (m *Model) StudentParameters() []*param.Parameter {
	var out []*param.Parameter
	if m.Student != nil {
		out = m.Student.Weights()
	}
	for _, spec := range m.Plan.GetParams() {
		out = append(out, m.params[spec.GetName()])
	}
	return out
}

// AfterStep follows the optimizer's step, once for all of its passes: the teacher moves, or stays where the last Run
// saw it.
func (m *Model) AfterStep() error { return m.teacher.follow(m.engine) }

func (m *Model) addPicture(spec *pb.Picture) error {
	n, err := m.resolve(spec.GetPrediction())
	if err != nil {
		return err
	}
	v := m.views[spec.GetView()]
	if v == nil {
		return fmt.Errorf("it shows view %q, which the plan does not have", spec.GetView())
	}
	if spec.GetMask() != "" && m.masks[spec.GetMask()] == nil {
		return fmt.Errorf("it shows mask %q, which the plan does not have", spec.GetMask())
	}
	switch spec.GetLayout() {
	case pb.Picture_LAYOUT_PATCHES_HWC, pb.Picture_LAYOUT_PATCHES_CHW:
		s := v.Shape()
		patch := m.Config.Info().Patch
		want := tensor.Shape{s[0], s[2] / patch * (s[3] / patch), s[1] * patch * patch}
		if !n.Shape().Equal(want) {
			return fmt.Errorf("the prediction has the shape %v: want %v", n.Shape(), want)
		}
	case pb.Picture_LAYOUT_IMAGE:
		if !n.Shape().Equal(v.Shape()) {
			return fmt.Errorf("the prediction has the shape %v: want %v", n.Shape(), v.Shape())
		}
	default:
		return fmt.Errorf("layout %v is not known to this version of vittool", spec.GetLayout())
	}
	if spec.GetMask() != "" {
		if _, err := m.masks[spec.GetMask()].input(m.g, removedForm(m.masks[spec.GetMask()].spec)); err != nil {
			return err
		}
	}
	m.pictures = append(m.pictures, picture{spec: spec, prediction: n})
	return nil
}
