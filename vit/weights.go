package vit

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core/param"
)

// Initial values in timm.
var (
	zeros  = param.Init{Kind: "zeros"}
	ones   = param.Init{Kind: "ones"}
	normal = param.Init{Kind: "trunc_normal", A: .02, B: 2} // N(0, 0.02) cut at ±2
)

// Weights lists all tensors of the network in timm's order of definition, with timm's initial
// values: linear layers and positions N(0, 0.02) cut at ±2, class token N(0, 1e-6), patch
// projection U(±1/sqrt(C·p·p)), other biases and tables of relative positions zero, norms one.
func (c Config) Weights() []backbone.TensorSpec {
	c = c.Normalized()
	d := c.Dim
	rows, cols := c.Grid()
	var ws []backbone.TensorSpec
	add := func(name string, init param.Init, shape ...int) {
		ws = append(ws, backbone.TensorSpec{Name: name, Shape: shape, Init: init, Block: -1})
	}
	token := param.Init{Kind: "normal", A: 1e-6}
	if c.ClassToken {
		add("cls_token", token, 1, 1, d)
	}
	if c.MaskToken {
		add("mask_token", token, 1, 1, d)
	}
	if c.PosEmbed != PosNone {
		add("pos_embed", normal, 1, c.Prefix()+c.Patches(), d)
	}
	if c.PosEmbed.Fixed() {
		ws[len(ws)-1].Fixed = func() []float32 {
			return transformer.SinCosTable(c.PosEmbed == PosSinCosRow, d, rows, cols, c.Prefix())
		}
	}
	patch := param.Init{Kind: "uniform", A: 1 / math.Sqrt(float64(c.PatchDim()))}
	add("patch_embed.proj.weight", patch, d, c.Channels, c.Patch, c.Patch)
	add("patch_embed.proj.bias", patch, d)
	if c.RelPos.shared() {
		add("rel_pos_bias.relative_position_bias_table", zeros, c.relativeRows(), c.Heads)
	}
	for i := range c.Depth {
		ws = append(ws, blockWeights(c, i)...)
	}
	add("norm.weight", ones, d)
	add("norm.bias", zeros, d)
	return ws
}

// relativeRows is the number of rows of a table of relative position bias.
func (c Config) relativeRows() int {
	rows, cols := c.Grid()
	return (2*rows-1)*(2*cols-1) + 3
}

func blockWeights(c Config, i int) []backbone.TensorSpec {
	d, inner, hidden := c.Dim, c.Inner(), c.Hidden()
	var ws []backbone.TensorSpec
	add := func(name string, init param.Init, shape ...int) {
		ws = append(ws, backbone.TensorSpec{Name: fmt.Sprintf("blocks.%d.%s", i, name), Shape: shape, Init: init, Block: i})
	}
	gamma1, gamma2 := c.layerScaleNames()
	if c.LayerScale != 0 {
		scale := param.Init{Kind: "constant", A: c.LayerScale}
		add(gamma1, scale, d)
		add(gamma2, scale, d)
	}
	add("norm1.weight", ones, d)
	add("norm1.bias", zeros, d)
	switch {
	case c.QKVBias && c.SplitQVBias:
		add("attn.q_bias", zeros, inner)
		add("attn.v_bias", zeros, inner)
	case c.QKVBias:
		add("attn.qkv.bias", zeros, 3*inner)
	}
	if c.RelPos.perBlock() {
		add("attn.relative_position_bias_table", zeros, c.relativeRows(), c.Heads)
	}
	add("attn.qkv.weight", normal, 3*inner, d)
	add("attn.proj.weight", normal, d, inner)
	add("attn.proj.bias", zeros, d)
	add("norm2.weight", ones, d)
	add("norm2.bias", zeros, d)
	add("mlp.fc1.weight", normal, hidden, d)
	add("mlp.fc1.bias", zeros, hidden)
	add("mlp.fc2.weight", normal, d, hidden)
	add("mlp.fc2.bias", zeros, d)
	return ws
}

// layerScaleNames are timm's: gamma_1 and gamma_2 in BEiT, ls1.gamma and ls2.gamma in ViT.
func (c Config) layerScaleNames() (attention, mlp string) {
	if c.Beit() {
		return "gamma_1", "gamma_2"
	}
	return "ls1.gamma", "ls2.gamma"
}
