package program

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// Inputs are everything that a step reads besides the store. A nil slice, and a nil element of one,
// leaves the input as it is: as the caller filled it in place, or as the last step had it.
type Inputs struct {
	Step        uint64         // of the optimizer, from 0: for schedules, stochastic depth and random nodes
	IDs         []uint64       // of the samples
	Views       [][]float32    // normalized pixels [B, C, H, W], in the order of Plan.Views
	Boxes       [][]plan.Box   // of the samples of each view, in the same order
	Labels      []int32        // -1 where there is none
	Masks       []plan.MaskSet // in any order
	TargetCache TargetCache    // of cached targets; nil: they are computed
	// Targets fills the targets that the plugin computes, once all other inputs are there; nil
	// where there are none.
	Targets func(m *Runner) error
}

// inputs are the nodes of the graph that a step fills.
type inputs struct {
	views     map[string]*core.Node
	masks     map[string]*mask
	targets   map[string]*target
	scalars   map[string]*scalar
	dropPaths map[string]*backbone.DropPath // by pass
	randoms   []random
	masksSet  bool // at least once

	step uint64 // in progress
	ids  []uint64
}

func newInputs() *inputs {
	return &inputs{views: map[string]*core.Node{}, masks: map[string]*mask{}, targets: map[string]*target{}, scalars: map[string]*scalar{},
		dropPaths: map[string]*backbone.DropPath{}}
}

// addScalars declares the schedules of a plan.
func (in *inputs) addScalars(p *plan.Plan) {
	for _, s := range p.Schedules {
		in.scalars[s.Name] = &scalar{spec: s}
	}
}

// setScalars sets the schedules to a step of a run of the given length.
func (in *inputs) setScalars(step, total uint64) {
	for _, s := range in.scalars {
		s.now = s.spec.At(step, total)
		if s.node != nil {
			s.node.Value()[0] = float32(s.now)
		}
	}
}

func (m *Runner) fill(in Inputs) error {
	m.setStep(in.Step, in.IDs)
	for i, pixels := range in.Views {
		v := m.Plan.Views[i].Name
		if m.inputs.views[v] == nil { // a part of the plan that does not read it
			continue
		}
		if pixels != nil && len(pixels) != len(m.View(v)) {
			return fmt.Errorf("view %s has %d values, the network reads %v", v, len(pixels), m.ViewShape(v))
		}
		copy(m.View(v), pixels)
	}
	for i, boxes := range in.Boxes {
		if boxes != nil {
			if err := m.setGeometry(m.Plan.Views[i].Name, boxes); err != nil {
				return err
			}
		}
	}
	if err := m.setMasks(in.Masks); err != nil {
		return err
	}
	for _, t := range m.inputs.targets {
		if t.spec.Source == plan.SourceLabel {
			copy(t.node.Ints(), in.Labels)
		}
	}
	for _, r := range m.cached {
		if err := m.fillCached(r, in.TargetCache); err != nil {
			return fmt.Errorf("target %s: %w", r.target.spec.Name, err)
		}
	}
	return nil
}

// setStep sets everything that is a function of the step and of the samples' ids: schedules,
// stochastic depth, random nodes, sample-id targets.
func (m *Runner) setStep(step uint64, ids []uint64) {
	in := m.inputs
	in.step, in.ids = step, ids
	in.setScalars(step, m.total)
	for pass, d := range in.dropPaths {
		d.Draw(m.seed, step, pass, ids)
	}
	m.drawRandoms(step, ids)
	for _, t := range in.targets {
		if t.spec.Source == plan.SourceSampleID {
			for i, id := range ids {
				t.node.Ints()[i] = int32(id)
			}
		}
	}
}

// setGeometry fills the targets that hold the boxes of a view.
func (m *Runner) setGeometry(view string, boxes []plan.Box) error {
	for _, t := range m.inputs.targets {
		if t.spec.Source != plan.SourceGeometry || t.spec.View != view {
			continue
		}
		if len(boxes) != m.Batch {
			return fmt.Errorf("view %s has %d boxes for %d samples", view, len(boxes), m.Batch)
		}
		for i, b := range boxes {
			flip := float32(0)
			if b.Flip {
				flip = 1
			}
			copy(t.node.Value()[i*geometryFields:], []float32{float32(b.Top), float32(b.Left), float32(b.Height),
				float32(b.Width), flip, float32(b.SourceHeight), float32(b.SourceWidth)})
		}
	}
	return nil
}

// setMasks fills the masks. Nothing is written unless all of them are right.
func (m *Runner) setMasks(sets []plan.MaskSet) error {
	if len(m.Plan.Masks) == 0 || sets == nil && m.inputs.masksSet {
		return nil
	}
	if err := m.Plan.CheckMasks(sets, m.Batch); err != nil {
		return err
	}
	for i := range sets {
		m.inputs.masks[sets[i].Name].set(&sets[i])
	}
	m.inputs.masksSet = true
	return nil
}

// geometryFields are top, left, height, width, flip, source height and source width of a view's
// box.
const geometryFields = 7

// scalar is a schedule as an input of the graph.
type scalar struct {
	spec *plan.Schedule
	node *core.Node // nil until the program reads it
	now  float64
}

func (s *scalar) input(g *core.Graph) *core.Node {
	if s.node == nil {
		s.node = g.Input("scalar."+s.spec.Name, tensor.Shape{})
	}
	return s.node
}

// target is an input that is neither image nor mask.
type target struct {
	spec *plan.Target
	node *core.Node // nil where the value is read right from the program
}

func newTarget(g *core.Graph, spec *plan.Target, batch int, train bool) (*target, error) {
	t, name := &target{spec: spec}, "target."+spec.Name
	shape := append(tensor.Shape{batch}, spec.Shape...)
	switch spec.Source {
	case plan.SourceSampleID, plan.SourceLabel:
		t.node = g.InputInt(name, tensor.Shape{batch})
		return t, nil
	case plan.SourceGeometry:
		t.node = g.Input(name, tensor.Shape{batch, geometryFields})
		return t, nil
	case plan.SourceCached:
		if !train {
			return t, nil
		}
	}
	if shape[1:].Size() > plan.MaxElements/batch {
		return nil, fmt.Errorf("target %s has the shape %v: more than 2^31 elements", spec.Name, shape)
	}
	if spec.DType == plan.I32 {
		t.node = g.InputInt(name, shape)
	} else {
		t.node = g.Input(name, shape)
	}
	return t, nil
}

// isInt reports whether a node holds integers.
func isInt(n *core.Node) bool { return n.Ints() != nil }
