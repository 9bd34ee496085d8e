package programtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Compiled is a real objective's plan, compiled, with every intermediate result that a case may
// hold. It serves the objectives with a teacher and running statistics.
type Compiled struct {
	*program.Runner
	Engine *device.CPU
	Store  *param.Store
	// Place is the name in the store of a tensor of the reference, without "param." and "buffer.".
	Place func(name string) string
	Out   map[string]*core.Node
	// Rows holds results of the reference that are part of a node's: first and end row.
	Rows map[string][2]int
}

// Compilation says how an objective is opened and compiled for a case.
type Compilation struct {
	Opening
	Seed   uint64
	Place  func(name string) string
	Change func(p *plan.Plan) // of the plan, before it is compiled; may be nil
	Extra  func(m *Compiled, p *program.Compiler) error
}

// Compile opens the objective as a plugin process would, and compiles its plan.
func (o Compilation) Compile(t *testing.T) *Compiled {
	t.Helper()
	p := o.Plan(t)
	p.Requirements.DropPath = 0 // the reference has no stochastic depth
	if o.Change != nil {
		o.Change(p)
	}
	m := &Compiled{Engine: devicetest.New(t, 0), Store: param.NewStore(), Place: o.Place, Out: map[string]*core.Node{}, Rows: map[string][2]int{}}
	var err error
	m.Runner, err = program.Build(m.Engine, m.Store, p, o.Network, o.Batch, o.Seed, program.Options{
		Plugin: o.Objective.Info().Name, Train: true, TotalSteps: uint64(o.Total),
		Extra: func(p *program.Compiler) ([]*core.Node, error) {
			if err := o.Extra(m, p); err != nil {
				return nil, err
			}
			var all []*core.Node
			for _, name := range SortedKeys(m.Out) {
				all = append(all, m.Out[name])
			}
			return all, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// IsStatistic tells state of a batch norm from a weight.
func IsStatistic(name string) bool {
	return slices.ContainsFunc([]string{".running_mean", ".running_var", ".num_batches_tracked"}, func(s string) bool { return strings.HasSuffix(name, s) })
}

// Official cuts the prefixes that the reference adds to official names.
func Official(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "param."), "buffer.")
}

// Load sets all state to the case's initial one; both sides must have the same names and shapes.
func (m *Compiled) Load(t *testing.T, c *golden.Case) {
	t.Helper()
	loaded := map[string]bool{}
	for _, prefix := range []string{"param.", "teacher.", "buffer."} {
		for _, name := range c.Names(prefix) {
			p, x := m.Store.Get(m.Place(Official(name))), c.Tensor(t, name)
			if p == nil {
				t.Fatalf("%s: the model has no %s for %s", c, m.Place(Official(name)), name)
			}
			if !x.Shape.Equal(p.Shape) {
				t.Fatalf("%s: %s is %v, the model has %v", c, name, x.Shape, p.Shape)
			}
			copy(p.Data, Numbers(t, c, name))
			loaded[p.Name] = true
		}
	}
	for _, p := range append(m.Store.Parameters(), m.Store.Buffers()...) {
		if !loaded[p.Name] {
			t.Errorf("%s: the file has no %s", c, p.Name)
		}
	}
}

// CompareState holds the store against every tensor "<prefix><kind>…". All that must be named is.
func (m *Compiled) CompareState(t *testing.T, c *golden.Case, prefix string, kinds []string, all []*param.Parameter) {
	t.Helper()
	seen := map[string]bool{}
	for _, kind := range kinds {
		for _, name := range c.Names(prefix + kind) {
			p := m.Store.Get(m.Place(Official(strings.TrimPrefix(name, prefix))))
			if p == nil {
				t.Errorf("%s: the model has no state for %s", c, name)
				continue
			}
			seen[p.Name] = true
			if c.Tensor(t, name).DType == tensor.I64 {
				CompareInts(t, c, name, Wide(p.Data))
			} else {
				c.Compare(t, golden.ViT, name, p.Data)
			}
		}
	}
	for _, p := range all {
		if !seen[p.Name] {
			t.Errorf("%s: %s of %s is not in the file", c, prefix, p.Name)
		}
	}
}

// Copies lists the teacher's parameters, and buffers.
func (m *Compiled) Copies() []*param.Parameter {
	out := m.Store.Buffers()
	for _, p := range m.Store.Parameters() {
		if strings.HasPrefix(p.Name, runs.TeacherPrefix) {
			out = append(out, p)
		}
	}
	return out
}

// CompareResults holds every output and gradient, and which parameters are trained, against the
// case.
func (m *Compiled) CompareResults(t *testing.T, c *golden.Case, cfg NetworkConfig) {
	t.Helper()
	RequireOutputs(t, c, m.Outputs())
	for _, name := range c.Names("out.") {
		n := m.Out[name]
		if n == nil {
			t.Errorf("%s: there is no test for %s", c, name)
			continue
		}
		got := n.Value()
		if r, ok := m.Rows[name]; ok {
			row := len(got) / n.Shape()[0]
			got = got[r[0]*row : r[1]*row]
		}
		c.Compare(t, golden.ViT, name, got)
	}
	c.CompareScalar(t, golden.ViT, "loss", m.Loss())
	places := func(names []string) []string {
		out := make([]string, len(names))
		for i, n := range names {
			out[i] = m.Place(n)
		}
		return out
	}
	var trained, frozen []string
	for _, p := range m.Store.Parameters() {
		switch {
		case !p.Frozen:
			trained = append(trained, p.Name)
		case !strings.HasPrefix(p.Name, runs.TeacherPrefix) || slices.ContainsFunc(cfg.Frozen, func(n string) bool { return m.Place(n) == p.Name }):
			frozen = append(frozen, p.Name) // some files list the teacher among the frozen ones
		}
	}
	SameNames(t, c, "trainable", trained, places(cfg.Trainable))
	SameNames(t, c, "frozen", frozen, places(cfg.Frozen))
	SameNames(t, c, "gradients", Stripped(c.Names("grad."), "grad."), cfg.Trainable)
	for _, name := range cfg.Trainable {
		CompareGradient(t, c, m.Exec(), name, m.Store.Get(m.Place(name)))
	}
}

// Outputs lists the nodes that a case calls outputs; others are parts of the loss.
func (m *Compiled) Outputs() map[string]*core.Node {
	out := map[string]*core.Node{}
	for name, n := range m.Out {
		if strings.HasPrefix(name, "out.") {
			out[name] = n
		}
	}
	return out
}

// ComparePlain compares the undecayed parameters with the recipe's list.
func (m *Compiled) ComparePlain(t *testing.T, c *golden.Case, r Trajectory) {
	t.Helper()
	if r.Optimizer != "adamw" {
		t.Fatalf("%s: there is no test for optimizer %q", c, r.Optimizer)
	}
	var plain, want []string
	for _, p := range m.Exec().Parameters() {
		if !p.Decay {
			plain = append(plain, p.Name)
		}
	}
	for _, name := range r.NoDecay {
		want = append(want, m.Place(name))
	}
	SameNames(t, c, "no_decay", plain, want)
}

// Finish ends a step.
func (m *Compiled) Finish(t *testing.T) {
	t.Helper()
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := m.MoveTeacher(); err != nil {
		t.Fatal(err)
	}
}

// Constants fails for a setting of the official code that the objective does not have as an option.
func Constants(t *testing.T, c *golden.Case, want map[string]float64) {
	t.Helper()
	fixed := map[string]any{}
	for key, v := range want {
		fixed[key] = v
	}
	c.Fixed(t, fixed)
}

// NodesOf lists the results of all nodes of an operator, in order.
func NodesOf(p *program.Compiler, op string) (specs []*plan.Node, nodes []*core.Node, err error) {
	for _, n := range p.Plan.Nodes {
		if n.Op != op {
			continue
		}
		out, err := p.Outputs(n.Name)
		if err != nil {
			return nil, nil, err
		}
		specs, nodes = append(specs, n), append(nodes, out[0])
	}
	return specs, nodes, nil
}

// ReadBy gives the first result of the node that an input reads.
func ReadBy(p *program.Compiler, n *plan.Node, input string) (*core.Node, error) {
	for _, a := range n.Inputs {
		if a.Name == input {
			out, err := p.Outputs(a.Ref.Name)
			if err != nil {
				return nil, err
			}
			return out[0], nil
		}
	}
	return nil, fmt.Errorf("node %s has no input %s", n.Name, input)
}
