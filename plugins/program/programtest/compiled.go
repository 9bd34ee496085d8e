package programtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Compiled is a real objective's plan, compiled, with every intermediate result that a case may
// hold.
type Compiled struct {
	*program.Runner
	Device *device.CPU
	Store  *param.Store
	// Place is the name in the store of a tensor of the reference, without "param." and "buffer.".
	Place func(name string) string
	// Out holds nodes under the names that their values have in the reference, or others that do
	// not begin with "out.".
	Out map[string]*core.Node
	// Rows holds results of the reference that are part of a node's: first and end row.
	Rows map[string][2]int
	// Values holds results that the test computes, instead of those of nodes: []int32, []int64 or
	// []float32.
	Values map[string]any

	kinds    []string
	t        *testing.T
	compiler *program.Compiler // while Extra runs
}

// Compilation says how an objective is opened and compiled for a case.
type Compilation struct {
	Opening
	Seed uint64
	// Place as in Compiled; nil finds official names in the backbone, or else in the head.
	Place  func(name string) string
	Change func(p *plan.Plan) // of the plan, before it is compiled; may be nil
	// Extra fills Out, Rows and Values of a model that is being compiled.
	Extra func(m *Compiled, p *program.Compiler)
	// Kinds are the prefixes of state in the reference; nil: param., teacher. and buffer.
	Kinds []string
}

// Compile opens the objective as a plugin process would, and compiles its plan.
func (o Compilation) Compile(t *testing.T) *Compiled {
	t.Helper()
	p := o.Plan(t)
	p.Requirements.DropPath = 0 // the reference has no stochastic depth
	if o.Change != nil {
		o.Change(p)
	}
	m := &Compiled{Device: devicetest.New(t, 0), Store: param.NewStore(), Place: o.Place, kinds: o.Kinds, t: t,
		Out: map[string]*core.Node{}, Rows: map[string][2]int{}, Values: map[string]any{}}
	if m.Place == nil {
		m.Place = m.official
	}
	if m.kinds == nil {
		m.kinds = []string{"param.", "teacher.", "buffer."}
	}
	var err error
	m.Runner, err = program.Build(m.Device, m.Store, p, o.Network, o.Batch, o.Seed, program.Options{
		Plugin: o.Objective.Info().Name, Train: true, TotalSteps: uint64(o.Total),
		Extra: func(p *program.Compiler) ([]*core.Node, error) {
			m.compiler = p
			o.Extra(m, p)
			m.compiler = nil
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

// official is the name in the store of an official name without prefixes.
func (m *Compiled) official(name string) string {
	if m.Store.Get(runs.BackbonePrefix+name) != nil {
		return runs.BackbonePrefix + name
	}
	return runs.HeadPrefix + name
}

// Parameter returns a parameter or buffer by its name in the reference, nil for none.
func (m *Compiled) Parameter(name string) *param.Parameter { return m.Store.Get(m.Place(name)) }

// Weights lists parameters as [InitialWeights] does.
func (m *Compiled) Weights() (func(name string) *param.Parameter, []*param.Parameter) {
	return m.Parameter, m.Student.Parameters()
}

// places are the names in the store of names of the reference.
func (m *Compiled) places(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = m.Place(n)
	}
	return out
}

// Show copies a tensor of the case into the input of a view; both must have the same shape.
func (m *Compiled) Show(t *testing.T, c *golden.Case, view, name string) {
	t.Helper()
	if s := c.Tensor(t, name).Shape; !s.Equal(m.ViewShape(view)) {
		t.Fatalf("%s: %s is %v, view %s of the plan is %v: the images do not fit the config", c, name, s, view, m.ViewShape(view))
	}
	copy(m.View(view), c.F32(t, name))
}

// ShowAll is Show for all views of the plan, "<prefix><number><suffix>".
func (m *Compiled) ShowAll(t *testing.T, c *golden.Case, prefix, suffix string) {
	t.Helper()
	for i, v := range m.Plan.Views {
		m.Show(t, c, v.Name, fmt.Sprintf("%s%d%s", prefix, i, suffix))
	}
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
	for _, kind := range m.kinds {
		for _, name := range c.Names(kind) {
			p, x := m.Parameter(Official(name)), c.Tensor(t, name)
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
		if !loaded[p.Name] && !p.Given {
			t.Errorf("%s: the file has no %s", c, p.Name)
		}
	}
}

// CompareState holds the store against every tensor "<prefix><kind>…". Buffers, the teacher and the
// changed parameters must be among them.
func (m *Compiled) CompareState(t *testing.T, c *golden.Case, prefix string, changed ...*param.Parameter) {
	t.Helper()
	seen := map[string]bool{}
	for _, kind := range m.kinds {
		for _, name := range c.Names(prefix + kind) {
			p := m.Parameter(Official(strings.TrimPrefix(name, prefix)))
			if p == nil {
				t.Errorf("%s: the model has no state for %s", c, name)
				continue
			}
			seen[p.Name] = true
			if c.Tensor(t, name).DType == tensor.I64 {
				CompareInts(t, c, name, Wide(p.Data))
			} else {
				c.Compare(t, name, p.Data)
			}
		}
	}
	for _, p := range append(m.copies(), changed...) {
		if !seen[p.Name] {
			t.Errorf("%s: %s of %s is not in the file", c, prefix, p.Name)
		}
	}
}

// copies lists the teacher's parameters, and buffers.
func (m *Compiled) copies() []*param.Parameter {
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
func (m *Compiled) CompareResults(t *testing.T, c *golden.Case, trainable, frozen []string) {
	t.Helper()
	RequireOutputs(t, c, m.outputs(), SortedKeys(m.Values)...)
	for _, name := range c.Names("out.") {
		switch v := m.Values[name].(type) {
		case []int32:
			CompareInts(t, c, name, v)
		case []int64:
			CompareInts(t, c, name, v)
		case []float32:
			c.Compare(t, name, v)
		case nil:
			m.compareNode(t, c, name)
		default:
			t.Errorf("%s: %s is a %T, which no comparison reads", c, name, v)
		}
	}
	c.CompareScalar(t, "loss", m.Loss())
	var trained, still []string
	for _, p := range m.Store.Parameters() {
		switch {
		case p.Given: // read from a file that is no part of the case
		case !p.Frozen:
			trained = append(trained, p.Name)
		case !strings.HasPrefix(p.Name, runs.TeacherPrefix) || slices.Contains(m.places(frozen), p.Name):
			still = append(still, p.Name) // some files list the teacher among the frozen ones
		}
	}
	SameNames(t, c, "trainable", trained, m.places(trainable))
	SameNames(t, c, "frozen", still, m.places(frozen))
	SameNames(t, c, "gradients", Stripped(c, "grad."), trainable)
	for _, name := range trainable {
		CompareGradient(t, c, m.Exec(), name, m.Parameter(name))
	}
}

// compareNode compares an output with the node of that name.
func (m *Compiled) compareNode(t *testing.T, c *golden.Case, name string) {
	t.Helper()
	n := m.Out[name]
	if n == nil {
		t.Errorf("%s: there is no test for %s", c, name)
		return
	}
	got := n.Value()
	if r, ok := m.Rows[name]; ok {
		row := len(got) / n.Shape()[0]
		got = got[r[0]*row : r[1]*row]
	}
	c.Compare(t, name, got)
}

// outputs lists the nodes that a case calls outputs; others are parts of the loss.
func (m *Compiled) outputs() map[string]*core.Node {
	out := maps.Clone(m.Out)
	maps.DeleteFunc(out, func(name string, _ *core.Node) bool { return !strings.HasPrefix(name, "out.") })
	return out
}

// Finish ends a step.
func (m *Compiled) Finish(t *testing.T) {
	t.Helper()
	must.Do(t, m.Commit())
	must.Do(t, m.MoveTeacher())
}

// Outputs are the results of a node of the program. Outputs, NodesOf and ReadBy serve
// [Compilation.Extra].
func (m *Compiled) Outputs(node string) []*core.Node {
	m.t.Helper()
	out, err := m.compiler.Outputs(node)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// NodesOf lists the nodes of an operator, in order, and the first result of each.
func (m *Compiled) NodesOf(op string) (specs []*plan.Node, nodes []*core.Node) {
	m.t.Helper()
	for _, n := range m.compiler.Plan.Nodes {
		if n.Op == op {
			specs, nodes = append(specs, n), append(nodes, m.Outputs(n.Name)[0])
		}
	}
	return specs, nodes
}

// ReadBy gives the first result of the node that an input reads.
func (m *Compiled) ReadBy(n *plan.Node, input string) *core.Node {
	m.t.Helper()
	for _, a := range n.Inputs {
		if a.Name == input {
			return m.Outputs(a.Ref.Name)[0]
		}
	}
	m.t.Fatalf("node %s has no input %s", n.Name, input)
	return nil
}
