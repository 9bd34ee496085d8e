package vit_test

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// The other cases of the encoder stand in plugins/program, beside those of the masked autoencoder.
// Here BEiT's backbone, with its own parts: relative position bias, layer scale, split qkv bias,
// mask token.
func TestBEiTBackboneReference(t *testing.T) {
	for _, path := range golden.Files(t, "beit") {
		if kept, err := filepath.Match("[a-c]_*.safetensors", filepath.Base(path)); err != nil || !kept {
			continue
		}
		t.Run(golden.Name(path), func(t *testing.T) { beitBackbone(t, golden.Open(t, path)) })
	}
}

// beitCase is the description of a case of BEiT's backbone.
type beitCase struct {
	Size       [2]int   `json:"img_size"`
	Patch      int      `json:"patch"`
	Dim        int      `json:"dim"`
	Depth      int      `json:"depth"`
	Heads      int      `json:"heads"`
	HeadDim    int      `json:"attn_head_dim"`
	MLPRatio   float64  `json:"mlp_ratio"`
	Vocabulary int      `json:"vocab"`
	QKVBias    bool     `json:"qkv_bias"`
	LayerScale *float64 `json:"layer_scale_init"`
	AbsPos     bool     `json:"abs_pos"`
	PerBlock   bool     `json:"rel_pos_bias"`
	Shared     bool     `json:"shared_rel_pos_bias"`
	LNEps      float64  `json:"ln_eps"`
	Trainable  []string `json:"trainable"`
}

// model is the network of the case.
func (cfg beitCase) model(channels int) vit.Config {
	model := vit.Config{
		Name: "beit", ImageH: cfg.Size[0], ImageW: cfg.Size[1], Patch: cfg.Patch, Channels: channels,
		Dim: cfg.Dim, Depth: cfg.Depth, Heads: cfg.Heads, HeadDim: cfg.HeadDim, MLPRatio: cfg.MLPRatio, LNEps: cfg.LNEps,
		QKVBias: cfg.QKVBias, SplitQVBias: true, PosEmbed: vit.PosNone, ClassToken: true, MaskToken: true,
	}
	if cfg.AbsPos {
		model.PosEmbed = vit.PosLearned
	}
	if cfg.LayerScale != nil {
		model.LayerScale = *cfg.LayerScale
	}
	switch {
	case cfg.Shared && cfg.PerBlock:
		model.RelPos = vit.RelPosBoth
	case cfg.Shared:
		model.RelPos = vit.RelPosShared
	case cfg.PerBlock:
		model.RelPos = vit.RelPosPerBlock
	}
	return model
}

// beitBackbone compares intermediate results, loss and gradients of a case.
func beitBackbone(t *testing.T, c *golden.Case) {
	var cfg beitCase
	c.ConfigInto(t, &cfg)
	images := c.Tensor(t, "input.images").Shape
	model := cfg.model(images[1])
	store := param.NewStore()
	b, err := vit.New(store, "", model, backbone.Zeros, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lm_head.weight", "lm_head.bias"} {
		if _, err := store.Add(name, c.Tensor(t, "param."+name).Shape, param.Init{Kind: "zeros"}, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range store.Parameters() {
		copy(p.Data, c.F32(t, "param."+p.Name))
	}

	g := core.NewGraph(devicetest.New(t, 0))
	x := g.Input("images", images)
	copy(x.Value(), c.F32(t, "input.images"))
	mask := g.Input("mask", c.Tensor(t, "input.mask").Shape)
	for i, v := range c.U8(t, "input.mask") {
		mask.Value()[i] = float32(v)
	}
	outputs, err := b.Forward(g, x, backbone.Options{Mask: mask})
	if err != nil {
		t.Fatal(err)
	}
	out := outputs.(*vit.Outputs)
	logits := ops.Linear(g, out.PatchTokens(), g.Param(store.Get("lm_head.weight")), g.Param(store.Get("lm_head.bias")))
	loss := maskedCrossEntropy(g, logits, c.U8(t, "input.mask"), c.I64(t, "input.token_ids"))

	want := map[string]*core.Node{"out.latent": out.Tokens, "out.logits_all": logits, "out.patch_embed": b.EmbedPatches(g, b.PatchPixels(g, x))}
	for i := range out.Blocks {
		want[fmt.Sprintf("out.block.%d", i)] = out.Blocks[i]
		if want[fmt.Sprintf("out.attn.%d", i)], err = out.Attention(i); err != nil {
			t.Fatal(err)
		}
	}
	exe := must.Get(g.Compile(loss, slices.Collect(maps.Values(want))...))(t)
	must.Do(t, exe.Run())
	for name, n := range want {
		c.Compare(t, name, n.Value())
	}
	c.Compare(t, "loss", loss.Value())
	for _, name := range cfg.Trainable {
		p := store.Get(name)
		if p == nil || exe.Grad(p) == nil {
			t.Errorf("%s: no gradient of %s", c, name)
			continue
		}
		c.Compare(t, "grad."+name, exe.Grad(p))
	}
	checkIndex(t, c, model)
}

// maskedCrossEntropy is the mean over masked patches, as a mean over all patches whose others have
// no target. removed is 1 at masked patches; logits [B,L,K] are compared with the tokens.
func maskedCrossEntropy(g *core.Graph, logits *core.Node, removed []byte, tokens []int64) *core.Node {
	rows, vocabulary := len(removed), logits.Shape()[2]
	masked := bytes.Count(removed, []byte{1})
	target := g.Input("target", tensor.Shape{rows, vocabulary})
	for i, id := range tokens {
		target.Value()[i*vocabulary+int(id)] = float32(removed[i]) * float32(rows) / float32(masked)
	}
	loss, _ := ops.SoftmaxCrossEntropy(g, g.Reshape(logits, tensor.Shape{rows, vocabulary}), target)
	return loss
}

// checkIndex compares the index of relative positions with the one in the file.
func checkIndex(t *testing.T, c *golden.Case, model vit.Config) {
	t.Helper()
	rows, cols := model.Grid()
	index, _ := vit.RelativePositions(rows, cols)
	for _, name := range c.Names("buffer.") {
		want := c.I64(t, name)
		if len(want) != len(index) {
			t.Fatalf("%s: %s has %d entries, ours %d", c, name, len(want), len(index))
		}
		for i, v := range want {
			if int64(index[i]) != v {
				t.Fatalf("%s: %s[%d] is %d, ours %d", c, name, i, v, index[i])
			}
		}
	}
}
