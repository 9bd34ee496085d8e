package programtest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// ResNetConfig are the settings that all cases of a residual network have. Tests embed it in a
// struct with the settings of their objective.
type ResNetConfig struct {
	Block  string     `json:"block"`
	Layers [4]int     `json:"layers"`
	Stem   string     `json:"stem"`
	Width  int        `json:"width"`
	Batch  int        `json:"batch"`
	Sizes  [][2]int   `json:"sizes"` // of the views; one stands for all
	Opt    *SGDRecipe `json:"opt"`   // nil without training
}

// SGDRecipe is the training of a case.
type SGDRecipe struct {
	LR           float64 `json:"lr"`
	WeightDecay  float64 `json:"wd"`
	Momentum     float64 `json:"momentum"`
	Nesterov     bool    `json:"nesterov"`
	FixPredLR    bool    `json:"fix_pred_lr"`
	EncoderScale float64 `json:"enc_lr_mult"` // of the rate of all but the predictor, with FixPredLR
}

// ResNetCase is a case of an objective on a residual network, and how it is compiled and compared.
type ResNetCase struct {
	*golden.Case
	ResNetConfig
	// Compilation names objective, options and outputs; network, batch, place and kinds are the
	// case's.
	Compilation
	// Inputs are the values of a step besides the views; nil: none.
	Inputs func(m *Compiled) program.Inputs
	// Loss compares parts of the loss and metrics after the first step; nil: there are none.
	Loss func(m *Compiled)
	// Optimizer makes that of the training, SGD if nil.
	Optimizer func(m *Compiled, r *SGDRecipe) optim.Optimizer
	// Places are the names in the store of state that is no part of a network or head.
	Places map[string]string
	// Transposed lists state whose matrices lie transposed in the store.
	Transposed []string
	// Own lists state that lies in another form in the store, and is read and compared by LoadOwn
	// and CompareOwn; prefix is that of the state to compare with, such as after.
	Own        []string
	LoadOwn    func(m *Compiled) []*param.Parameter // that it filled
	CompareOwn func(t testing.TB, m *Compiled, prefix string)
}

// Run compares outputs, loss, gradients and state of one step, then the training.
func (r *ResNetCase) Run(t *testing.T) {
	t.Helper()
	images := r.Tensor(t, "input.view0").Shape
	if len(images) != 4 || len(r.Sizes) == 0 || r.Batch != images[0] || r.Sizes[0] != [2]int{images[2], images[3]} {
		t.Fatalf("%s: the config says %d images of %v, input.view0 is %v", r.Case, r.Batch, r.Sizes, images)
	}
	r.Network = cnn.Config{
		Name: "reference", ImageH: r.Sizes[0][0], ImageW: r.Sizes[0][1], Channels: images[1], Stem: cnn.Stem(r.Stem), Block: cnn.BlockKind(r.Block),
		Layers: r.Layers, Width: r.Width,
	}.Normalized()
	r.Compilation.Batch, r.Place, r.Seed = r.ResNetConfig.Batch, r.place, 1
	m := r.Compile(t)
	r.load(t, m)
	r.step(t, m, 0)
	RequireOutputs(t, r.Case, m.outputs(), SortedKeys(m.Values)...)
	for _, name := range r.Names("out.") {
		if v, ok := m.Values[name].([]float32); ok {
			r.Compare(t, name, v)
		} else {
			m.compareNode(t, r.Case, name)
		}
	}
	r.CompareScalar(t, "loss", m.Loss())
	if r.Loss != nil {
		r.Loss(m)
	}
	r.gradients(t, m)
	m.Finish(t)
	r.compareState(t, m, "after.")
	r.train(t)
}

// place finds the networks under their own prefixes, and everything else in heads and buffers.
func (r *ResNetCase) place(name string) string {
	if p, ok := r.Places[name]; ok {
		return p
	}
	rest, copied := strings.CutPrefix(name, runs.TeacherPrefix)
	teacher := ""
	if copied {
		teacher = runs.TeacherPrefix
	}
	switch {
	case strings.HasPrefix(rest, runs.BackbonePrefix):
		return name
	case IsStatistic(rest):
		return runs.BufferPrefix + name
	}
	return teacher + runs.HeadPrefix + rest
}

// values reads state of the case as it lies in the store.
func (r *ResNetCase) values(t testing.TB, name string, p *param.Parameter) []float32 {
	t.Helper()
	s, v := r.Tensor(t, name).Shape, Numbers(t, r.Case, name)
	_, base, _ := strings.Cut(name, "buffer.")
	if slices.Contains(r.Transposed, base) {
		v = transposed(v, s[0], s[1])
		s = tensor.Shape{s[1], s[0]}
	}
	if !s.Equal(p.Shape) {
		t.Fatalf("%s: %s is %v, the model has %v", r.Case, name, s, p.Shape)
	}
	return v
}

// transposed turns [rows, cols] into [cols, rows].
func transposed(x []float32, rows, cols int) []float32 {
	out := make([]float32, len(x))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = x[i*cols+j]
		}
	}
	return out
}

// stateKinds are the prefixes of state in a case.
var stateKinds = []string{"param.", "teacher.", "buffer."}

// load sets all state to the case's initial one. The reference has no counts of batches.
func (r *ResNetCase) load(t *testing.T, m *Compiled) {
	t.Helper()
	loaded := map[string]bool{}
	if r.LoadOwn != nil {
		for _, p := range r.LoadOwn(m) {
			loaded[p.Name] = true
		}
	}
	for _, kind := range stateKinds {
		for _, name := range r.Names(kind) {
			if slices.Contains(r.Own, name) {
				continue
			}
			p := m.Parameter(Official(name))
			if p == nil {
				t.Fatalf("%s: the model has no %s for %s", r.Case, m.Place(Official(name)), name)
			}
			copy(p.Data, r.values(t, name, p))
			loaded[p.Name] = true
		}
	}
	for _, p := range slices.Concat(m.Store.Parameters(), m.Store.Buffers()) {
		if !loaded[p.Name] && !strings.HasSuffix(p.Name, ".num_batches_tracked") {
			t.Errorf("%s: the file has no %s", r.Case, p.Name)
		}
	}
}

// step runs a step on the views of the case.
func (r *ResNetCase) step(t *testing.T, m *Compiled, s int) {
	t.Helper()
	m.ShowAll(t, r.Case, "input.view", "")
	in := program.Inputs{}
	if r.Inputs != nil {
		in = r.Inputs(m)
	}
	in.Step = uint64(s)
	Step(t, m.Runner, in)
}

// gradients compares all gradients, and which parameters have one.
func (r *ResNetCase) gradients(t *testing.T, m *Compiled) {
	t.Helper()
	var trained []string
	for _, p := range m.Store.Parameters() {
		if !p.Frozen {
			trained = append(trained, p.Name)
		}
	}
	names := Stripped(r.Case, "grad.")
	SameNames(t, r.Case, "gradients", trained, m.places(names))
	for _, name := range names {
		CompareGradient(t, r.Case, m.Exec(), name, m.Parameter(name))
	}
}

// compareState compares state "<prefix><kind>…" with the store. State that the case does not list
// has not changed.
func (r *ResNetCase) compareState(t testing.TB, m *Compiled, prefix string) {
	t.Helper()
	if r.CompareOwn != nil {
		r.CompareOwn(t, m, prefix)
	}
	for _, kind := range stateKinds {
		for _, initial := range r.Names(kind) {
			if slices.Contains(r.Own, initial) {
				continue
			}
			p, name := m.Parameter(Official(initial)), prefix+initial
			if !r.Has(name) {
				if !slices.Equal(p.Data, r.values(t, initial, p)) {
					t.Errorf("%s: %s has changed, and the file has no %s", r.Case, initial, name)
				}
				continue
			}
			got := p.Data
			if _, base, _ := strings.Cut(initial, "buffer."); slices.Contains(r.Transposed, base) {
				got = transposed(got, p.Shape[0], p.Shape[1])
			}
			if r.Tensor(t, name).DType == tensor.I64 {
				CompareInts(t, r.Case, name, Wide(got))
			} else {
				r.Compare(t, name, got)
			}
		}
	}
}

// train compares losses and state of the steps of training, from the initial state on.
func (r *ResNetCase) train(t *testing.T) {
	t.Helper()
	steps, err := strconv.Atoi(r.Meta["traj_steps"])
	if err != nil {
		t.Fatalf("%s: traj_steps: %v", r.Case, err)
	}
	if steps == 0 || r.Opt == nil {
		if steps > 0 || r.Opt != nil || len(r.Names("traj.")) > 0 {
			t.Fatalf("%s: the training of %d steps and its recipe contradict each other", r.Case, steps)
		}
		return
	}
	m := r.Compile(t)
	losses := r.trained(t, m, steps)
	quiet := &verdict{TB: t}
	if r.compareTraining(quiet, m, losses); quiet.failed && r.kink(t, m, losses) {
		t.Logf("%s: a ReLU input of the training lies nearer to zero than float32 is exact: the losses are %v, of the reference %v", r.Case, losses, r.F64(t, "traj.losses"))
		return
	}
	r.compareTraining(t, m, losses)
}

// kink reports whether a training that differs from the reference may do so by one ReLU alone. Where
// the input of one lies nearer to zero than float32 is exact, a gradient is one of two, both right,
// and the training goes one way or the other: the reference promises nothing for its trainings, and
// one unit moves a gradient by a hundredth at most. The losses of the first two steps must agree in
// full, and the loss that leaves the reference's does it by little; the steps after that cannot be
// compared. Where all losses agree, the training has moved each tensor as the reference has, but for
// a hundredth.
func (r *ResNetCase) kink(t *testing.T, m *Compiled, losses []float64) bool {
	t.Helper()
	const unit = 1e-3 // of a loss
	want := r.F64(t, "traj.losses")
	for s := range losses {
		quiet, all := &verdict{TB: t}, slices.Clone(want)
		all[s] = losses[s]
		if r.CompareFloat64(quiet, "traj.losses", all); quiet.failed {
			return s > 1 && math.Abs(losses[s]-want[s]) <= unit*math.Abs(want[s])
		}
	}
	for _, kind := range stateKinds {
		for _, initial := range r.Names(kind) {
			if name := "traj." + initial; r.Has(name) && !slices.Contains(r.Own, initial) && !r.movedAlike(t, m, initial, name) {
				return false
			}
		}
	}
	return true
}

// movedAlike reports whether a tensor has moved from its initial values as in the reference, but for
// a hundredth of the largest move.
func (r *ResNetCase) movedAlike(t *testing.T, m *Compiled, initial, name string) bool {
	t.Helper()
	p := m.Parameter(Official(initial))
	from, want, got := r.values(t, initial, p), r.values(t, name, p), p.Data
	move, off := 0.0, 0.0
	for i := range want {
		move, off = max(move, math.Abs(float64(want[i]-from[i]))), max(off, math.Abs(float64(got[i]-want[i])))
	}
	return off <= .01*move
}

// verdict is a test that only notes that it failed.
type verdict struct {
	testing.TB
	failed bool
}

func (v *verdict) Helper()               {}
func (v *verdict) Errorf(string, ...any) { v.failed = true }

// trained takes the steps of the case's training and returns their losses.
func (r *ResNetCase) trained(t *testing.T, m *Compiled, steps int) []float64 {
	t.Helper()
	recipe := *r.Opt
	r.load(t, m)
	var optimizer optim.Optimizer = optim.NewSGD(m.Device, optim.SGDOptions{Momentum: recipe.Momentum, Nesterov: recipe.Nesterov})
	if r.Optimizer != nil {
		optimizer = r.Optimizer(m, r.Opt)
	}
	rate := recipe.LR
	if recipe.FixPredLR {
		rate *= recipe.EncoderScale
	}
	var losses []float64
	for s := range steps {
		r.step(t, m, s)
		losses = append(losses, m.Loss())
		optimizer.Step(m.Exec().Parameters(), optim.Active(m.Exec().Grad, s), optim.Rate{Now: rate, Peak: recipe.LR}, recipe.WeightDecay)
		m.Finish(t)
	}
	return losses
}

// compareTraining compares the losses and the last state of a training.
func (r *ResNetCase) compareTraining(t testing.TB, m *Compiled, losses []float64) {
	t.Helper()
	r.CompareFloat64(t, "traj.losses", losses)
	r.compareState(t, m, "traj.")
}

// Linear names the results of linear layers, in the order of the program: layer "projector.3" of the
// first call is name(0).
func (m *Compiled) Linear(layer string, names ...string) {
	m.t.Helper()
	specs, nodes := m.NodesOf("linear")
	i := 0
	for at, n := range specs {
		if n.Inputs[1].Ref.Name == layer+".weight" && i < len(names) {
			m.Out[names[i]] = nodes[at]
			i++
		}
	}
	if i < len(names) {
		m.t.Fatal(fmt.Errorf("the program has %d calls of %s, not %d", i, layer, len(names)))
	}
}
