package moco_test

import (
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/moco"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/tensor"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "moco", nil, map[string]func(*testing.T, *golden.Case){"moco": mocoCase})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "moco", []programtest.Refusal{
		{Name: "unknown key", File: "b_v2_mlp", Edit: programtest.Set("shuffle", 2), Want: "shuffle"},
		{Name: "another momentum", File: "b_v2_mlp", Edit: programtest.Set("momentum", .9), Want: "after.teacher"},
		{Name: "no key of the state", File: "b_v2_mlp", Edit: programtest.Drop("buffer.queue"), Want: "queue"},
	})
}

// mocoConfig describes a case of the reference.
type mocoConfig struct {
	programtest.ResNetConfig
	Dim      int     `json:"dim"`
	Length   int     `json:"queue"`
	Position int     `json:"ptr"`
	Momentum float64 `json:"momentum"`
	Temp     float64 `json:"temperature"`
	MLP      bool    `json:"mlp"`
}

func mocoCase(t *testing.T, c *golden.Case) {
	var cfg mocoConfig
	c.ConfigInto(t, &cfg)
	c.Describes("view_noise") // of the second view, when the case was made
	if at := c.I64(t, "buffer.queue_ptr"); len(at) != 1 || at[0] != int64(cfg.Position) {
		t.Fatalf("%s: ptr is %d, and buffer.queue_ptr %v", c, cfg.Position, at)
	}
	(&programtest.ResNetCase{
		Case: c, ResNetConfig: cfg.ResNetConfig,
		Compilation: programtest.Compilation{
			Opening: programtest.Opening{Objective: moco.New(), Options: map[string]any{
				"out_dim": cfg.Dim, "queue": cfg.Length, "momentum": cfg.Momentum, "temperature": cfg.Temp, "mlp": cfg.MLP}},
			Extra: func(m *programtest.Compiled, p *program.Compiler) { results(m, p, cfg) },
		},
		Loss: func(m *programtest.Compiled) {
			c.CompareScalar(t, "out.acc1", m.Metrics()["acc1"])
		},
		Places:     map[string]string{"queue": "buffer.queue", "queue_ptr": "buffer.queue.position"},
		Transposed: []string{"queue"},
	}).Run(t)
}

// results names the nodes that the reference has values of. The logits are computed apart: the loss
// keeps none.
func results(m *programtest.Compiled, p *program.Compiler, cfg mocoConfig) {
	contrasts, _ := m.NodesOf("queue_contrast")
	q, k := m.ReadBy(contrasts[0], "queries"), m.ReadBy(contrasts[0], "keys")
	g := p.Graph()
	own := ops.MatMul(g, ops.Mul(g, q, k), ones(g, cfg.Dim), false, false) // [B,1]
	others := ops.MatMul(g, q, g.Param(m.Store.Get("buffer.queue")), false, true)
	both := ops.ConcatTokens(g, g.Reshape(own, tensor.Shape{cfg.Batch, 1, 1}), g.Reshape(others, tensor.Shape{cfg.Batch, cfg.Length, 1}))
	m.Out["out.q"], m.Out["out.k"] = q, k
	m.Out["out.logits"] = ops.Scale(g, both, 1/cfg.Temp)
	m.Out["out.acc1"] = ops.Scale(g, m.Outputs(contrasts[0].Name)[2], 100)
}

// ones is a column of ones.
func ones(g *core.Graph, n int) *core.Node {
	x := g.Input("ones", tensor.Shape{n, 1})
	for i := range x.Value() {
		x.Value()[i] = 1
	}
	return x
}
