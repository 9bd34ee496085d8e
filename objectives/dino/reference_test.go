package dino_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/dino"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// TestReference runs every file of the reference folder. The config of a file selects its test; a
// file without one fails.
func TestReference(t *testing.T) {
	programtest.Reference(t, "dino", func(t *testing.T, path string) {
		switch golden.Name(path) {
		case "dino/init_stats":
			programtest.InitStatistics(t, path, dinoWeights)
			return
		case "dino/augmentation":
			dinoAugmentations(t, path)
			return
		}
		c := golden.Whole(t, path)
		var kind struct {
			Objective string `json:"objective"`
		}
		c.ConfigInto(t, &kind)
		switch kind.Objective {
		case "dino":
			dinoCase(t, c)
		default:
			t.Fatalf("%s: there is no test for a case of objective %q", path, kind.Objective)
		}
	})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "dino", []programtest.Refusal{
		{Name: "another statistic", File: "b_bn_head", Edit: programtest.Set("bn_eps", 1e-3), Want: "bn_eps"},
		{Name: "unknown key", File: "b_bn_head", Edit: programtest.Set("koleo", .1), Want: "koleo"},
	})
}

// dinoConfig describes a case of the reference.
type dinoConfig struct {
	programtest.NetworkConfig
	GlobalSize      int             `json:"global_size"`
	LocalSize       int             `json:"local_size"`
	Locals          int             `json:"n_local"`
	OutDim          int             `json:"out_dim"`
	Layers          int             `json:"head_layers"`
	Hidden          int             `json:"head_hidden"`
	Bottleneck      int             `json:"head_bottleneck"`
	BatchNorm       bool            `json:"head_bn"`
	NormLast        bool            `json:"norm_last_layer"`
	StudentTemp     float64         `json:"student_temp"`
	TeacherTemp     float64         `json:"teacher_temp"`
	CenterMomentum  float64         `json:"center_momentum"`
	TeacherMomentum float64         `json:"teacher_momentum"`
	BNMomentum      *float64        `json:"bn_momentum"`
	BNEps           *float64        `json:"bn_eps"`
	NormalizeEps    *float64        `json:"normalize_eps"`
	Trajectory      *dinoTrajectory `json:"traj"`
}

// dinoTrajectory is the training recipe of a case.
type dinoTrajectory struct {
	programtest.Trajectory
	WeightDecayEnd   float64 `json:"weight_decay_end"`
	Clip             float64 `json:"clip_grad"`
	FreezeLast       float64 `json:"freeze_last_layer"`
	Momentum         float64 `json:"momentum_teacher"`
	WarmupTemp       float64 `json:"warmup_teacher_temp"`
	TeacherTemp      float64 `json:"teacher_temp"`
	WarmupTempEpochs int     `json:"warmup_teacher_temp_epochs"`
}

// options are those of the objective for one step, or for the trajectory.
func (c dinoConfig) options(r *dinoTrajectory) map[string]any {
	o := map[string]any{
		"out_dim": c.OutDim, "head_layers": c.Layers, "head_bn": c.BatchNorm, "norm_last_layer": c.NormLast, "head_bottleneck": c.Bottleneck,
		"local_crops": c.Locals, "center_momentum": c.CenterMomentum, "student_temp": c.StudentTemp,
		"teacher_temp": c.TeacherTemp, "teacher_momentum": c.TeacherMomentum, "drop_path": 0, // the reference has no stochastic depth
	}
	for key, v := range map[string]int{"head_hidden": c.Hidden, "global_size": c.GlobalSize, "local_size": c.LocalSize} {
		if v > 0 { // a head of one layer has no hidden ones, a case without local crops no size of them
			o[key] = v
		}
	}
	if r != nil {
		o["teacher_temp"], o["warmup_teacher_temp"], o["warmup_teacher_temp_epochs"] = r.TeacherTemp, r.WarmupTemp, r.WarmupTempEpochs
		o["teacher_momentum"], o["freeze_last_layer"] = r.Momentum, r.FreezeLast
	}
	return o
}

// dinoModel is the real objective's plan, compiled, with every intermediate result that a case may
// hold.
type dinoModel struct {
	*program.Runner
	engine *device.CPU
	store  *param.Store
	out    map[string]*core.Node
	pairs  *core.Node
}

// newDINO opens the objective as a plugin process would, and compiles its plan.
func newDINO(t *testing.T, c dinoConfig, channels int, r *dinoTrajectory, seed uint64) *dinoModel {
	t.Helper()
	o := programtest.Opening{Objective: dino.New(), Options: c.options(r), Network: c.ViT(channels, vit.PosLearned), Batch: c.Batch, Total: 10}
	if r != nil {
		o.PerEpoch, o.Total = r.ItersPerEpoch, r.ItersPerEpoch*int(r.Epochs)
	}
	m := &dinoModel{engine: devicetest.New(t, 0), store: param.NewStore(), out: map[string]*core.Node{}}
	var err error
	m.Runner, err = program.Build(m.engine, m.store, o.Plan(t), o.Network, c.Batch, seed, program.Options{
		Plugin: "dino", Train: true, TotalSteps: uint64(o.Total), Extra: m.extra,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// extra names the nodes that the reference has values of.
func (m *dinoModel) extra(p *program.Compiler) ([]*core.Node, error) {
	for _, spec := range p.Plan.Passes {
		pass, err := programtest.ViTPass(p, spec.Name)
		if err != nil {
			return nil, err
		}
		if spec.Network == plan.NetworkTeacher {
			if m.out["out.teacher_cls"], err = pass.Class(); err != nil {
				return nil, err
			}
			continue
		}
		m.out[fmt.Sprintf("out.student_pos_embed.size%d", p.ViewNode(spec.Views[0]).Shape()[2])] = pass.Positions
		kind := "global"
		if spec.Views[0] != p.Plan.Views[0].Name {
			kind = "local"
		} else if m.out["out.student_cls"], err = pass.Class(); err != nil {
			return nil, err
		}
		for i, block := range pass.Blocks {
			m.out[fmt.Sprintf("out.student_block_%s.%d", kind, i)] = block
			m.out[fmt.Sprintf("out.student_attn_%s.%d", kind, i)] = programtest.Attention(pass, i)
		}
	}
	who := []string{"student", "teacher"} // the student's head comes first
	normed := map[string]bool{}
	for _, n := range p.Plan.Nodes {
		nodes, err := p.Outputs(n.Name)
		if err != nil {
			return nil, err
		}
		switch n.Op {
		case "concat":
			m.out["out.student_cls"] = nodes[0]
		case "l2_normalize": // its input is the bottleneck
			if nodes, err = p.Outputs(n.Inputs[0].Ref.Name); err != nil {
				return nil, err
			}
			m.out["out."+who[0]+"_bottleneck"] = nodes[0]
		case "weight_norm":
			normed[n.Name] = true
		case "linear":
			if normed[n.Inputs[1].Ref.Name] {
				m.out["out."+who[0]+"_logits"] = nodes[0]
				who = who[1:]
			}
		case "softmax":
			m.out["out.teacher_probs"] = nodes[0]
		case "view_cross_entropy":
			m.pairs = nodes[1]
		}
	}
	all := []*core.Node{m.pairs}
	for _, name := range programtest.SortedKeys(m.out) {
		all = append(all, m.out[name])
	}
	return all, nil
}

// stateName is the name in the store of a parameter, a teacher's copy or a buffer of the reference.
func stateName(name string) string {
	if strings.HasPrefix(name, "param.") {
		return strings.TrimPrefix(name, "param.")
	}
	running := slices.ContainsFunc([]string{".running_mean", ".running_var", ".num_batches_tracked"}, func(s string) bool { return strings.HasSuffix(name, s) })
	switch {
	case name == "center":
		return runs.BufferPrefix + name
	case running && strings.HasPrefix(name, "teacher."):
		return runs.BufferPrefix + "teacher." + strings.TrimPrefix(name, "teacher.head.")
	case running:
		return runs.BufferPrefix + strings.TrimPrefix(name, "buffer.head.")
	}
	return name
}

// load sets all state to the case's initial one; both sides must have the same names and shapes.
func (m *dinoModel) load(t *testing.T, c *golden.Case) {
	t.Helper()
	loaded := map[string]bool{}
	for _, prefix := range []string{"param.", "teacher.", "buffer."} {
		for _, name := range c.Names(prefix) {
			p, x := m.store.Get(stateName(name)), c.Tensor(t, name)
			if p == nil {
				t.Fatalf("%s: the model has no %s (%s)", c, stateName(name), name)
			}
			if !x.Shape.Equal(p.Shape) {
				t.Fatalf("%s: %s is %v, the model has %v", c, name, x.Shape, p.Shape)
			}
			copy(p.Data, programtest.Numbers(t, c, name))
			loaded[p.Name] = true
		}
	}
	for _, p := range append(m.store.Parameters(), m.store.Buffers()...) {
		if !loaded[p.Name] {
			t.Errorf("%s: the file has no %s", c, p.Name)
		}
	}
}

// compareState holds state of the store against "<prefix><name>". Everything that the step changes
// must be there: all buffers, all copies of the teacher, and those named in changed.
func (m *dinoModel) compareState(t *testing.T, c *golden.Case, prefix string, changed ...*param.Parameter) {
	t.Helper()
	seen := map[string]bool{}
	for _, kind := range []string{"param.", "teacher.", "buffer.", "center"} {
		for _, name := range c.Names(prefix + kind) {
			p := m.store.Get(stateName(strings.TrimPrefix(name, prefix)))
			if p == nil {
				t.Errorf("%s: the model has no state for %s", c, name)
				continue
			}
			seen[p.Name] = true
			if c.Tensor(t, name).DType == tensor.I64 {
				programtest.CompareInts(t, c, name, programtest.Wide(p.Data))
			} else {
				c.Compare(t, golden.ViT, name, p.Data)
			}
		}
	}
	changed = append(changed, m.store.Buffers()...)
	for _, p := range append(changed, m.store.Parameters()...) {
		if !seen[p.Name] && (!strings.HasPrefix(p.Name, runs.BackbonePrefix) && !strings.HasPrefix(p.Name, runs.HeadPrefix) || slices.Contains(changed, p)) {
			t.Errorf("%s: the file has no %s of %s", c, prefix, p.Name)
		}
	}
}

// step runs one step on views "<prefix>view<v><suffix>".
func (m *dinoModel) step(t *testing.T, c *golden.Case, suffix string, step uint64) {
	t.Helper()
	prefix := "input."
	if suffix != "" {
		prefix = "traj.input."
	}
	views := m.Plan.Views
	for i, v := range views {
		name := fmt.Sprintf("%sview%d%s", prefix, i, suffix)
		if s := c.Tensor(t, name).Shape; !s.Equal(m.ViewShape(v.Name)) {
			t.Fatalf("%s: %s is %v, the plan has %v", c, name, s, m.ViewShape(v.Name))
		}
		copy(m.View(v.Name), c.F32(t, name))
	}
	programtest.Step(t, m.Runner, program.Inputs{Step: step})
}

// dinoViews are the large crops.
const dinoViews = 2

func dinoCase(t *testing.T, c *golden.Case) {
	var cfg dinoConfig
	c.ConfigInto(t, &cfg)
	for what, v := range map[string]*float64{"bn_momentum .1": cfg.BNMomentum, "bn_eps 1e-05": cfg.BNEps, "normalize_eps 1e-12": cfg.NormalizeEps} {
		var want float64
		var key string
		if _, err := fmt.Sscan(what, &key, &want); err != nil {
			t.Fatal(err)
		}
		if v != nil && *v != want {
			t.Fatalf("%s: %s is %g; the official head has %g", c, key, *v, want)
		}
	}
	known := []string{"param.", "teacher.", "buffer.", "out.", "loss", "loss.pair.", "grad.", "after.teacher.", "after.buffer.", "after.center",
		"traj.param.", "traj.teacher.", "traj.buffer.", "traj.center", "traj.losses", "traj.lr", "traj.wd", "traj.momentum", "traj.teacher_temp",
		"traj.clipped_count", "traj.grad_norm"}
	for v := range dinoViews + cfg.Locals {
		known = append(known, fmt.Sprintf("input.view%d", v), fmt.Sprintf("traj.input.view%d.", v))
	}
	programtest.ReadsAll(t, c, known...)
	images := c.Tensor(t, "input.view0")
	if cfg.Batch != images.Shape[0] {
		t.Fatalf("%s: batch %d, images %v", c, cfg.Batch, images.Shape)
	}
	m := newDINO(t, cfg, images.Shape[1], nil, 1)
	m.load(t, c)
	m.step(t, c, "", 0)

	programtest.RequireOutputs(t, c, m.out)
	for _, name := range c.Names("out.") {
		if m.out[name] == nil {
			t.Errorf("%s: there is no test for %s", c, name)
			continue
		}
		c.Compare(t, golden.ViT, name, m.out[name].Value())
	}
	c.CompareScalar(t, golden.ViT, "loss", m.Loss())
	m.comparePairs(t, c)
	m.compareMetrics(t)

	var trained, frozen []string
	for _, p := range programtest.StudentParameters(m.Runner, m.store) {
		if p.Frozen {
			frozen = append(frozen, p.Name)
		} else {
			trained = append(trained, p.Name)
		}
	}
	programtest.SameNames(t, c, "trainable", trained, cfg.Trainable)
	programtest.SameNames(t, c, "frozen", frozen, cfg.Frozen)
	programtest.SameNames(t, c, "gradients", programtest.Stripped(c.Names("grad."), "grad."), cfg.Trainable)
	for _, name := range cfg.Trainable {
		programtest.CompareGradient(t, c, m.Exec(), name, m.store.Get(name))
	}

	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := m.MoveTeacher(); err != nil {
		t.Fatal(err)
	}
	m.compareState(t, c, "after.")
	if cfg.Trajectory != nil {
		dinoTrain(t, c, cfg, images.Shape[1])
	} else if n := c.Names("traj."); len(n) > 0 {
		t.Errorf("%s: there is a trajectory and no recipe for it", c)
	}
}

// comparePairs holds the loss of every pair of views against the reference's.
func (m *dinoModel) comparePairs(t *testing.T, c *golden.Case) {
	t.Helper()
	views := m.pairs.Shape()[1]
	var names []string
	for i, v := range m.pairs.Value() {
		if i/views != i%views {
			name := fmt.Sprintf("loss.pair.t%d.s%d", i/views, i%views)
			c.CompareScalar(t, golden.ViT, name, float64(v))
			names = append(names, name)
		}
	}
	programtest.SameNames(t, c, "pairs", names, c.Names("loss.pair."))
}

// compareMetrics computes the teacher's entropy and KL from its distributions.
func (m *dinoModel) compareMetrics(t *testing.T) {
	t.Helper()
	q := m.out["out.teacher_probs"]
	if q == nil || q.Value() == nil {
		t.Fatal("the program has no distributions of the teacher")
	}
	entropy := entropyOf(programtest.Wide(q.Value())) / float64(q.Shape()[0])
	programtest.Near(t, "teacher_entropy", m.Metrics()["teacher_entropy"], entropy, 1e-5*entropy)
	programtest.Near(t, "kl", m.Metrics()["kl"], m.Loss()-entropy, 1e-5*m.Loss())
}

// dinoTrain trains for some steps from the initial state.
func dinoTrain(t *testing.T, c *golden.Case, cfg dinoConfig, channels int) {
	t.Helper()
	r := cfg.Trajectory
	if r.Optimizer != "adamw" {
		t.Fatalf("%s: there is no test for optimizer %q", c, r.Optimizer)
	}
	m := newDINO(t, cfg, channels, r, 1)
	m.load(t, c)
	params := m.Exec().Parameters()
	var plain []string
	for _, p := range params {
		if !p.Decay {
			plain = append(plain, p.Name)
		}
	}
	programtest.SameNames(t, c, "no_decay", plain, r.NoDecay)

	perEpoch := float64(r.ItersPerEpoch)
	total := int(r.Epochs * perEpoch)
	rate := optim.Cosine{Base: r.LR, Final: r.MinLR, Warmup: int(r.WarmupEpochs * perEpoch), Total: total}
	decay := optim.Cosine{Base: r.WeightDecay, Final: r.WeightDecayEnd, Total: total}
	optimizer := optim.NewAdamW(m.engine, optim.AdamWOptions{Beta1: r.Betas[0], Beta2: r.Betas[1], Eps: r.Eps})
	got := map[string][]float64{}
	add := func(name string, v float64) { got["traj."+name] = append(got["traj."+name], v) }
	for s := range r.Steps {
		it := r.FirstIteration + s
		m.step(t, c, fmt.Sprintf(".%d", s), uint64(it))
		add("losses", m.Loss())
		add("lr", rate.At(it))
		add("wd", decay.At(it))
		sharpness, _ := m.Scalar("teacher_sharpness")
		add("teacher_temp", 1/sharpness)
		momentum, _ := m.Scalar("teacher_momentum")
		add("momentum", momentum)
		norm, clipped := optim.ClipPerTensor(m.engine, params, m.Exec().Grad, r.Clip)
		add("clipped_count", float64(clipped))
		add("grad_norm", norm)
		optimizer.Step(params, optim.Active(m.Exec().Grad, it), rate.At(it), decay.At(it))
		if err := m.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := m.MoveTeacher(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range programtest.SortedKeys(got) {
		if name != "traj.grad_norm" || c.Has(name) {
			c.CompareFloat64(t, golden.ViT, name, got[name])
		}
	}
	m.compareState(t, c, "traj.", params...)
}

// entropyOf is -Σ q·log q.
func entropyOf(q []float64) float64 {
	h := 0.0
	for _, v := range q {
		if v > 0 {
			h -= v * math.Log(v)
		}
	}
	return h
}

// dinoAugmentations compares the two large crops and one for all small ones, which are made alike.
func dinoAugmentations(t *testing.T, path string) {
	var want struct {
		Locals int `json:"local_crops_number_default"`
	}
	golden.ReadJSON(t, path, &want)
	programtest.Augmentations(t, path, dino.New(), func(p *plan.Plan) []*plan.View {
		kinds, locals := p.Views[:dinoViews+1], p.Views[dinoViews:]
		if len(locals) != want.Locals {
			t.Errorf("%d small crops, the reference has %d", len(locals), want.Locals)
		}
		for _, v := range locals[1:] {
			named := *v
			named.Name = locals[0].Name
			if !reflect.DeepEqual(&named, locals[0]) {
				t.Errorf("%s and %s are made differently", v.Name, locals[0].Name)
			}
		}
		return kinds
	})
}

func dinoWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg dinoConfig
	stats.Decode(t, &cfg)
	// The initial weights depend on none of these.
	cfg.Batch, cfg.StudentTemp, cfg.TeacherTemp = 2, .1, .04
	m := newDINO(t, cfg, channels, nil, seed)
	return m.store.Get, m.Student.Parameters()
}
