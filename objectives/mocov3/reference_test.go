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

func TestReference(t *testing.T) {
	programtest.Reference(t, "mocov3", map[string]func(*testing.T, string){
		"init_stats": func(t *testing.T, path string) { programtest.InitStatistics(t, path, mocoWeights) },
		"augmentation": func(t *testing.T, path string) {
			programtest.Augmentations(t, path, mocov3.New(), func(p *plan.Plan) []*plan.View { return p.Views })
		},
	}, map[string]func(*testing.T, *golden.Case){"mocov3": mocoCase})
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
		Seed: seed, Place: mocoPlace, Extra: mocoResults, Kinds: []string{"param.", "buffer.", "base_encoder.", "momentum_encoder.", "predictor."},
	}
	if cfg.Momentum != nil {
		o.Options["momentum"] = *cfg.Momentum
	}
	if r != nil {
		o.Options["momentum"], o.Options["momentum_cos"] = r.Momentum, r.MomentumCos
		o.Total = r.Total()
	}
	return o.Compile(t)
}

// mocoResults names the nodes that the reference has values of.
func mocoResults(m *programtest.Compiled, p *program.Compiler) {
	base := m.ViTPass("base_encoder")
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
	normalized, _ := m.NodesOf("l2_normalize")
	for i, name := range []string{"out.q1", "out.q2", "out.k1", "out.k2"} {
		m.Out[name] = m.ReadBy(normalized[i], "x")
	}
	linears, _ := m.NodesOf("linear")
	view := 0
	for _, n := range linears {
		if n.Inputs[1].Ref.Name == "predictor.0.weight" {
			m.Out[fmt.Sprintf("out.projection.view%d", view)] = m.ReadBy(n, "x")
			view++
		}
	}
}

func mocoCase(t *testing.T, c *golden.Case) {
	var cfg mocoConfig
	c.ConfigInto(t, &cfg)
	c.Fixed(t, map[string]any{"bn_momentum": .1, "bn_eps": 1e-5, "normalize_eps": 1e-12, "projector_layers": 3, "predictor_layers": 2})
	if cfg.Momentum == nil {
		t.Fatalf("%s: no momentum", c)
	}
	c.Trained = func(name string) string {
		if rest, copied := strings.CutPrefix(name, "momentum_encoder."); copied {
			return "base_encoder." + rest
		}
		return name
	}
	channels := c.Tensor(t, "input.view0").Shape[1]
	m := openMoCo(t, cfg, channels, nil, 1)
	m.Load(t, c)
	m.ShowAll(t, c, "input.view", "")
	programtest.Step(t, m.Runner, program.Inputs{})
	m.CompareResults(t, c, cfg.Trainable, cfg.Frozen)
	for _, name := range []string{"q1k2", "q2k1"} {
		c.CompareScalar(t, "loss."+name, m.Metrics()[name])
	}
	m.Finish(t)
	m.CompareState(t, c, "after.")
	r := cfg.Trajectory
	if r == nil {
		return
	}
	m = openMoCo(t, cfg, channels, r, 1)
	training := r.AdamW(t, m, func(s int) {
		m.ShowAll(t, c, "traj.input.view", fmt.Sprintf(".%d", s))
		programtest.Step(t, m.Runner, program.Inputs{Step: uint64(r.FirstIteration + s)})
	})
	training.Clip = func(_ int, figure func(string, float64)) optim.Gradients {
		momentum, _ := m.Scalar("momentum")
		figure("momentum", momentum)
		return m.Exec().Grad
	}
	m.Train(t, c, training)
}

func mocoWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var cfg mocoConfig
	stats.Decode(t, &cfg)
	cfg.Batch = 2
	return openMoCo(t, cfg, channels, nil, seed).Weights()
}
