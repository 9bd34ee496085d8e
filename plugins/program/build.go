package program

import (
	"errors"
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Options are the settings of a compilation that the plan leaves open.
type Options struct {
	// Plugin names the objective in errors.
	Plugin string
	// Train builds gradients and stochastic depth; without it the loss and the pictures are computed only.
	Train bool
	// Recompute keeps nothing inside the blocks of transformers for the backward pass, see [core.Graph.RecomputeBlocks].
	Recompute bool
	// TotalSteps is the length of the run, for schedules that span it.
	TotalSteps uint64
	// Evaluator computes what the plan's EvaluateSpec leaves to the plugin; needed only for plans that have one.
	Evaluator Evaluator
	// Extra may build further nodes, on Model.Graph, whose values can be read after each Run: for pictures and tests.
	Extra func(m *Model) ([]*core.Node, error)
}

// Build compiles a plan for batches of the given size. Weights, parameters and buffers are created in the store under
// the package's prefixes, or taken from it where they exist, so that models for several batch sizes share one store.
func Build(e *device.CPU, store *param.Store, plan *pb.Plan, config backbone.Config, batch int, seed uint64, o Options) (*Model, error) {
	if o.Plugin == "" {
		o.Plugin = "objective"
	}
	m, err := build(e, store, plan, config, batch, seed, o)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", o.Plugin, err)
	}
	return m, nil
}

func build(e *device.CPU, store *param.Store, plan *pb.Plan, config backbone.Config, batch int, seed uint64, o Options) (*Model, error) {
	if batch < 1 {
		return nil, fmt.Errorf("batch of %d samples: it must be positive", batch)
	}
	if v := plan.GetOperatorVersion(); v > OperatorVersion {
		return nil, fmt.Errorf("the program is written for version %d of the operators; this vittool has version %d", v, OperatorVersion)
	}
	m := &Model{
		Plan: plan, Batch: batch, Train: o.Train,
		plugin: o.Plugin, seed: seed, total: o.TotalSteps, evaluator: o.Evaluator,
		engine: e, g: core.NewGraph(e), store: store,
		views: map[string]*core.Node{}, masks: map[string]*mask{}, targets: map[string]*target{},
		params: map[string]*param.Parameter{}, teacherParams: map[string]*param.Parameter{}, buffers: map[string]*buffer{},
		files: map[string]*tensor.File{}, scalars: map[string]*scalar{}, passes: map[string]*pass{}, nodes: map[string][]*core.Node{}, specs: map[string]*pb.Node{},
	}
	if o.Recompute {
		m.g.RecomputeBlocks()
	}
	if err := m.addNetworks(config); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		m.addParams, m.addBuffers, m.addSchedules, m.addViews, m.addMasks, m.addTargets, m.addPasses, m.addNodes, m.addRemembered, m.addResults,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	m.files = nil
	var extra []*core.Node
	if o.Extra != nil {
		var err error
		if extra, err = o.Extra(m); err != nil {
			return nil, err
		}
	}
	return m, m.compile(extra)
}

// unique reports the first empty or repeated name of a list.
func unique[T interface{ GetName() string }](what string, list []T) error {
	seen := map[string]bool{}
	for i, x := range list {
		n := x.GetName()
		if n == "" {
			return fmt.Errorf("%s %d has no name", what, i)
		}
		if seen[n] {
			return fmt.Errorf("there are two of %s %q", what, n)
		}
		seen[n] = true
	}
	return nil
}

func (m *Model) addNetworks(config backbone.Config) error {
	c, scheme, err := Backbone(config, m.Plan.GetBackbone())
	if err != nil {
		return err
	}
	m.Config = c
	if m.Plan.GetBackbone().GetUnused() { // known for its sizes alone
		if len(m.Plan.GetPasses()) > 0 || m.Plan.GetTeacher() != nil {
			return errors.New("the plan says that it uses no backbone, and has passes or a teacher")
		}
		return nil
	}
	if m.Student, err = c.New(m.store, runs.BackbonePrefix, scheme, m.seed); err != nil {
		return err
	}
	if err := flagBackbone(m.Student, m.Plan.GetBackbone()); err != nil {
		return err
	}
	if m.Plan.GetTeacher() == nil {
		return nil
	}
	return m.addTeacher(scheme)
}

func (m *Model) addParams() error {
	if err := unique("parameter", m.Plan.GetParams()); err != nil {
		return err
	}
	for _, spec := range m.Plan.GetParams() {
		p, err := m.addParam(spec)
		if err != nil {
			return err
		}
		m.params[spec.GetName()] = p
		if spec.GetUnitNormRows() {
			m.unitRows = append(m.unitRows, p)
		}
		if !spec.GetTeacherCopy() {
			continue
		}
		if m.teacher == nil {
			return fmt.Errorf("parameter %s asks for a teacher's copy, and the plan has no teacher", spec.GetName())
		}
		if m.teacherParams[spec.GetName()], err = m.teacher.add(m.store, p, m.seed); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) addBuffers() error {
	if err := unique("buffer", m.Plan.GetBuffers()); err != nil {
		return err
	}
	for _, spec := range m.Plan.GetBuffers() {
		b, err := m.newBuffer(spec)
		if err != nil {
			return err
		}
		m.buffers[spec.GetName()] = b
	}
	return nil
}

func (m *Model) addSchedules() error {
	if err := unique("schedule", m.Plan.GetSchedules()); err != nil {
		return err
	}
	for _, s := range m.Plan.GetSchedules() {
		if err := checkSchedule(s); err != nil {
			return err
		}
		m.scalars[s.GetName()] = &scalar{spec: s}
	}
	if t := m.teacher; t != nil {
		name := m.Plan.GetTeacher().GetMomentum()
		if t.momentum = m.scalars[name]; t.momentum == nil {
			return fmt.Errorf("the teacher's momentum is schedule %q, which the plan does not have", name)
		}
	}
	return nil
}

func (m *Model) addViews() error {
	if err := unique("view", m.Plan.GetViews()); err != nil {
		return err
	}
	c := m.Config.Info()
	for _, v := range m.Plan.GetViews() {
		h, w := int(v.GetHeight()), int(v.GetWidth())
		if h == 0 {
			h = c.ImageH
		}
		if w == 0 {
			w = c.ImageW
		}
		if h < 1 || w < 1 || h > 1<<14 || w > 1<<14 {
			return fmt.Errorf("view %s: %d×%d pixels: want 1 to %d", v.GetName(), h, w, 1<<14)
		}
		m.views[v.GetName()] = m.g.Input("view."+v.GetName(), tensor.Shape{m.Batch, c.Channels, h, w})
	}
	return nil
}

func (m *Model) addMasks() error {
	if err := unique("mask", m.Plan.GetMasks()); err != nil {
		return err
	}
	for _, spec := range m.Plan.GetMasks() {
		k, err := m.newMask(spec)
		if err != nil {
			return err
		}
		m.masks[spec.GetName()] = k
	}
	return nil
}

func (m *Model) addTargets() error {
	if err := unique("target", m.Plan.GetTargets()); err != nil {
		return err
	}
	for _, spec := range m.Plan.GetTargets() {
		t, err := newTarget(m.g, spec, m.Batch, m.Train)
		if err != nil {
			return err
		}
		m.targets[spec.GetName()] = t
	}
	return nil
}

// addPasses checks the passes; they are built when the program first reads them, because a corrupted pass reads
// images that the program makes.
func (m *Model) addPasses() error {
	if err := unique("pass", m.Plan.GetPasses()); err != nil {
		return err
	}
	for _, spec := range m.Plan.GetPasses() {
		if len(spec.GetViews()) == 0 {
			return fmt.Errorf("pass %s reads no view", spec.GetName())
		}
		for _, v := range spec.GetViews() {
			if m.views[v] == nil {
				return fmt.Errorf("pass %s reads view %q, which the plan does not have", spec.GetName(), v)
			}
			s := m.views[v].Shape()
			if err := m.Config.CheckImage(s[2], s[3]); err != nil {
				return fmt.Errorf("pass %s, view %s: %w", spec.GetName(), v, err)
			}
		}
		if spec.GetNetwork() == pb.Network_NETWORK_TEACHER && m.Teacher == nil {
			return fmt.Errorf("pass %s runs the teacher, and the plan has no teacher", spec.GetName())
		}
		m.passes[spec.GetName()] = &pass{spec: spec}
	}
	return nil
}

func (m *Model) addNodes() error {
	if err := unique("node", m.Plan.GetNodes()); err != nil {
		return err
	}
	for _, n := range m.Plan.GetNodes() {
		if lookup(n.GetOp()) == nil {
			return fmt.Errorf("node %q: there is no operator %q in version %d of the operators; the nearest is %q",
				n.GetName(), n.GetOp(), OperatorVersion, nearestOperator(n.GetOp()))
		}
		m.specs[n.GetName()] = n
	}
	for _, n := range m.Plan.GetNodes() {
		if _, err := m.node(n.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// node builds a node of the program, and before it what it reads; a node that is being built already is a circle.
func (m *Model) node(name string) ([]*core.Node, error) {
	if out, ok := m.nodes[name]; ok {
		if out == nil {
			return nil, fmt.Errorf("node %q reads itself by way of its inputs", name)
		}
		return out, nil
	}
	spec := m.specs[name]
	if spec == nil {
		return nil, fmt.Errorf("there is no node %q", name)
	}
	m.nodes[name] = nil
	where := fmt.Sprintf("node %q (%s)", name, spec.GetOp())
	var inputs []argument
	for _, a := range spec.GetInputs() {
		n, err := m.resolve(a.GetRef())
		if err != nil {
			return nil, fmt.Errorf("%s: input %s: %w", where, a.GetName(), err)
		}
		inputs = append(inputs, argument{name: a.GetName(), node: n, buffer: m.buffers[a.GetRef().GetBuffer()]})
	}
	c := &call{m: m, g: m.g, node: spec, op: lookup(spec.GetOp())}
	out, err := c.build(inputs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	m.nodes[name] = out
	return out, nil
}

// resolve returns the graph's node for a value that the program reads.
func (m *Model) resolve(r *pb.Ref) (*core.Node, error) {
	switch of := r.GetOf().(type) {
	case *pb.Ref_Node:
		out, err := m.node(of.Node)
		if err != nil {
			return nil, err
		}
		if int(r.GetOutput()) >= len(out) {
			return nil, fmt.Errorf("node %q has %d outputs, and output %d is read", of.Node, len(out), r.GetOutput())
		}
		return out[r.GetOutput()], nil
	case *pb.Ref_Feature:
		return m.feature(of.Feature)
	case *pb.Ref_Param:
		if p := m.params[of.Param]; p != nil {
			return m.g.Param(p), nil
		}
		return nil, fmt.Errorf("the plan has no parameter %q", of.Param)
	case *pb.Ref_TeacherParam:
		if p := m.teacherParams[of.TeacherParam]; p != nil {
			return m.g.Param(p), nil
		}
		return nil, fmt.Errorf("the plan has no parameter %q with a teacher's copy", of.TeacherParam)
	case *pb.Ref_Buffer:
		if b := m.buffers[of.Buffer]; b != nil {
			return m.g.Param(b.value), nil
		}
		return nil, fmt.Errorf("the plan has no buffer %q", of.Buffer)
	case *pb.Ref_Target:
		if t := m.targets[of.Target]; t != nil {
			if t.node == nil {
				return m.resolve(t.spec.GetValue())
			}
			return t.node, nil
		}
		return nil, fmt.Errorf("the plan has no target %q", of.Target)
	case *pb.Ref_Mask:
		if k := m.masks[of.Mask.GetMask()]; k != nil {
			return k.input(m.g, of.Mask.GetForm())
		}
		return nil, fmt.Errorf("the plan has no mask %q", of.Mask.GetMask())
	case *pb.Ref_View:
		if v := m.views[of.View]; v != nil {
			return v, nil
		}
		return nil, fmt.Errorf("the plan has no view %q", of.View)
	case *pb.Ref_Scalar:
		if s := m.scalars[of.Scalar]; s != nil {
			return s.input(m.g), nil
		}
		return nil, fmt.Errorf("the plan has no schedule %q", of.Scalar)
	}
	return nil, errors.New("the reference is empty")
}

func (m *Model) addResults() error {
	r := m.Plan.GetResults()
	if r.GetLoss() == nil {
		return errors.New("the program has no loss")
	}
	var err error
	if m.loss, err = m.result("loss", r.GetLoss()); err != nil {
		return err
	}
	for _, x := range r.GetMetrics() {
		n, err := m.result("metric "+x.GetName(), x.GetValue())
		if err != nil {
			return err
		}
		m.metrics = append(m.metrics, metric{x.GetName(), n})
	}
	for _, x := range r.GetUpdates() {
		if err := m.addUpdate(x); err != nil {
			return fmt.Errorf("update of buffer %s: %w", x.GetBuffer(), err)
		}
	}
	for _, x := range r.GetPictures() {
		if err := m.addPicture(x); err != nil {
			return fmt.Errorf("picture %s: %w", x.GetName(), err)
		}
	}
	return nil
}

// result resolves a result that must be one number.
func (m *Model) result(what string, r *pb.Ref) (*core.Node, error) {
	n, err := m.resolve(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if isInt(n) || n.Shape().Size() != 1 {
		return nil, fmt.Errorf("%s has the shape %v: want one number", what, n.Shape())
	}
	return n, nil
}

// compile hands the graph to the engine; without training the loss is one of the extra results.
func (m *Model) compile(extra []*core.Node) error {
	loss := m.loss
	if !m.Train {
		loss = nil
		extra = append(extra, m.loss)
	}
	for _, x := range m.metrics {
		extra = append(extra, x.node)
	}
	for _, u := range m.updates {
		extra = append(extra, u.value)
	}
	if !m.Train { // pictures are drawn of a trained model, not at every step
		for _, p := range m.pictures {
			extra = append(extra, p.prediction)
		}
	}
	var err error
	m.exec, err = m.g.Compile(loss, extra...)
	return err
}
