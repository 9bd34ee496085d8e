package program_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// opened is a real objective's plan, compiled, with every intermediate result that a case may hold. It serves the
// objectives with a teacher and running statistics.
type opened struct {
	*program.Model
	engine *device.CPU
	store  *param.Store
	// place is where the store keeps what the reference calls so, without "param." and "buffer.".
	place func(name string) string
	out   map[string]*core.Node
	// rows holds results of the reference that are part of a node's: first and end row.
	rows map[string][2]int
}

// opening says how an objective is opened for a case.
type opening struct {
	objective sdk.Objective
	options   map[string]any
	network   vit.Config
	batch     int
	total     int // steps of the run
	seed      uint64
	place     func(name string) string
	change    func(plan *pb.Plan)
	extra     func(m *opened, p *program.Model) error
}

// open opens the objective as a plugin process would, and compiles its plan.
func (o opening) open(t *testing.T) *opened {
	t.Helper()
	options, err := json.Marshal(o.options)
	if err != nil {
		t.Fatal(err)
	}
	server, err := sdk.NewServer(o.objective, nil)
	if err != nil {
		t.Fatal(err)
	}
	channels := o.network.Channels
	plan, err := server.Open(context.Background(), &pb.OpenRequest{
		ConfigJson: options, Seed: 1, Batch: uint32(o.batch), TotalSteps: uint64(o.total), StepsPerEpoch: 5, DatasetSize: 100, WorldSize: 1,
		Backbone: program.BackboneInfo(o.network, make([]float64, channels), slices.Repeat([]float64{1}, channels)),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan.Backbone.DropPath = 0 // the reference has no stochastic depth
	if o.change != nil {
		o.change(plan)
	}
	m := &opened{engine: newEngine(t), store: param.NewStore(), place: o.place, out: map[string]*core.Node{}, rows: map[string][2]int{}}
	m.Model, err = program.Build(m.engine, m.store, plan, o.network, o.batch, o.seed, program.Options{
		Plugin: o.objective.Info().Name, Train: true, TotalSteps: uint64(o.total),
		Extra: func(p *program.Model) ([]*core.Node, error) {
			if err := o.extra(m, p); err != nil {
				return nil, err
			}
			var all []*core.Node
			for _, name := range sortedKeys(m.out) {
				all = append(all, m.out[name])
			}
			return all, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// isStatistic tells state of a batch norm from a weight.
func isStatistic(name string) bool {
	return slices.ContainsFunc([]string{".running_mean", ".running_var", ".num_batches_tracked"}, func(s string) bool { return strings.HasSuffix(name, s) })
}

// official cuts what the reference puts before the official name.
func official(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "param."), "buffer.")
}

// load sets all state to the case's initial one; both sides must have the same names and shapes.
func (m *opened) load(t *testing.T, c *golden.Case) {
	t.Helper()
	loaded := map[string]bool{}
	for _, prefix := range []string{"param.", "teacher.", "buffer."} {
		for _, name := range c.Names(prefix) {
			p, x := m.store.Get(m.place(official(name))), c.Tensor(t, name)
			if p == nil {
				t.Fatalf("%s: the model has no %s for %s", c, m.place(official(name)), name)
			}
			if !x.Shape.Equal(p.Shape) {
				t.Fatalf("%s: %s is %v, the model has %v", c, name, x.Shape, p.Shape)
			}
			copy(p.Data, numbers(t, c, name))
			loaded[p.Name] = true
		}
	}
	for _, p := range append(m.store.Parameters(), m.store.Buffers()...) {
		if !loaded[p.Name] {
			t.Errorf("%s: the file has no %s", c, p.Name)
		}
	}
}

// compareState holds the store against every tensor "<prefix><kind>…". All that must be named is.
func (m *opened) compareState(t *testing.T, c *golden.Case, prefix string, kinds []string, all []*param.Parameter) {
	t.Helper()
	seen := map[string]bool{}
	for _, kind := range kinds {
		for _, name := range c.Names(prefix + kind) {
			p := m.store.Get(m.place(official(strings.TrimPrefix(name, prefix))))
			if p == nil {
				t.Errorf("%s: the model has no state for %s", c, name)
				continue
			}
			seen[p.Name] = true
			if c.Tensor(t, name).DType == tensor.I64 {
				compareInts(t, c, name, wide(p.Data))
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

// copies lists the teacher's parameters, and buffers.
func (m *opened) copies() []*param.Parameter {
	out := m.store.Buffers()
	for _, p := range m.store.Parameters() {
		if strings.HasPrefix(p.Name, runs.TeacherPrefix) {
			out = append(out, p)
		}
	}
	return out
}

// compareResults holds every output and gradient, and which parameters are trained, against the case.
func (m *opened) compareResults(t *testing.T, c *golden.Case, cfg networkConfig) {
	t.Helper()
	requireOutputs(t, c, m.outputs())
	for _, name := range c.Names("out.") {
		n := m.out[name]
		if n == nil {
			t.Errorf("%s: there is no test for %s", c, name)
			continue
		}
		got := n.Value()
		if r, ok := m.rows[name]; ok {
			row := len(got) / n.Shape()[0]
			got = got[r[0]*row : r[1]*row]
		}
		c.Compare(t, golden.ViT, name, got)
	}
	c.CompareScalar(t, golden.ViT, "loss", m.Loss())
	places := func(names []string) []string {
		out := make([]string, len(names))
		for i, n := range names {
			out[i] = m.place(n)
		}
		return out
	}
	var trained, frozen []string
	for _, p := range m.store.Parameters() {
		switch {
		case !p.Frozen:
			trained = append(trained, p.Name)
		case !strings.HasPrefix(p.Name, runs.TeacherPrefix) || slices.ContainsFunc(cfg.Frozen, func(n string) bool { return m.place(n) == p.Name }):
			frozen = append(frozen, p.Name) // some files list the teacher among the frozen ones
		}
	}
	sameNames(t, c, "trainable", trained, places(cfg.Trainable))
	sameNames(t, c, "frozen", frozen, places(cfg.Frozen))
	sameNames(t, c, "gradients", stripped(c.Names("grad."), "grad."), cfg.Trainable)
	for _, name := range cfg.Trainable {
		compareGradient(t, c, m.Exec(), name, m.store.Get(m.place(name)))
	}
}

// outputs lists the nodes that a case calls outputs; others are parts of the loss.
func (m *opened) outputs() map[string]*core.Node {
	out := map[string]*core.Node{}
	for name, n := range m.out {
		if strings.HasPrefix(name, "out.") {
			out[name] = n
		}
	}
	return out
}

// comparePlain holds what does not decay against the recipe's list.
func (m *opened) comparePlain(t *testing.T, c *golden.Case, r trajectory) {
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
		want = append(want, m.place(name))
	}
	sameNames(t, c, "no_decay", plain, want)
}

// finish ends a step.
func (m *opened) finish(t *testing.T) {
	t.Helper()
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := m.AfterStep(); err != nil {
		t.Fatal(err)
	}
}

// constants fails for a setting of the official code that the objective does not have as an option.
func constants(t *testing.T, c *golden.Case, want map[string]float64) {
	t.Helper()
	fixed := map[string]any{}
	for key, v := range want {
		fixed[key] = v
	}
	c.Fixed(t, fixed)
}

// nodesOf lists the results of all nodes of an operator, in order.
func nodesOf(p *program.Model, op string) (specs []*pb.Node, nodes []*core.Node, err error) {
	for _, n := range p.Plan.GetNodes() {
		if n.GetOp() != op {
			continue
		}
		out, err := p.Outputs(n.GetName())
		if err != nil {
			return nil, nil, err
		}
		specs, nodes = append(specs, n), append(nodes, out[0])
	}
	return specs, nodes, nil
}

// readBy gives the first result of the node that an input reads.
func readBy(p *program.Model, n *pb.Node, input string) (*core.Node, error) {
	for _, a := range n.GetInputs() {
		if a.GetName() == input {
			out, err := p.Outputs(a.GetRef().GetNode())
			if err != nil {
				return nil, err
			}
			return out[0], nil
		}
	}
	return nil, fmt.Errorf("node %s has no input %s", n.GetName(), input)
}
