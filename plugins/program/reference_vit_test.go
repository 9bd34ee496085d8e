package program_test

import (
	"fmt"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

func TestReference(t *testing.T) {
	programtest.Reference(t, "vit", map[string]func(*testing.T, string){
		"init_stats":         func(t *testing.T, path string) { programtest.InitStatistics(t, path, vitWeights) },
		"procedural_mae_b16": func(*testing.T, string) {}, // runs in objectives/mae
	}, map[string]func(*testing.T, *golden.Case){
		"vit": vitForward, "vit_sincos": sinCosTables, "vit_pos_interp": positionInterpolation, "vit_procedural": proceduralViT,
	})
}

// TestReferenceRefusals: a damaged case is refused.
func TestReferenceRefusals(t *testing.T) {
	programtest.Refusals(t, "vit", []programtest.Refusal{
		{Name: "as it is", File: "b_forward_interp", Edit: func(*programtest.EditedCase) {}, Want: ""},
		{Name: "activation", File: "b_forward_interp", Edit: programtest.Set("activation", "relu"), Want: "activation"},
		{Name: "drop path", File: "b_forward_interp", Edit: programtest.Set("drop_path", .5), Want: "drop_path"},
		{Name: "rotary positions", File: "b_forward_interp", Edit: programtest.Set("rope", true), Want: "rope"},
		{Name: "setting of another kind", File: "b_forward_interp", Edit: programtest.Set("norm_pix_loss", true), Want: "norm_pix_loss"},
		{Name: "input size", File: "b_forward_interp", Edit: programtest.Set("input_size", []int{16, 24}), Want: "input.images"},
		{Name: "batch", File: "b_forward_interp", Edit: programtest.Set("batch", 5), Want: "input.images"},
		{Name: "zero gradient of nothing", File: "b_forward_interp", Edit: programtest.Set("known_zero_grads", []any{[]any{"blocks.9.nothing", 0, 1}}), Want: "blocks.9.nothing"},
		{Name: "zero gradient out of range", File: "b_forward_interp", Edit: programtest.Set("known_zero_grads", []any{[]any{"norm.bias", 0, 1000}}), Want: "norm.bias"},
		{Name: "no tokens", File: "b_forward_interp", Edit: programtest.Drop("out.tokens"), Want: "out.tokens"},
		{Name: "extra tensor", File: "b_forward_interp", Edit: addBogus, Want: "bogus.thing"},
		{Name: "extra tensor of the tables", File: "pos_interp", Edit: addBogus, Want: "bogus.thing"},
		{Name: "unknown key of a table", File: "pos_interp", Edit: func(c *programtest.EditedCase) {
			c.Config["cases"].([]any)[1].(map[string]any)["antialias"] = true
		}, Want: "cases.antialias"},
	})
}

// vitWeights are those of a network with the class token of DINO, N(0, 0.02) cut at ±2.
func vitWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) (func(name string) *param.Parameter, []*param.Parameter) {
	var c programtest.NetworkConfig
	stats.Decode(t, &c)
	token := backbone.Scheme{{Weights: "*_token", Init: param.Init{Kind: "trunc_normal", A: .02, B: 2}}}
	b := must.Get(vit.New(param.NewStore(), "", c.ViT(channels, vit.PosLearned), token, seed))(t)
	return b.Weight, b.Parameters()
}

func addBogus(c *programtest.EditedCase) {
	c.Tensors = append(c.Tensors, tensor.NewF32("bogus.thing", tensor.Shape{1}, []float32{1}))
}

func run(t testing.TB, e *core.Executable) {
	t.Helper()
	must.Do(t, e.Run())
}

// vitForward compares a backbone's intermediate results, the loss sum(w * tokens), and its
// gradients.
func vitForward(t *testing.T, c *golden.Case) {
	var cfg struct {
		programtest.NetworkConfig
		InputSize *programtest.ImageSize `json:"input_size"`
	}
	c.ConfigInto(t, &cfg)
	images := c.Tensor(t, "input.images")
	size := cfg.Size
	if cfg.InputSize != nil {
		size = *cfg.InputSize
	}
	if len(images.Shape) != 4 || cfg.Batch != images.Shape[0] || size.H != images.Shape[2] || size.W != images.Shape[3] {
		t.Fatalf("%s: the config says %d images of %d×%d, input.images is %v", c, cfg.Batch, size.H, size.W, images.Shape)
	}
	store := param.NewStore()
	model := cfg.ViT(images.Shape[1], vit.PosLearned)
	model.PosInterp = vit.InterpolateDINO
	b := must.Get(vit.New(store, "", model, backbone.Zeros, 1))(t)
	programtest.LoadBackbone(t, c, b)
	programtest.SameNames(t, c, "gradients", programtest.Stripped(c, "grad."), cfg.Trainable)
	if len(cfg.Frozen) > 0 {
		t.Errorf("%s: %v are frozen; there is no test for that", c, cfg.Frozen)
	}
	if n, want := len(c.Names("param.")), len(b.Parameters()); n != want {
		t.Errorf("%s: %d parameters in the file, %d in the network", c, n, want)
	}

	g := core.NewGraph(devicetest.New(t, 0))
	x := g.Input("images", images.Shape).RequireGrad()
	copy(x.Value(), c.F32(t, "input.images"))
	w := g.Input("w", c.Tensor(t, "input.w").Shape)
	copy(w.Value(), c.F32(t, "input.w"))
	outputs := must.Get(b.Forward(g, x, backbone.Options{}))(t)
	out := outputs.(*vit.Outputs)
	class := must.Get(out.Class())(t)
	want := map[string]*core.Node{
		"out.patch_embed": b.EmbedPatches(g, b.PatchPixels(g, x)),
		"out.pos_embed":   out.Positions,
		"out.tokens":      out.Tokens,
		"out.cls":         class,
	}
	for i := range out.Blocks {
		want[fmt.Sprintf("out.block.%d", i)] = out.Blocks[i]
		want[fmt.Sprintf("out.attn.%d", i)] = programtest.Attention(out, i)
	}
	programtest.RequireOutputs(t, c, want, "grad_input.images")
	loss := ops.Dot(g, out.Tokens, w)
	var extra []*core.Node
	for _, name := range c.Names("out.") {
		if want[name] == nil {
			t.Fatalf("%s: there is no test for %s", c, name)
		}
		extra = append(extra, want[name])
	}
	exe := must.Get(g.Compile(loss, extra...))(t)
	run(t, exe)
	for _, name := range c.Names("out.") {
		c.Compare(t, name, want[name].Value())
	}
	c.Compare(t, "loss", loss.Value())
	for _, name := range cfg.Trainable {
		programtest.CompareGradient(t, c, exe, name, b.Weight(name))
	}
	c.Compare(t, "grad_input.images", exe.GradOf(x))
}

// sinCosTables compares fixed position tables. The method of a table is an objective; whether rows or
// columns come first follows from its plan.
func sinCosTables(t *testing.T, c *golden.Case) {
	var cfg struct {
		Cases []struct {
			Index  int    `json:"index"`
			Method string `json:"method"`
			Dim    int    `json:"dim"`
			Grid   [2]int `json:"grid"`
			Class  bool   `json:"cls_token"`
		} `json:"cases"`
	}
	c.ConfigInto(t, &cfg)
	if len(cfg.Cases) != len(c.Names("case.")) || len(cfg.Cases) == 0 {
		t.Fatalf("%s: %d cases and %d tables", c, len(cfg.Cases), len(c.Names("case.")))
	}
	for _, k := range cfg.Cases {
		required := planOf(t, must.Get(objectives.New(k.Method))(t), nil).Requirements.PosEmbed
		rowFirst, ok := map[plan.PosEmbed]bool{plan.PosEmbedSinCosColumn: false, plan.PosEmbedSinCosRow: true}[required]
		if !ok {
			t.Fatalf("%s: the objective %q has no fixed position table", c, k.Method)
		}
		prefix := 0
		if k.Class {
			prefix = 1
		}
		table := transformer.SinCosTable(rowFirst, k.Dim, k.Grid[0], k.Grid[1], prefix)
		c.Compare(t, fmt.Sprintf("case.%d.out", k.Index), table)
	}
}

func positionInterpolation(t *testing.T, c *golden.Case) {
	var cfg struct {
		Cases []struct {
			Index  int    `json:"index"`
			Method string `json:"method"`
			In     [2]int `json:"grid_in"`
			Out    [2]int `json:"grid_out"`
			Patch  int    `json:"patch"`
			Image  [2]int `json:"image"`
		} `json:"cases"`
	}
	c.ConfigInto(t, &cfg)
	c.Describes("cases.scale_factor") // follows from the grids and the method
	if len(cfg.Cases) == 0 {
		t.Fatalf("%s: no cases", c)
	}
	e := devicetest.New(t, 0)
	checked := 0
	for _, k := range cfg.Cases {
		if k.Patch > 0 && [2]int{k.Image[0] / k.Patch, k.Image[1] / k.Patch} != k.Out {
			t.Fatalf("%s: case %d: patches of %d make no grid %v of an image %v", c, k.Index, k.Patch, k.Out, k.Image)
		}
		in := c.Tensor(t, fmt.Sprintf("case.%d.in", k.Index))
		g := core.NewGraph(e)
		table := g.Input("table", in.Shape)
		copy(table.Value(), c.F32(t, in.Name))
		out := ops.InterpolatePositions(g, table, k.In[0], k.In[1], k.Out[0], k.Out[1], k.Method)
		if k.In == k.Out {
			out = ops.Scale(g, out, 1)
		}
		exe := must.Get(g.Compile(nil, out))(t)
		run(t, exe)
		c.Compare(t, fmt.Sprintf("case.%d.out", k.Index), out.Value())
		checked += 2
	}
	if checked != len(c.Names("case.")) {
		t.Fatalf("%s: %d of %d tensors were read", c, checked, len(c.Names("case.")))
	}
}
