package simclr_test

import (
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/simclr"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "simclr", nil, map[string]func(*testing.T, *golden.Case){"simclr": simclrCase})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "simclr", []programtest.Refusal{
		{Name: "unknown key", File: "b_imagenet_nl3_t05", Edit: programtest.Set("decoupled", true), Want: "decoupled"},
		{Name: "another temperature", File: "b_imagenet_nl3_t05", Edit: programtest.Set("temperature", .4), Want: "loss"},
	})
}

// simclrConfig describes a case of the reference.
type simclrConfig struct {
	programtest.ResNetConfig
	Dim        int     `json:"dim"`
	HeadLayers int     `json:"proj_layers"`
	Temp       float64 `json:"temperature"`
	LossScale  float64 `json:"loss_scale"`
}

func simclrCase(t *testing.T, c *golden.Case) {
	var cfg simclrConfig
	c.ConfigInto(t, &cfg)
	(&programtest.ResNetCase{
		Case: c, ResNetConfig: cfg.ResNetConfig,
		Compilation: programtest.Compilation{
			Opening: programtest.Opening{Objective: simclr.New(), Options: map[string]any{
				"out_dim": cfg.Dim, "head_layers": cfg.HeadLayers, "temperature": cfg.Temp, "loss_scale": cfg.LossScale}},
			Extra: func(m *programtest.Compiled, p *program.Compiler) { results(m, p, cfg) },
		},
		Loss: func(m *programtest.Compiled) {
			c.CompareScalar(t, "loss.mean2n", m.Loss()/cfg.LossScale)
			c.CompareScalar(t, "loss.tf", 2*m.Loss()/cfg.LossScale)
		},
		Optimizer: func(m *programtest.Compiled, r *programtest.SGDRecipe) optim.Optimizer {
			return optim.NewLARS(m.Device, optim.LARSOptions{Momentum: r.Momentum, Trust: .001, StepMomentum: true, Nesterov: r.Nesterov})
		},
	}).Run(t)
}

// results names the nodes that the reference has values of. Rows of the first views come first.
func results(m *programtest.Compiled, p *program.Compiler, cfg simclrConfig) {
	contrasts, _ := m.NodesOf("nt_xent")
	z := m.ReadBy(contrasts[0], "z")
	normalized, _ := m.NodesOf("l2_normalize")
	linears, _ := m.NodesOf("linear")
	features, err := p.Pass(linears[0].Inputs[0].Ref.Name)
	if err != nil {
		panic(err)
	}
	pooled, err := features.Output("pooled output")
	if err != nil {
		panic(err)
	}
	rows := m.Outputs(contrasts[0].Name)[1]
	for name, n := range map[string]*core.Node{
		"out.features": pooled, "out.z": m.ReadBy(normalized[0], "x"), "out.z_normalized": z, "out.loss_a": rows, "out.loss_b": rows,
	} {
		m.Out[name] = n
	}
	m.Rows["out.loss_a"], m.Rows["out.loss_b"] = [2]int{0, cfg.Batch}, [2]int{cfg.Batch, 2 * cfg.Batch}
	g, b := p.Graph(), cfg.Batch
	m.Out["out.logits_ab"] = ops.Scale(g, ops.MatMul(g, ops.SliceRows(g, z, 0, b), ops.SliceRows(g, z, b, 2*b), false, true), 1/cfg.Temp)
}
