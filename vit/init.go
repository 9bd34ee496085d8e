package vit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
)

// Initial values of the schemes below.
var (
	xavier    = param.Init{Kind: "xavier_uniform"}
	zeros     = param.Init{Kind: "zeros"}
	wideCut   = param.Init{Kind: "trunc_normal", A: .02, B: 2}
	narrowCut = param.Init{Kind: "trunc_normal", A: .02, B: .02}
)

// The schemes of the methods' official code, as differences from timm's.
var (
	// SchemeTimm: linear layers and positions N(0, 0.02) cut at ±2, class token N(0, 1e-6), patch
	// projection U(±1/sqrt(C·p·p)), biases and bias tables zero, norms one.
	SchemeTimm = backbone.Scheme{}
	// SchemeMAE: linear layers and patch projection Xavier-uniform, packed qkv as one matrix;
	// tokens N(0, 0.02). He et al. 2022.
	SchemeMAE = backbone.Scheme{
		{Weights: "*_token", Init: param.Init{Kind: "normal", A: .02}},
		{Weights: "patch_embed.proj.weight", Init: xavier},
		{Weights: "blocks.*.attn.*.weight", Init: xavier},
		{Weights: "blocks.*.mlp.*.weight", Init: xavier},
	}
	// SchemeDINO: the class token N(0, 0.02) cut at ±2. Also SiT's. Caron et al. 2021.
	SchemeDINO = backbone.Scheme{{Weights: "*_token", Init: wideCut}}
	// SchemeBEiT: everything N(0, 0.02) cut at one standard deviation, the patch projection's bias
	// zero, attn.proj and mlp.fc2 of block l = 1… divided by sqrt(2l). Bao et al. 2022.
	SchemeBEiT = backbone.Scheme{
		{Weights: "blocks.*.attn.proj.weight", Init: narrowCut, ByDepth: true},
		{Weights: "blocks.*.mlp.fc2.weight", Init: narrowCut, ByDepth: true},
		{Weights: "blocks.*.attn.*.weight", Init: narrowCut},
		{Weights: "blocks.*.mlp.*.weight", Init: narrowCut},
		{Weights: "patch_embed.proj.weight", Init: narrowCut},
		{Weights: "patch_embed.proj.bias", Init: zeros},
		{Weights: "*_token", Init: narrowCut},
		{Weights: "pos_embed", Init: narrowCut},
	}
	// SchemeMoCoV3: queries, keys and values as separate Xavier-uniform matrices, other linear
	// layers and the patch projection Xavier-uniform, its bias zero. Chen et al. 2021.
	SchemeMoCoV3 = backbone.Scheme{
		{Weights: "blocks.*.attn.qkv.weight", Init: xavier, Stacked: 3},
		{Weights: "blocks.*.attn.*.weight", Init: xavier},
		{Weights: "blocks.*.mlp.*.weight", Init: xavier},
		{Weights: "patch_embed.proj.weight", Init: xavier},
		{Weights: "patch_embed.proj.bias", Init: zeros},
	}
	// SchemeNone draws nothing: all zero, to be filled from a file.
	SchemeNone = backbone.Zeros
)

var schemes = map[string]backbone.Scheme{
	"": SchemeTimm, "timm": SchemeTimm, "mae": SchemeMAE, "dino": SchemeDINO, "beit": SchemeBEiT, "mocov3": SchemeMoCoV3, "none": SchemeNone,
}

// Scheme returns a scheme by the name that plans give it; "" is timm's.
func (c Config) Scheme(name string) (backbone.Scheme, error) {
	if s, ok := schemes[name]; ok {
		return s, nil
	}
	known := slices.Sorted(maps.Keys(schemes))[1:]
	return nil, fmt.Errorf("%s: unknown initialization %q: want one of %s", c.Name, name, strings.Join(known, ", "))
}
