package simsiam_test

import (
	"testing"

	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/simsiam"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "simsiam", nil, map[string]func(*testing.T, *golden.Case){"simsiam": simsiamCase})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "simsiam", []programtest.Refusal{
		{Name: "unknown key", File: "b_imagenet_bottleneck", Edit: programtest.Set("eps", 1e-8), Want: "eps"},
		{Name: "no frozen bias", File: "b_imagenet_bottleneck", Edit: programtest.Drop("param.projector.6.bias"), Want: "projector.6.bias"},
	})
}

// simsiamConfig describes a case of the reference.
type simsiamConfig struct {
	programtest.ResNetConfig
	Dim     int `json:"dim"`
	PredDim int `json:"pred_dim"`
}

func simsiamCase(t *testing.T, c *golden.Case) {
	var cfg simsiamConfig
	c.ConfigInto(t, &cfg)
	fixed := cfg.Opt != nil && cfg.Opt.FixPredLR
	(&programtest.ResNetCase{
		Case: c, ResNetConfig: cfg.ResNetConfig,
		Compilation: programtest.Compilation{
			Opening: programtest.Opening{Objective: simsiam.New(), Options: map[string]any{"out_dim": cfg.Dim, "pred_hidden": cfg.PredDim, "fix_pred_lr": fixed}},
			Extra: func(m *programtest.Compiled, _ *program.Compiler) {
				m.Linear("predictor.3", "out.p1", "out.p2")
				predictors, _ := m.NodesOf("linear")
				names := []string{"out.z1", "out.z2"}
				for _, n := range predictors { // they read the outputs of the projector
					if n.Inputs[1].Ref.Name == "predictor.0.weight" {
						m.Out[names[0]], names = m.ReadBy(n, "x"), names[1:]
					}
				}
				_, deviation := m.NodesOf("feature_deviation")
				m.Out["out.z1_std"] = deviation[0]
			},
		},
		Loss: func(m *programtest.Compiled) {
			c.CompareScalar(t, "loss.p1z2", m.Metrics()["p1z2"])
			c.CompareScalar(t, "loss.p2z1", m.Metrics()["p2z1"])
		},
	}).Run(t)
}
