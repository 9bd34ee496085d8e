package program

import (
	"context"
	"fmt"
	"time"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Options are the settings of a compilation that the plan leaves open.
type Options struct {
	// Plugin names the objective in errors.
	Plugin string
	// Train builds gradients and stochastic depth; without it the loss and the pictures are
	// computed only.
	Train bool
	// Recompute keeps nothing inside the blocks of the network for the backward pass, see
	// [core.Graph.RecomputeBlocks].
	Recompute bool
	// TotalSteps is the length of the run, for schedules that span it.
	TotalSteps uint64
	// Evaluator is the plugin's part of a step; needed only for plans with Evaluate.
	Evaluator Evaluator
	// Context ends the reading of files that the plan names; nil: nothing does.
	Context context.Context
	// Deadline is the time that reading one of these files may take; 0: any.
	Deadline time.Duration
	// Extra may build further nodes, on Compiler.Graph, whose values can be read after each Step: for pictures and tests.
	Extra func(c *Compiler) ([]*core.Node, error)
}

// Compiler is a compilation in progress: the way from a plan to a Runner.
type Compiler struct {
	setting
	g         *core.Graph
	store     *param.Store
	evaluator Evaluator

	// By the names of the plan.
	inputs        *inputs
	params        map[string]*param.Parameter
	teacherParams map[string]*param.Parameter // that the graph reads, by the name of the student's
	buffers       map[string]*buffer
	passes        map[string]*pass
	features      func(r plan.Ref) (*core.Node, error) // in place of passes in this graph; nil: they run in it
	specs         map[string]*plan.Node
	nodes         map[string][]*core.Node // outputs of the nodes built so far
	files         map[string]*tensor.File // that parameters are taken from, by path
	teacher       *teacher                // nil without one
	evaluation    *evaluation
	context       context.Context
	deadline      time.Duration // of reading a file
}

// Build compiles a plan for batches of the given size. Weights, parameters and buffers are created
// in the store under the package's prefixes, or taken from it where they exist, so that runners for
// several batch sizes share one store.
func Build(dev *device.CPU, store *param.Store, p *plan.Plan, config backbone.Config, batch int, seed uint64, o Options) (*Runner, error) {
	if o.Plugin == "" {
		o.Plugin = "objective"
	}
	m, err := build(dev, store, p, config, batch, seed, o)
	if err != nil {
		return nil, &Error{o.Plugin, err}
	}
	return m, nil
}

// Error is a plan that can't be compiled or computed.
type Error struct {
	Plugin string
	Err    error // names the node or parameter
}

func (e *Error) Error() string { return fmt.Sprintf("plugin %s: %v", e.Plugin, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

func build(dev *device.CPU, store *param.Store, p *plan.Plan, config backbone.Config, batch int, seed uint64, o Options) (*Runner, error) {
	c, m, err := newCompiler(dev, store, p, config, batch, seed, o)
	if err != nil {
		return nil, err
	}
	ends, err := c.addProgram(m, o)
	if err != nil {
		return nil, err
	}
	m.exec, err = c.g.Compile(ends.Loss, ends.Extra...)
	return m, err
}

// newCompiler begins a compilation with all that the store holds: networks, parameters, buffers.
func newCompiler(dev *device.CPU, store *param.Store, p *plan.Plan, config backbone.Config, batch int, seed uint64, o Options) (*Compiler, *Runner, error) {
	if batch < 1 {
		return nil, nil, fmt.Errorf("batch of %d samples: it must be positive", batch)
	}
	c := &Compiler{
		setting: setting{Plan: p, Batch: batch, Train: o.Train, plugin: o.Plugin, seed: seed, total: o.TotalSteps, device: dev},
		g:       core.NewGraph(dev), store: store, evaluator: o.Evaluator, inputs: newInputs(),
		params: map[string]*param.Parameter{}, teacherParams: map[string]*param.Parameter{}, buffers: map[string]*buffer{},
		passes: map[string]*pass{}, specs: map[string]*plan.Node{}, nodes: map[string][]*core.Node{},
		files: map[string]*tensor.File{}, evaluation: &evaluation{}, context: o.Context, deadline: o.Deadline,
	}
	for _, n := range p.Nodes {
		c.specs[n.Name] = n
	}
	if o.Recompute {
		c.g.RecomputeBlocks()
	}
	if err := c.addNetworks(config); err != nil {
		return nil, nil, err
	}
	m := &Runner{inputs: c.inputs, evaluation: c.evaluation}
	for _, step := range []func(m *Runner) error{c.addSchedules, c.addParams, c.addBuffers} {
		if err := step(m); err != nil {
			return nil, nil, err
		}
	}
	return c, m, nil
}

// addProgram builds the inputs and the program, and returns the graph with its results.
func (c *Compiler) addProgram(m *Runner, o Options) (core.Part, error) {
	for _, step := range []func(m *Runner) error{
		c.addViews, c.addMasks, c.addTargets, c.addPasses, c.addNodes, c.addCachedTargets, c.addResults,
	} {
		if err := step(m); err != nil {
			return core.Part{}, err
		}
	}
	m.setting, m.teacher = c.setting, c.teacher
	ends := core.Part{Graph: c.g}
	if o.Extra != nil {
		var err error
		if ends.Extra, err = o.Extra(c); err != nil {
			return core.Part{}, err
		}
	}
	m.addResults(&ends)
	return ends, nil
}

// addNetworks makes the backbones of student and teacher.
func (c *Compiler) addNetworks(config backbone.Config) error {
	config, scheme, err := Configure(config, &c.Plan.Requirements)
	if err != nil {
		return err
	}
	c.Config = config
	if c.Plan.Requirements.Unused { // the config gives the sizes of images alone
		return nil
	}
	if c.Student, err = config.New(c.store, runs.BackbonePrefix, scheme, c.seed); err != nil {
		return err
	}
	setDecayAndFreeze(c.Student, &c.Plan.Requirements)
	if c.Plan.Teacher == nil {
		return nil
	}
	return c.addTeacher(scheme)
}

func (c *Compiler) addSchedules(*Runner) error {
	c.inputs.addScalars(c.Plan)
	if c.teacher != nil {
		c.teacher.momentum = c.inputs.scalars[c.Plan.Teacher.Momentum]
	}
	return nil
}

func (c *Compiler) addParams(m *Runner) error {
	for _, spec := range c.Plan.Params {
		p, err := c.addParam(spec)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", spec.Name, err)
		}
		c.params[spec.Name] = p
		if spec.UnitNormRows {
			m.unitRows = append(m.unitRows, p)
		}
		if !spec.TeacherCopy {
			continue
		}
		if c.teacherParams[spec.Name], err = c.teacher.add(c.store, p, c.seed); err != nil {
			return err
		}
	}
	return nil
}

func (c *Compiler) addBuffers(*Runner) error {
	for _, spec := range c.Plan.Buffers {
		b, err := c.newBuffer(spec)
		if err != nil {
			return fmt.Errorf("buffer %s: %w", spec.Name, err)
		}
		c.buffers[spec.Name] = b
	}
	return nil
}

// addViews declares all views; a graph without passes declares those that the program reads when it
// does.
func (c *Compiler) addViews(*Runner) error {
	for _, v := range c.Plan.Views {
		if c.features == nil {
			c.view(v.Name)
		}
	}
	return nil
}

// view returns the input [B, C, H, W] of a view, declared on first use.
func (c *Compiler) view(name string) *core.Node {
	n := c.inputs.views[name]
	if n == nil {
		n = c.g.Input("view."+name, c.viewShape(name))
		c.inputs.views[name] = n
	}
	return n
}

func (c *Compiler) viewShape(name string) tensor.Shape {
	v := c.Plan.View(name)
	return tensor.Shape{c.Batch, c.Config.Info().Channels, v.Height, v.Width}
}

func (c *Compiler) addMasks(*Runner) error {
	for _, spec := range c.Plan.Masks {
		v := c.Plan.View(spec.View)
		c.inputs.masks[spec.Name] = &mask{spec: spec, height: v.Height, width: v.Width, batch: c.Batch, node: map[plan.Form]*core.Node{}}
	}
	return nil
}

func (c *Compiler) addTargets(*Runner) error {
	for _, spec := range c.Plan.Targets {
		t, err := newTarget(c.g, spec, c.Batch, c.Train)
		if err != nil {
			return err
		}
		c.inputs.targets[spec.Name] = t
	}
	return nil
}

// addPasses checks the passes; they are built when the program first reads them, because a
// corrupted pass reads images that the program makes.
func (c *Compiler) addPasses(*Runner) error {
	for _, spec := range c.Plan.Passes {
		for _, v := range spec.Views {
			view := c.Plan.View(v)
			if err := c.Config.CheckImage(view.Height, view.Width); err != nil {
				return fmt.Errorf("pass %s, view %s: %w", spec.Name, v, err)
			}
		}
		c.passes[spec.Name] = &pass{spec: spec}
	}
	return nil
}

func (c *Compiler) addNodes(*Runner) error {
	for _, n := range c.Plan.Nodes {
		if _, err := c.node(n.Name); err != nil {
			return err
		}
	}
	return nil
}

// node builds a node of the program, and before it those that it reads: images of a corrupted pass
// come late.
func (c *Compiler) node(name string) ([]*core.Node, error) {
	if out := c.nodes[name]; out != nil {
		return out, nil
	}
	spec := c.specs[name]
	var inputs []argument
	for _, a := range spec.Inputs {
		n, err := c.resolve(a.Ref)
		if err != nil {
			return nil, fmt.Errorf("%v: input %s: %w", spec, a.Name, err)
		}
		in := argument{name: a.Name, node: n}
		if a.Ref.Of == plan.RefBuffer {
			in.buffer = c.buffers[a.Ref.Name]
		}
		inputs = append(inputs, in)
	}
	out, err := (&call{c: c, g: c.g, node: spec, op: plan.Lookup(spec.Op)}).build(inputs)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", spec, err)
	}
	c.nodes[name] = out
	return out, nil
}

// resolve returns the graph's node for a value that the program reads.
func (c *Compiler) resolve(r plan.Ref) (*core.Node, error) {
	switch r.Of {
	case plan.RefNode:
		out, err := c.node(r.Name)
		if err != nil {
			return nil, err
		}
		return out[r.Output], nil
	case plan.RefFeature:
		return c.feature(r)
	case plan.RefParam:
		return c.g.Param(c.params[r.Name]), nil
	case plan.RefTeacherParam:
		return c.g.Param(c.teacherParams[r.Name]), nil
	case plan.RefBuffer:
		return c.g.Param(c.buffers[r.Name].value), nil
	case plan.RefTarget:
		t := c.inputs.targets[r.Name]
		if t.node == nil {
			return c.resolve(t.spec.Value)
		}
		return t.node, nil
	case plan.RefMask:
		return c.inputs.masks[r.Name].input(c.g, r.Form), nil
	case plan.RefView:
		return c.view(r.Name), nil
	default:
		return c.inputs.scalars[r.Name].input(c.g), nil
	}
}

func (c *Compiler) addResults(m *Runner) error {
	r := c.Plan.Results
	var err error
	if m.loss, err = c.result("loss", r.Loss); err != nil {
		return err
	}
	for _, x := range r.Metrics {
		n, err := c.result("metric "+x.Name, x.Value)
		if err != nil {
			return err
		}
		m.metrics = append(m.metrics, metric{x.Name, n})
	}
	for _, x := range r.Updates {
		u, err := c.newUpdate(x)
		if err != nil {
			return fmt.Errorf("update of buffer %s: %w", x.Buffer, err)
		}
		m.updates = append(m.updates, u)
	}
	for _, x := range r.Pictures {
		p, err := c.newPicture(x)
		if err != nil {
			return fmt.Errorf("picture %s: %w", x.Name, err)
		}
		m.pictures = append(m.pictures, p)
	}
	return nil
}

// result resolves a result that must be one number.
func (c *Compiler) result(owner string, r plan.Ref) (*core.Node, error) {
	n, err := c.resolve(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", owner, err)
	}
	if isInt(n) || n.Shape().Size() != 1 {
		at := ""
		if r.Of == plan.RefNode {
			at = fmt.Sprintf(", %v,", c.specs[r.Name])
		}
		return nil, fmt.Errorf("%s%s has the shape %v: want one number", owner, at, n.Shape())
	}
	return n, nil
}

// addResults adds the results of the program to the ends of its graph. Without training the loss is
// one of the extra results.
func (m *Runner) addResults(ends *core.Part) {
	if m.Train {
		ends.Loss = m.loss
	} else {
		ends.Extra = append(ends.Extra, m.loss)
	}
	for _, x := range m.metrics {
		ends.Extra = append(ends.Extra, x.node)
	}
	for _, u := range m.updates {
		ends.Extra = append(ends.Extra, u.value)
	}
	if !m.Train { // pictures are drawn of a trained model, not at every step
		for _, p := range m.pictures {
			ends.Extra = append(ends.Extra, p.prediction)
		}
	}
}

// Graph is the graph under construction, for Options.Extra.
func (c *Compiler) Graph() *core.Graph { return c.g }

// ViewNode returns the input of a view, for Options.Extra; nil if the plan has no such view.
func (c *Compiler) ViewNode(name string) *core.Node { return c.inputs.views[name] }

// Pass returns the nodes of a pass, for Options.Extra.
func (c *Compiler) Pass(name string) (backbone.Outputs, error) {
	p := c.passes[name]
	if p == nil {
		return nil, fmt.Errorf("the plan has no pass %q", name)
	}
	if err := c.buildPass(p); err != nil {
		return nil, err
	}
	return p.out, nil
}

// Outputs returns the nodes that a node of the program makes, for Options.Extra.
func (c *Compiler) Outputs(node string) ([]*core.Node, error) {
	if c.specs[node] == nil {
		return nil, fmt.Errorf("the plan has no node %q", node)
	}
	return c.node(node)
}
