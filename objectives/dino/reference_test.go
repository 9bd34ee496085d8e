package dino_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/dino"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/vit"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "dino", map[string]func(*testing.T, string){
		"init_stats":   func(t *testing.T, path string) { programtest.InitStatistics(t, path, dinoWeights) },
		"augmentation": dinoAugmentations,
	}, map[string]func(*testing.T, *golden.Case){"dino": dinoCase})
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
	Trajectory      *dinoTrajectory `json:"traj"`
}

// dinoTrajectory is the training recipe of a case.
type dinoTrajectory struct {
	programtest.Trajectory
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

// openDINO compiles the plan for one step, or for the trajectory.
func openDINO(t *testing.T, c dinoConfig, channels int, r *dinoTrajectory, seed uint64) *programtest.Compiled {
	t.Helper()
	o := programtest.Compilation{
		Opening: programtest.Opening{Objective: dino.New(), Options: c.options(r), Network: c.ViT(channels, vit.PosLearned), Batch: c.Batch, Total: 10},
		Seed:    seed, Place: dinoPlace, Extra: dinoResults, Kinds: []string{"param.", "teacher.", "buffer.", "center"},
	}
	if r != nil {
		o.PerEpoch, o.Total = r.ItersPerEpoch, r.ItersPerEpoch*int(r.Epochs)
	}
	return o.Compile(t)
}

// dinoResults names the nodes that the reference has values of, and "pairs", the losses of all pairs
// of views.
func dinoResults(m *programtest.Compiled, p *program.Compiler) {
	for _, spec := range p.Plan.Passes {
		pass := m.ViTPass(spec.Name)
		if spec.Network == plan.NetworkTeacher {
			m.Out["out.teacher_cls"] = m.Class(pass)
			continue
		}
		m.Out[fmt.Sprintf("out.student_pos_embed.size%d", p.ViewNode(spec.Views[0]).Shape()[2])] = pass.Positions
		kind := "local"
		if spec.Views[0] == p.Plan.Views[0].Name {
			kind = "global"
			m.Out["out.student_cls"] = m.Class(pass)
		}
		m.ViTBlocks(pass, "out.student_block_"+kind+".%d", "out.student_attn_"+kind+".%d")
	}
	who := []string{"student", "teacher"} // the student's head comes first
	normed := map[string]bool{}
	for _, n := range p.Plan.Nodes {
		nodes := m.Outputs(n.Name)
		switch n.Op {
		case "concat":
			m.Out["out.student_cls"] = nodes[0]
		case "l2_normalize": // its input is the bottleneck
			m.Out["out."+who[0]+"_bottleneck"] = m.Outputs(n.Inputs[0].Ref.Name)[0]
		case "weight_norm":
			normed[n.Name] = true
		case "linear":
			if normed[n.Inputs[1].Ref.Name] {
				m.Out["out."+who[0]+"_logits"] = nodes[0]
				who = who[1:]
			}
		case "softmax":
			m.Out["out.teacher_probs"] = nodes[0]
		case "view_cross_entropy":
			m.Out["pairs"] = nodes[1]
		}
	}
}

// dinoPlace keeps the names of the official code, but for the state of heads.
func dinoPlace(name string) string {
	rest, teacher := strings.CutPrefix(name, runs.TeacherPrefix)
	switch rest = strings.TrimPrefix(rest, runs.HeadPrefix); {
	case name == "center":
		return runs.BufferPrefix + name
	case programtest.IsStatistic(name) && teacher:
		return runs.BufferPrefix + runs.TeacherPrefix + rest
	case programtest.IsStatistic(name):
		return runs.BufferPrefix + rest
	}
	return name
}

// dinoViews are the large crops.
const dinoViews = 2

func dinoCase(t *testing.T, c *golden.Case) {
	var cfg dinoConfig
	c.ConfigInto(t, &cfg)
	c.Fixed(t, map[string]any{"bn_momentum": .1, "bn_eps": 1e-5, "normalize_eps": 1e-12})
	channels := c.Tensor(t, "input.view0").Shape[1]
	m := openDINO(t, cfg, channels, nil, 1)
	m.Load(t, c)
	m.ShowAll(t, c, "input.view", "")
	programtest.Step(t, m.Runner, program.Inputs{})
	m.CompareResults(t, c, cfg.Trainable, cfg.Frozen)
	comparePairs(t, c, m.Out["pairs"])
	compareMetrics(t, m)
	m.Finish(t)
	m.CompareState(t, c, "after.")
	if r := cfg.Trajectory; r != nil {
		dinoTrain(t, c, openDINO(t, cfg, channels, r, 1), r)
	}
}

// comparePairs holds the loss of every pair of views against the reference's.
func comparePairs(t *testing.T, c *golden.Case, pairs *core.Node) {
	t.Helper()
	views := pairs.Shape()[1]
	var names []string
	for i, v := range pairs.Value() {
		if i/views != i%views {
			name := fmt.Sprintf("loss.pair.t%d.s%d", i/views, i%views)
			c.CompareScalar(t, name, float64(v))
			names = append(names, name)
		}
	}
	programtest.SameNames(t, c, "pairs", names, c.Names("loss.pair."))
}

// compareMetrics computes the teacher's entropy and KL from its distributions.
func compareMetrics(t *testing.T, m *programtest.Compiled) {
	t.Helper()
	q := m.Out["out.teacher_probs"]
	if q == nil || q.Value() == nil {
		t.Fatal("the program has no distributions of the teacher")
	}
	entropy := entropyOf(programtest.Wide(q.Value())) / float64(q.Shape()[0])
	programtest.Near(t, "teacher_entropy", m.Metrics()["teacher_entropy"], entropy, 1e-5*entropy)
	programtest.Near(t, "kl", m.Metrics()["kl"], m.Loss()-entropy, 1e-5*m.Loss())
}

// dinoTrain trains for some steps from the initial state.
func dinoTrain(t *testing.T, c *golden.Case, m *programtest.Compiled, r *dinoTrajectory) {
	t.Helper()
	training := r.AdamW(t, m, func(s int) {
		m.ShowAll(t, c, "traj.input.view", fmt.Sprintf(".%d", s))
		programtest.Step(t, m.Runner, program.Inputs{Step: uint64(r.FirstIteration + s)})
	})
	training.Clip = func(it int, figure func(string, float64)) optim.Gradients {
		sharpness, _ := m.Scalar("teacher_sharpness")
		figure("teacher_temp", 1/sharpness)
		momentum, _ := m.Scalar("teacher_momentum")
		figure("momentum", momentum)
		return optim.Active(m.ClipPerTensor(r.Clip, figure), it)
	}
	m.Train(t, c, training)
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
	return openDINO(t, cfg, channels, nil, seed).Weights()
}
