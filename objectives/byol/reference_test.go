package byol_test

import (
	"testing"

	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/byol"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "byol", nil, map[string]func(*testing.T, *golden.Case){"byol": byolCase})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "byol", []programtest.Refusal{
		{Name: "unknown key", File: "b_imagenet_asym", Edit: programtest.Set("decoupled", true), Want: "decoupled"},
		{Name: "another average", File: "b_imagenet_asym", Edit: programtest.Set("tau", .9), Want: "after.teacher"},
		{Name: "both directions", File: "b_imagenet_asym", Edit: programtest.Set("symmetric", true), Want: "loss"},
	})
}

// byolConfig describes a case of the reference.
type byolConfig struct {
	programtest.ResNetConfig
	Dim        int     `json:"dim"`
	Hidden     int     `json:"hidden"`
	PredHidden int     `json:"pred_hidden"`
	Symmetric  bool    `json:"symmetric"`
	Tau        float64 `json:"tau"`
	TauFinal   float64 `json:"tau_final"`
	TotalSteps int     `json:"total_steps"`
	LastBias   bool    `json:"last_bias"`
}

func byolCase(t *testing.T, c *golden.Case) {
	var cfg byolConfig
	c.ConfigInto(t, &cfg)
	(&programtest.ResNetCase{
		Case: c, ResNetConfig: cfg.ResNetConfig,
		Compilation: programtest.Compilation{
			Opening: programtest.Opening{Objective: byol.New(), Total: cfg.TotalSteps, Options: map[string]any{
				"out_dim": cfg.Dim, "head_hidden": cfg.Hidden, "pred_hidden": cfg.PredHidden, "symmetric": cfg.Symmetric, "last_bias": cfg.LastBias,
				"teacher_momentum": cfg.Tau, "teacher_momentum_end": cfg.TauFinal}},
			Extra: func(m *programtest.Compiled, _ *program.Compiler) {
				m.Linear("projector.3", "out.z1", "out.z2", "out.t1", "out.t2")
				m.Linear("predictor.3", "out.p1", "out.p2")
			},
		},
		Loss: func(m *programtest.Compiled) {
			for _, name := range []string{"p1t2", "p2t1"} {
				c.CompareScalar(t, "loss."+name, m.Metrics()[name])
			}
		},
		Optimizer: func(m *programtest.Compiled, r *programtest.SGDRecipe) optim.Optimizer {
			return optim.NewLARS(m.Device, optim.LARSOptions{Momentum: r.Momentum, Trust: .001, Eps: 1e-8, RawRatio: true, Nesterov: r.Nesterov})
		},
	}).Run(t)
}
