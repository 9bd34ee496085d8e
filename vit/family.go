package vit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/tensor"
)

// Family is the family of vision transformers; see [backbone.Family].
type Family struct{}

// Name is vit.
func (Family) Name() string { return "vit" }

// Variants lists all full names; see [Variants].
func (Family) Variants() []string { return Variants() }

// Variant returns a model by its name; see [Variant].
func (Family) Variant(name string) (backbone.Config, error) { return Variant(name) }

// Decode reads a [Config] from JSON and checks it.
func (Family) Decode(text []byte) (backbone.Config, error) {
	var c Config
	if err := backbone.DecodeStrict(text, &c); err != nil {
		return nil, err
	}
	c = c.Normalized()
	return c, c.Validate()
}

// Landmark is the projection of patches.
func (Family) Landmark() string { return "patch_embed.proj.weight" }

// Recognize names the variants of which a file has every tensor in its shape, and no more blocks.
func (Family) Recognize(shape func(name string) (tensor.Shape, bool)) []string {
	matches := func(name string) bool {
		c, err := Variant(name)
		if _, deeper := shape(fmt.Sprintf("blocks.%d.norm1.weight", c.Depth)); err != nil || deeper {
			return false
		}
		return backbone.Holds(shape, c.Weights())
	}
	return slices.DeleteFunc(Variants(), func(name string) bool { return !matches(name) })
}

// Samples are a small network and a common one, one for images that are not square, and one for
// gray images.
func (Family) Samples() []backbone.Config {
	sample := func(name string, dim, depth, heads, patch, h, w, channels int) backbone.Config {
		return Config{Name: name, ImageH: h, ImageW: w, Patch: patch, Channels: channels, Dim: dim, Depth: depth, Heads: heads,
			QKVBias: true, ClassToken: true}.Normalized()
	}
	return []backbone.Config{
		sample("vit_micro_patch4_32", 128, 6, 4, 4, 32, 32, 3),
		sample("vit_base_patch16_224", 768, 12, 12, 16, 224, 224, 3),
		sample("vit_wide_patch16", 64, 2, 2, 16, 160, 224, 3),
		sample("vit_gray_patch8", 64, 2, 4, 8, 64, 64, 1),
	}
}

// Info returns name and sizes; see [backbone.Info].
func (c Config) Info() backbone.Info {
	c = c.Normalized()
	return backbone.Info{
		Name: c.Name, Family: Family{}.Name(), ImageH: c.ImageH, ImageW: c.ImageW, Channels: c.Channels, Patch: c.Patch,
		Dim: c.Dim, Depth: c.Depth, Heads: c.Heads, PrefixTokens: c.Prefix(), NormEps: c.LNEps,
	}
}

// With returns the config with a user's settings; see [backbone.Config].
func (c Config) With(s backbone.Settings) (backbone.Config, error) {
	switch {
	case s.WidthFactor != 0 && s.WidthFactor != 1:
		return nil, fmt.Errorf("the width of %s is a part of its name", c.Name)
	case s.ZeroInitLast:
		return nil, fmt.Errorf("%s has no batch norms", c.Name)
	}
	c.ImageH, c.ImageW, c.Channels = cmp.Or(s.Height, c.ImageH), cmp.Or(s.Width, c.ImageW), cmp.Or(s.Channels, c.Channels)
	c.DropPath, c.LayerScale = cmp.Or(s.DropPath, c.DropPath), cmp.Or(s.LayerScale, c.LayerScale)
	return c, c.Validate()
}

// Require returns the config with a plan's requirements; see [backbone.Config].
func (c Config) Require(r backbone.Requirements) (backbone.Config, error) {
	c = c.Normalized()
	if r.Positions != "" {
		c.PosEmbed = PosEmbed(r.Positions)
	}
	if r.Positions == backbone.SinCosColumn {
		c.PosInterp = InterpolateMAE
	}
	if r.ClassToken != "" {
		c.ClassToken = r.ClassToken == backbone.Required
	}
	if r.Relative != "" {
		c.RelPos = RelPos(r.Relative)
	}
	if r.LayerScale != 0 {
		c.LayerScale = r.LayerScale
	}
	c.SplitQVBias = c.SplitQVBias || r.SplitQVBias
	if c.DropPath == 0 {
		c.DropPath = r.DropPath
	}
	return c, c.Validate()
}

// Beside reports whether a tensor stands next to the network in files of other tools: a classifier,
// the decoder and mask token of MAE, and names without any of the parts of Vision Transformers.
func (c Config) Beside(name string) bool {
	return slices.ContainsFunc([]string{"head.", "head_dist.", "fc_norm.", "decoder_", "decoder.", "mask_token"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	}) || !backbone.Within(name, parts)
}

// parts are words in the names of a Vision Transformer's modules, also of kinds that are not built
// here: norm_pre, dist_token, rel_pos_bias, blocks_token_only.
var parts = []string{"block", "blocks", "layer", "layers", "stage", "stages", "stem", "conv", "patch", "embed", "embeddings", "pos", "rel", "rope",
	"cls", "reg", "token", "tokens", "norm", "ln"}
