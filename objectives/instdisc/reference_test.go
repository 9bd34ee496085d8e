package instdisc_test

import (
	"testing"

	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/instdisc"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/runs"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "instdisc", nil, map[string]func(*testing.T, *golden.Case){"instdisc": bankCase})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "instdisc", []programtest.Refusal{
		{Name: "unknown key", File: "b_nce_fixedZ", Edit: programtest.Set("decoupled", true), Want: "decoupled"},
		{Name: "another momentum", File: "b_nce_fixedZ", Edit: programtest.Set("momentum", .25), Want: "memory"},
		{Name: "another data set", File: "b_nce_fixedZ", Edit: programtest.Set("ndata", 41), Want: "memory"},
	})
}

// bankConfig describes a case of the reference.
type bankConfig struct {
	programtest.ResNetConfig
	Dim       int     `json:"dim"`
	Negatives int     `json:"K"`
	Images    int     `json:"ndata"`
	Temp      float64 `json:"temperature"`
	Momentum  float64 `json:"momentum"`
	Constant  float64 `json:"Z"`
	Uniform   bool    `json:"uniform_memory"` // the bank's rows do not have the length 1
}

// zPlace is the place of the constant among the official nce_params: negatives, temperature, Z,
// momentum.
const zPlace = 2

func bankCase(t *testing.T, c *golden.Case) {
	var cfg bankConfig
	c.ConfigInto(t, &cfg)
	constant := func(m *programtest.Compiled) *param.Parameter {
		return m.Store.Get(runs.BufferPrefix + "memory_constant")
	}
	r := &programtest.ResNetCase{
		Case: c, ResNetConfig: cfg.ResNetConfig,
		Compilation: programtest.Compilation{
			Opening: programtest.Opening{Objective: instdisc.New(), Images: cfg.Images, Options: map[string]any{
				"out_dim": cfg.Dim, "negatives": cfg.Negatives, "temperature": cfg.Temp, "bank_momentum": cfg.Momentum}},
			Extra: func(m *programtest.Compiled, _ *program.Compiler) { results(m, cfg) },
		},
		Inputs: func(*programtest.Compiled) program.Inputs { return inputs(t, c, cfg) },
		Places: map[string]string{
			"backbone.fc.weight": runs.HeadPrefix + "fc.weight", "backbone.fc.bias": runs.HeadPrefix + "fc.bias", "memory": runs.BufferPrefix + "memory",
		},
		Own: []string{"buffer.nce_params"},
	}
	if cfg.Negatives == 0 { // temperature and momentum alone
		c.Beside("buffer.nce_params")
		r.Run(t)
		return
	}
	r.LoadOwn = func(m *programtest.Compiled) []*param.Parameter {
		p := c.F32(t, "buffer.nce_params")
		if p[zPlace] != float32(cfg.Constant) {
			t.Fatalf("%s: Z is %v in buffer.nce_params and %v in the config", c, p[zPlace], cfg.Constant)
		}
		constant(m).Data[0] = p[zPlace]
		return []*param.Parameter{constant(m)}
	}
	r.CompareOwn = func(t testing.TB, m *programtest.Compiled, prefix string) {
		name := prefix + "buffer.nce_params"
		if !c.Has(name) {
			name = "buffer.nce_params"
		}
		c.Compare(t, name, []float32{float32(cfg.Negatives), float32(cfg.Temp), constant(m).Data[0], float32(cfg.Momentum)})
	}
	r.Run(t)
}

// inputs are the ids of the images and the rows that they are compared with.
func inputs(t *testing.T, c *golden.Case, cfg bankConfig) program.Inputs {
	var in program.Inputs
	for _, id := range c.I64(t, "input.index") {
		in.IDs = append(in.IDs, uint64(id))
	}
	if cfg.Negatives == 0 {
		return in
	}
	rows := plan.MaskSet{Name: "negatives"}
	for _, row := range c.I64(t, "input.nce_idx") {
		rows.Values = append(rows.Values, int32(row))
	}
	in.Masks = []plan.MaskSet{rows}
	return in
}

// results names the nodes that the reference has values of.
func results(m *programtest.Compiled, cfg bankConfig) {
	normalized, _ := m.NodesOf("l2_normalize")
	m.Out["out.feature"] = m.Outputs(normalized[0].Name)[0]
	if cfg.Negatives == 0 {
		losses, _ := m.NodesOf("cross_entropy")
		m.Out["out.logits"] = m.ReadBy(losses[0], "logits")
		return
	}
	losses, _ := m.NodesOf("nce")
	out := m.Outputs(losses[0].Name)
	m.Out["out.prob"], m.Out["out.Z"] = out[1], out[2]
}
