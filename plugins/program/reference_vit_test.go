package program_test

import (
	"fmt"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/vit"
)

// vitForward compares a backbone's intermediate results, the loss sum(w * tokens), and its gradients.
func vitForward(t *testing.T, c *golden.Case) {
	var cfg struct {
		networkConfig
		InputSize *imageSize `json:"input_size"`
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
	model := cfg.vit(images.Shape[1], vit.PosLearned)
	model.PosInterp = vit.InterpolateDINO
	b, err := vit.New(store, "", model, vit.SchemeDINO, 1)
	if err != nil {
		t.Fatal(err)
	}
	loadBackbone(t, c, b)
	readsAll(t, c, "param.", "input.images", "input.w", "out.", "loss", "grad.", "grad_input.images")
	sameNames(t, c, "gradients", stripped(c.Names("grad."), "grad."), cfg.Trainable)
	if len(cfg.Frozen) > 0 {
		t.Errorf("%s: %v are frozen; there is no test for that", c, cfg.Frozen)
	}
	if n, want := len(c.Names("param.")), len(b.Weights()); n != want {
		t.Errorf("%s: %d parameters in the file, %d in the network", c, n, want)
	}

	g := core.NewGraph(newEngine(t))
	x := g.Input("images", images.Shape).RequireGrad()
	copy(x.Value(), c.F32(t, "input.images"))
	w := g.Input("w", c.Tensor(t, "input.w").Shape)
	copy(w.Value(), c.F32(t, "input.w"))
	outputs, err := b.Forward(g, x, backbone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := outputs.(*vit.Outputs)
	class, err := out.Class()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*core.Node{
		"out.patch_embed": b.EmbedPatches(g, b.Patches(g, x)),
		"out.pos_embed":   out.Positions,
		"out.tokens":      out.Tokens,
		"out.cls":         class,
	}
	for i := range out.Blocks {
		want[fmt.Sprintf("out.block.%d", i)] = out.Blocks[i]
		want[fmt.Sprintf("out.attn.%d", i)] = attention(out, i)
	}
	requireOutputs(t, c, want, "grad_input.images")
	loss := ops.Dot(g, out.Tokens, w)
	var extra []*core.Node
	for _, name := range c.Names("out.") {
		if want[name] == nil {
			t.Fatalf("%s: there is no test for %s", c, name)
		}
		extra = append(extra, want[name])
	}
	exe, err := g.Compile(loss, extra...)
	if err != nil {
		t.Fatal(err)
	}
	run(t, exe)
	for _, name := range c.Names("out.") {
		c.Compare(t, golden.ViT, name, want[name].Value())
	}
	c.Compare(t, golden.ViT, "loss", loss.Value())
	for _, name := range cfg.Trainable {
		compareGradient(t, c, exe, name, b.Weight(name))
	}
	c.Compare(t, golden.ViT, "grad_input.images", exe.GradOf(x))
}

func compareGradient(t testing.TB, c *golden.Case, exe *core.Executable, name string, p *param.Parameter) {
	t.Helper()
	if p == nil {
		t.Errorf("%s: the network has no parameter %s", c, name)
		return
	}
	g := exe.Grad(p)
	if g == nil {
		t.Errorf("%s: no gradient reaches %s", c, name)
		return
	}
	c.Compare(t, golden.ViT, "grad."+name, g)
}

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
		rowFirst, ok := map[string]bool{"mae": false, "mocov3": true}[k.Method]
		if !ok {
			t.Fatalf("%s: unknown method %q", c, k.Method)
		}
		prefix := 0
		if k.Class {
			prefix = 1
		}
		table := transformer.SinCosTable(rowFirst, k.Dim, k.Grid[0], k.Grid[1], prefix)
		c.Compare(t, golden.ViT, fmt.Sprintf("case.%d.out", k.Index), table)
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
	e := newEngine(t)
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
		exe, err := g.Compile(nil, out)
		if err != nil {
			t.Fatal(err)
		}
		run(t, exe)
		c.Compare(t, golden.ViT, fmt.Sprintf("case.%d.out", k.Index), out.Value())
		checked += 2
	}
	if checked != len(c.Names("case.")) {
		t.Fatalf("%s: %d of %d tensors were read", c, checked, len(c.Names("case.")))
	}
}
