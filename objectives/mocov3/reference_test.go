package mocov3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/mocov3"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/vit"
)

// TestReference runs every file of the reference folder. The config of a file selects its test; a
// file without one fails.
func TestReference(t *testing.T) {
	programtest.Reference(t, "mocov3", func(t *testing.T, path string) {
		switch golden.Name(path) {
		case "mocov3/init_stats":
			programtest.InitStatistics(t, path, mocoWeights)
			return
		case "mocov3/augmentation":
			programtest.Augmentations(t, path, mocov3.New(), func(p *plan.Plan) []*plan.View { return p.Views })
			return
		}
		c := golden.Whole(t, path)
		var kind struct {
			Objective string `json:"objective"`
		}
		c.ConfigInto(t, &kind)
		switch kind.Objective {
		case "mocov3":
			mocoCase(t, c)
		default:
			t.Fatalf("%s: there is no test for a case of objective %q", path, kind.Objective)
		}
	})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "mocov3", []programtest.Refusal{
		{Name: "unknown key", File: "a_traj", Edit: programtest.SetInTrajectory("nesterov", true), Want: "traj.nesterov"},
	})
}

// mocoConfig describes a case of the reference.
type mocoConfig struct {
	programtest.NetworkConfig
	Hidden     int             `json:"mlp_dim"`
	OutDim     int             `json:"out_dim"`
	Temp       float64         `json:"temp"`
	Momentum   *float64        `json:"momentum"`
	FreezeStem bool            `json:"stop_grad_conv1"`
	Trajectory *mocoTrajectory `json:"traj"`
}

// mocoTrajectory is the training recipe of a case.
type mocoTrajectory struct {
	programtest.Trajectory
	Momentum    float64 `json:"momentum"`
	MomentumCos bool    `json:"momentum_cos"`
}

// mocoPlace finds the base encoder in the student, the momentum encoder in the teacher, and the
// predictor, of the student alone, beside the projector.
func mocoPlace(name string) string {
	teacher, rest := "", name
	if s, ok := strings.CutPrefix(name, "momentum_encoder."); ok {
		teacher, rest = runs.TeacherPrefix, "base_encoder."+s
	}
	switch s, base := strings.CutPrefix(rest, "base_encoder."); {
	case programtest.IsStatistic(rest):
		return runs.BufferPrefix + teacher + rest
	case base && !strings.HasPrefix(s, "head."):
		return teacher + runs.BackbonePrefix + s
	}
	return teacher + runs.HeadPrefix + rest
}

func openMoCo(t *testing.T, cfg mocoConfig, channels int, r *mocoTrajectory, seed uint64) *programtest.Compiled {
	t.Helper()
	o := programtest.Compilation{
		Opening: programtest.Opening{Objective: mocov3.New(), Network: cfg.ViT(channels, vit.PosSinCosRow), Batch: cfg.Batch, Total: 10,
			Options: map[string]any{"dim": cfg.OutDim, "mlp_dim": cfg.Hidden, "temperature": cfg.Temp, "stop_grad_conv1": cfg.FreezeStem}},
		Seed: seed, Place: mocoPlace, Extra: mocoResults,
	}
	if cfg.Momentum != nil {
		o.Options["momentum"] = *cfg.Momentum
	}
	if r != nil {
		o.Options["momentum"], o.Options["momentum_cos"] = r.Momentum, r.MomentumCos
		o.Total = int(r.Epochs * float64(r.ItersPerEpoch))
	}
	return o.Compile(t)
}

// mocoResults names the nodes that the reference has values of.
func mocoResults(m *programtest.Compiled, p *program.Compiler) error {
	base, err := programtest.ViTPass(p, "base_encoder")
	if err != nil {
		return err
	}
	for v := range 2 {
		part := func(name string, n *core.Node) {
			key := fmt.Sprintf("out.%s.view%d", name, v)
			m.Out[key], m.Rows[key] = n, [2]int{v * p.Batch, (v + 1) * p.Batch}
		}
		part("tokens", base.Tokens)
		for i, b := range base.Blocks {
			part(fmt.Sprintf("block.%d", i), b)
			part(fmt.Sprintf("attn.%d", i), programtest.Attention(base, i))
		}
	}
	normalized, _, err := programtest.NodesOf(p, "l2_normalize")
	if err != nil {
		return err
	}
	for i, name := range []string{"out.q1", "out.q2", "out.k1", "out.k2"} {
		if m.Out[name], err = programtest.ReadBy(p, normalized[i], "x"); err != nil {
			return err
		}
	}
	linears, _, err := programtest.NodesOf(p, "linear")
	if err != nil {
		return err
	}
	view := 0
	for _, n := range linears {
		if n.Inputs[1].Ref.Name == "predictor.0.weight" {
			if m.Out[fmt.Sprintf("out.projection.view%d", view)], err = programtest.ReadBy(p, n, "x"); err != nil {
				return err
			}
			view++
		}
	}
	return nil
}

// mocoStep runs a step on views "<prefix>0<suffix>" and 1.
func mocoStep(t *testing.T, c *golden.Case, m *programtest.Compiled, prefix, suffix string, step int) {
	t.Helper()
	for i, v := range m.Plan.Views {
		programtest.FillView(t, m.View(v.Name), c.F32(t, fmt.Sprintf("%s%d%s", prefix, i, suffix)))
	}
	programtest.Step(t, m.Runner, program.Inputs{Step: uint64(step)})
}

func mocoCase(t *testing.T, c *golden.Case) {
	var cfg mocoConfig
	c.ConfigInto(t, &cfg)
	programtest.Constants(t, c, map[string]float64{"bn_momentum": .1, "bn_eps": 1e-5, "normalize_eps": 1e-12, "projector_layers": 3, "predictor_layers": 2})
	images := c.Tensor(t, "input.view0")
	if cfg.Batch != images.Shape[0] || cfg.Momentum == nil {
		t.Fatalf("%s: batch %d, images %v, momentum %v", c, cfg.Batch, images.Shape, cfg.Momentum)
	}
	programtest.ReadsAll(t, c, "param.", "buffer.", "input.view0", "input.view1", "out.", "loss", "loss.q1k2", "loss.q2k1", "grad.", "after.",
		"traj.input.view0.", "traj.input.view1.", "traj.param.", "traj.buffer.", "traj.losses", "traj.lr", "traj.momentum")
	m := openMoCo(t, cfg, images.Shape[1], nil, 1)
	m.Load(t, c)
	mocoStep(t, c, m, "input.view", "", 0)
	m.CompareResults(t, c, cfg.NetworkConfig)
	for _, name := range []string{"q1k2", "q2k1"} {
		c.CompareScalar(t, golden.ViT, "loss."+name, m.Metrics()[name])
	}
	m.Finish(t)
	m.CompareState(t, c, "after.", []string{""}, m.Copies())

	r := cfg.Trajectory
	if r == nil {
		if n := c.Names("traj."); len(n) > 0 {
			t.Errorf("%s: there is a trajectory and no recipe for it", c)
		}
		return
	}
	m = openMoCo(t, cfg, images.Shape[1], r, 1)
	m.Load(t, c)
	m.ComparePlain(t, c, r.Trajectory)
	schedule := optim.EpochCosine{LR: r.LR, Min: r.MinLR, WarmupEpochs: r.WarmupEpochs, Epochs: r.Epochs, PerEpoch: r.ItersPerEpoch}
	optimizer := optim.NewAdamW(m.Engine, optim.AdamWOptions{Beta1: r.Betas[0], Beta2: r.Betas[1], Eps: r.Eps})
	var losses, rates, momenta []float64
	for s := range r.Steps {
		it := r.FirstIteration + s
		mocoStep(t, c, m, "traj.input.view", fmt.Sprintf(".%d", s), it)
		momentum, _ := m.Scalar("momentum")
		losses, rates, momenta = append(losses, m.Loss()), append(rates, schedule.At(it)), append(momenta, momentum)
		optimizer.Step(m.Exec().Parameters(), m.Exec().Grad, schedule.At(it), r.WeightDecay)
		m.Finish(t)
	}
	c.CompareFloat64(t, golden.ViT, "traj.losses", losses)
	c.CompareFloat64(t, golden.ViT, "traj.lr", rates)
	c.CompareFloat64(t, golden.ViT, "traj.momentum", momenta)
	m.CompareState(t, c, "traj.", []string{"param.", "buffer."}, append(m.Copies(), m.Exec().Parameters()...))
}

func mocoWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg mocoConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 2
	m := openMoCo(t, cfg, channels, nil, seed)
	return func(name string) *param.Parameter { return m.Store.Get(mocoPlace(name)) }, m.Student.Parameters()
}
