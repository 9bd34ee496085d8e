package swav_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/objectives/swav"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/runs"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "swav", nil, map[string]func(*testing.T, *golden.Case){"swav": swavCase})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "swav", []programtest.Refusal{
		{Name: "unknown key", File: "b_queue", Edit: programtest.Set("decoupled", true), Want: "decoupled"},
		{Name: "other assignments", File: "b_queue", Edit: programtest.Set("iters", 2), Want: "out.q0"},
		{Name: "no queue", File: "b_queue", Edit: programtest.Set("queue", 0), Want: "out.sinkhorn_in0 has"},
		{Name: "other crops are assigned", File: "b_queue", Edit: programtest.Set("assign", []int{1, 0}), Want: "assign"},
	})
}

// swavConfig describes a case of the reference.
type swavConfig struct {
	programtest.ResNetConfig
	Temp       float64 `json:"temperature"`
	Epsilon    float64 `json:"epsilon"`
	Iterations int     `json:"iters"`
	Assign     []int   `json:"assign"`
	Queue      int     `json:"queue"`
	Freeze     int     `json:"freeze"`
	Numbers    []int   `json:"nmb_crops"`
	Dim        int     `json:"dim"`
	Hidden     int     `json:"hidden"`
	Prototypes int     `json:"prototypes"`
}

// options are those of the objective. An epoch has perEpoch steps.
func (cfg swavConfig) options(perEpoch int) map[string]any {
	var sizes []int
	var shares []float64
	at := 0
	for _, n := range cfg.Numbers {
		sizes, shares = append(sizes, cfg.Sizes[at][0]), append(shares, .5)
		at += n
	}
	return map[string]any{
		"out_dim": cfg.Dim, "head_hidden": cfg.Hidden, "prototypes": cfg.Prototypes, "freeze_prototypes": float64(cfg.Freeze) / float64(perEpoch),
		"temperature": cfg.Temp, "epsilon": cfg.Epsilon, "sinkhorn_iterations": cfg.Iterations, "assigned_crops": len(cfg.Assign),
		"queue": cfg.Queue, "queue_start": 0, "crops": cfg.Numbers, "crop_sizes": sizes, "crop_scale_min": shares, "crop_scale_max": shares,
	}
}

func swavCase(t *testing.T, c *golden.Case) {
	const perEpoch = 5
	var cfg swavConfig
	c.ConfigInto(t, &cfg)
	c.Describes("queue_state")
	for i, a := range cfg.Assign {
		if i != a {
			t.Fatalf("%s: assign is %v, and the first crops are assigned", c, cfg.Assign)
		}
	}
	(&programtest.ResNetCase{
		Case: c, ResNetConfig: cfg.ResNetConfig,
		Compilation: programtest.Compilation{
			Opening: programtest.Opening{Objective: swav.New(), PerEpoch: perEpoch, Options: cfg.options(perEpoch)},
			Extra:   func(m *programtest.Compiled, p *program.Compiler) { results(m, p, cfg) },
		},
		Optimizer: func(m *programtest.Compiled, r *programtest.SGDRecipe) optim.Optimizer {
			return optim.NewLARS(m.Engine, optim.LARSOptions{Momentum: r.Momentum, Trust: .001, Eps: 1e-8, RawRatio: true, All: true, Nesterov: r.Nesterov})
		},
		Places: places(c), Own: []string{"buffer.queue"},
		LoadOwn: func(m *programtest.Compiled) []*param.Parameter {
			queues := queues(m, cfg)
			for i, q := range queues {
				copy(q.Data, c.F32(t, "buffer.queue")[i*len(q.Data):])
			}
			return queues
		},
		CompareOwn: func(t testing.TB, m *programtest.Compiled, prefix string) {
			var all []float32
			for _, q := range queues(m, cfg) {
				all = append(all, q.Data...)
			}
			if len(all) > 0 {
				c.Compare(t, prefix+"buffer.queue", all)
			}
		},
	}).Run(t)
}

// places are the names in the store of the projector, which the official code calls
// projection_head.
func places(c *golden.Case) map[string]string {
	out := map[string]string{}
	for _, kind := range []string{"param.", "buffer."} {
		for _, name := range c.Names(kind + "projector.") {
			name = programtest.Official(name)
			ours := "projection_head." + strings.TrimPrefix(name, "projector.")
			if programtest.IsStatistic(name) {
				out[name] = runs.BufferPrefix + ours
			} else {
				out[name] = runs.HeadPrefix + ours
			}
		}
	}
	return out
}

// queues are the buffers of the assigned crops, none without a queue.
func queues(m *programtest.Compiled, cfg swavConfig) []*param.Parameter {
	var out []*param.Parameter
	for i := range cfg.Assign {
		if cfg.Queue > 0 {
			out = append(out, m.Store.Get(fmt.Sprintf("%squeue_%d", runs.BufferPrefix, i+1)))
		}
	}
	return out
}

// results names the nodes that the reference has values of.
func results(m *programtest.Compiled, p *program.Compiler, cfg swavConfig) {
	losses, _ := m.NodesOf("view_cross_entropy")
	normalized, _ := m.NodesOf("l2_normalize")
	assignments, nodes := m.NodesOf("sinkhorn")
	g := p.Graph()
	m.Out["out.scores"] = m.ReadBy(losses[0], "logits")
	m.Out["out.embedding"] = m.Outputs(normalized[0].Name)[0]
	for i, n := range assignments {
		m.Out[fmt.Sprintf("out.q%d", i)] = nodes[i]
		all := []*core.Node{m.ReadBy(n, "scores")}
		if cfg.Queue > 0 {
			all = append([]*core.Node{m.ReadBy(n, "earlier")}, all...)
		}
		m.Out[fmt.Sprintf("out.sinkhorn_in%d", i)] = ops.Concat(g, all...)
	}
	m.Out["out.prototypes_normalized"] = ops.Scale(g, g.StopGradient(g.Param(m.Parameter("prototypes.weight"))), 1)
}
