package program_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/vit"
)

// objective is a plan as a function, for tests.
type objective struct {
	plan func(b *sdk.Builder) error
}

func (o *objective) Info() sdk.Info            { return sdk.Info{Name: "test", Version: "1.0.0"} }
func (o *objective) Plan(b *sdk.Builder) error { return o.plan(b) }

// tiny is a network that runs in a moment.
func tiny() vit.Config {
	return vit.Config{Name: "tiny", ImageH: 8, ImageW: 8, Patch: 4, Channels: 3, Dim: 8, Depth: 2, Heads: 2, MLPRatio: 2, QKVBias: true, ClassToken: true}.Normalized()
}

const tinyBatch = 4

// planOf opens an objective.
func planOf(t testing.TB, o sdk.Objective, options map[string]any) *plan.Plan {
	t.Helper()
	return programtest.Opening{Objective: o, Options: options, Network: tiny(), Batch: tinyBatch}.Plan(t)
}

func tinyMAE(t testing.TB) *plan.Plan {
	return planOf(t, mae.New(), map[string]any{"decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.5})
}

// compiled builds the plan of a function, with its views filled.
func compiled(t testing.TB, plan func(b *sdk.Builder) error, change func(*vit.Config, *program.Options)) (*program.Runner, *param.Store) {
	t.Helper()
	c, o := tiny(), program.Options{Plugin: "test", Train: true, TotalSteps: 10}
	if change != nil {
		change(&c, &o)
	}
	store := param.NewStore()
	m := must.Get(program.Build(devicetest.New(t, 0), store, planOf(t, &objective{plan}, nil), c, tinyBatch, 1, o))(t)
	for _, v := range m.Plan.Views {
		r := prng.New(9, v.Name)
		for i := range m.View(v.Name) {
			m.View(v.Name)[i] = float32(r.NormFloat64())
		}
	}
	return m, store
}

// mustRun runs the first step.
func mustRun(t testing.TB, m *program.Runner) {
	t.Helper()
	programtest.Step(t, m, program.Inputs{IDs: []uint64{3, 1, 4, 2}})
}

// TestBuildRefuses changes a sound plan in one place; the error names the plugin, the node and the
// shapes.
func TestBuildRefuses(t *testing.T) {
	node := func(p *plan.Plan, op string) *plan.Node {
		return p.Nodes[slices.IndexFunc(p.Nodes, func(n *plan.Node) bool { return n.Op == op })]
	}
	for _, tc := range []struct {
		name   string
		change func(p *plan.Plan)
		want   []string
	}{
		{"wrong weight", func(p *plan.Plan) { p.Params[0].Shape[1] = 5 }, []string{"node \"linear_1\" (linear)", "[8, 5]", "[4, 3, 8]"}},
		{"heads", func(p *plan.Plan) { node(p, "vit_block").Attributes["heads"] = 3 }, []string{"vit_block_1", "attention"}},
		{"patch", func(p *plan.Plan) { node(p, "patchify").Attributes["patch"] = 3 }, []string{"patchify_1", "[4, 3, 8, 8]"}},
		{"integers for numbers", func(p *plan.Plan) {
			n := node(p, "restore_tokens")
			n.Inputs[0].Ref = n.Inputs[2].Ref
		}, []string{"restore_tokens_1", "input x takes numbers"}},
		{"loss of many", func(p *plan.Plan) { p.Results.Loss.Output = 1 }, []string{"loss", "[4, 4]", "one number"}},
		{"view that the patch does not divide", func(p *plan.Plan) { p.Views[0].Height = 9 }, []string{"height 9", "patch size 4"}},
		{"picture shape", func(p *plan.Plan) { p.Results.Pictures[0].Layout = plan.LayoutImage }, []string{"[4, 4, 48]", "[4, 3, 8, 8]"}},
		{"update of another shape", func(p *plan.Plan) {
			p.Buffers = []*plan.Buffer{{Name: "b", Shape: []int{2}, Init: &plan.Init{}}}
			p.Results.Updates = []*plan.BufferUpdate{{Buffer: "b", Value: p.Results.Loss}}
		}, []string{"buffer b", "[]", "[2]"}},
		{"huge target", func(p *plan.Plan) {
			p.Targets = []*plan.Target{{Name: "t", Source: plan.SourcePlugin, Shape: []int{1 << 30}}}
		}, []string{"target t", "2^31"}},
		{"evaluate without an evaluator", func(p *plan.Plan) {
			n := node(p, "layer_norm")
			n.Op, n.Attributes, p.Evaluate = "evaluate", nil, &plan.Evaluate{}
		}, []string{"evaluate", "this command runs no plugin"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := tinyMAE(t)
			tc.change(p)
			m, err := program.Build(devicetest.New(t, 0), param.NewStore(), p, tiny(), tinyBatch, 1, program.Options{Plugin: "broken", Train: true})
			if err == nil {
				t.Fatalf("no error, model of batch %d", m.Batch)
			}
			for _, w := range append(tc.want, "broken") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// Masks that contradict the plan are refused before anything is written.
func TestMasksAreChecked(t *testing.T) {
	m := must.Get(program.Build(devicetest.New(t, 0), param.NewStore(), tinyMAE(t), tiny(), tinyBatch, 1, program.Options{Plugin: "mae", Train: true}))(t)
	good := []int32{0, 1, 1, 2, 2, 3, 3, 0}
	sets := func(name string, values []int32) []plan.MaskSet { return []plan.MaskSet{{Name: name, Values: values}} }
	programtest.Step(t, m, program.Inputs{Masks: sets("mask", good)})
	before := m.Loss()
	for _, tc := range []struct {
		name string
		sets []plan.MaskSet
		want string
	}{
		{"none", []plan.MaskSet{}, `mask "mask" of the plan is missing`},
		{"unknown", sets("other", good), `"other"`},
		{"twice", append(sets("mask", good), sets("mask", good)...), "twice"},
		{"short", sets("mask", good[:7]), "7 numbers"},
		{"beyond the last patch", sets("mask", append(slices.Clone(good[:7]), 4)), "sample 3: patch 4"},
		{"negative", sets("mask", append(slices.Clone(good[:7]), -1)), "patch -1"},
		{"repeated", sets("mask", append(slices.Clone(good[:7]), 3)), "patch 3 twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := m.Step(program.Inputs{Masks: tc.sets}); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "mae") {
				t.Errorf("error %v: want one with %q", err, tc.want)
			}
		})
	}
	programtest.Step(t, m, program.Inputs{})
	if m.Loss() != before {
		t.Error("refused masks changed those of the step")
	}
	fresh := must.Get(program.Build(devicetest.New(t, 0), param.NewStore(), m.Plan, tiny(), tinyBatch, 1, program.Options{Plugin: "mae", Train: true}))(t)
	if err := fresh.Step(program.Inputs{}); err == nil || !strings.Contains(err.Error(), `mask "mask" of the plan is missing`) {
		t.Errorf("a first step without masks: %v", err)
	}
}

// A model of another batch size shares the weights, and evaluation computes the same loss as
// training.
func TestModelsShareOneStore(t *testing.T) {
	e, store := devicetest.New(t, 0), param.NewStore()
	var losses []float64
	for i, o := range []program.Options{{Train: true}, {Train: false}, {Train: true}} {
		m := must.Get(program.Build(e, store, tinyMAE(t), tiny(), 2, uint64(i), o))(t)
		for i := range m.View("image") {
			m.View("image")[i] = float32(math.Sin(float64(i)))
		}
		programtest.Step(t, m, program.Inputs{Masks: []plan.MaskSet{{Name: "mask", Values: []int32{0, 1, 3, 2}}}})
		losses = append(losses, m.Loss())
		if !o.Train && len(m.Exec().Parameters()) != 0 {
			t.Error("a model for evaluation has gradients")
		}
	}
	if losses[0] != losses[1] || losses[0] != losses[2] {
		t.Errorf("losses %v differ", losses)
	}
	if store.Get("backbone.blocks.0.attn.qkv.weight") == nil || store.Get("head.decoder_pred.weight") == nil {
		t.Error("names in the store do not follow the prefixes")
	}
}

// The same bits on any number of threads.
func TestThreadsDoNotMatter(t *testing.T) {
	var losses []float64
	var gradients [][]float32
	for _, threads := range []int{1, 2, 3} {
		e := must.Get(device.NewCPU(threads))(t)
		defer e.Close()
		m := must.Get(program.Build(e, param.NewStore(), tinyMAE(t), tiny(), tinyBatch, 1, program.Options{Train: true}))(t)
		for i := range m.View("image") {
			m.View("image")[i] = float32(math.Sin(float64(i)))
		}
		programtest.Step(t, m, program.Inputs{Masks: []plan.MaskSet{{Name: "mask", Values: []int32{0, 1, 1, 2, 2, 3, 3, 0}}}})
		losses = append(losses, m.Loss())
		var all []float32
		for _, p := range m.Exec().Parameters() {
			all = append(all, m.Exec().Grad(p)...)
		}
		gradients = append(gradients, all)
	}
	for i := range losses {
		if losses[i] != losses[0] || !slices.Equal(gradients[i], gradients[0]) {
			t.Errorf("run %d differs from the first", i)
		}
	}
}
