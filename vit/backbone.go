package vit

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/transformer"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// Backbone is a ViT whose weights lie in a store. Several graphs, of different batches and image
// sizes, may be built from one.
type Backbone struct {
	backbone.Tensors
	config Config
	prefix string // of the weights' names in the store, such as "backbone."
}

// New creates the weights of a network in the store under prefix + timm's name; see
// [backbone.Create].
func New(store *param.Store, prefix string, c Config, scheme backbone.Scheme, seed uint64) (*Backbone, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.Normalized()
	tensors, err := backbone.Create(store, prefix, c.Name, c.Weights(), scheme, seed)
	return &Backbone{Tensors: tensors, config: c, prefix: prefix}, err
}

// New creates the weights of a network; see [backbone.Config].
func (c Config) New(store *param.Store, prefix string, scheme backbone.Scheme, seed uint64) (backbone.Network, error) {
	return New(store, prefix, c, scheme, seed)
}

// Config returns the configuration, a [Config].
func (b *Backbone) Config() backbone.Config { return b.config }

// DropPath declares the factors of stochastic depth; see [backbone.Network].
func (b *Backbone) DropPath(g *core.Graph, name string, batch int) *backbone.DropPath {
	rates := make([]float64, b.config.Depth)
	for i := range rates {
		rates[i] = b.config.DropPathRate(i)
	}
	return backbone.NewDropPath(g, name, rates, 2, batch) // the attention and the MLP branch
}

// EmbedPatches maps patch pixels [B, K, C·p·p] in (channel, row, column) order to [B, K, D], without
// positions.
func (b *Backbone) EmbedPatches(g *core.Graph, pixels *core.Node) *core.Node {
	w := g.Reshape(b.Node(g, "patch_embed.proj.weight"), tensor.Shape{b.config.Dim, b.config.PatchDim()})
	return ops.Linear(g, pixels, w, b.Node(g, "patch_embed.proj.bias"))
}

// PatchPixels cuts images [B, C, H, W] into [B, L, C·p·p], each patch in (channel, row, column) order.
func (b *Backbone) PatchPixels(g *core.Graph, images *core.Node) *core.Node {
	return ops.Patchify(g, images, b.config.Patch, ops.CHW)
}

// Forward builds the pass over images [B, C, H, W]. H and W may differ from the config's if the
// patch divides them: the position table is resampled. Shape errors come out of the graph's
// Compile; Forward refuses options that the network lacks. The outputs are of type *[Outputs].
func (b *Backbone) Forward(g *core.Graph, images *core.Node, o backbone.Options) (backbone.Outputs, error) {
	if err := b.check(g, images, o); err != nil {
		return nil, err
	}
	return b.forward(g, images, o), nil
}

// check refuses a pass that the network cannot do.
func (b *Backbone) check(g *core.Graph, images *core.Node, o backbone.Options) error {
	c := b.config
	s := images.Shape()
	if len(s) != 4 || s[1] != c.Channels {
		return fmt.Errorf("%s: images are %v: want [batch, %d, height, width]", c.Name, s, c.Channels)
	}
	if err := c.CheckImage(s[2], s[3]); err != nil {
		return err
	}
	switch {
	case c.RelPos != RelPosNone && o.Keep != nil:
		return fmt.Errorf("%s: relative position bias is for whole images, and this pass drops patches", c.Name)
	case o.Mask != nil && b.maskToken(g, o) == nil:
		return fmt.Errorf("%s: a pass with masked patches needs a mask token, and the network has none", c.Name)
	case o.Mask != nil && o.Keep != nil:
		return fmt.Errorf("%s: a pass either drops patches or masks them, not both", c.Name)
	}
	return nil
}

// maskToken is the node of the token that stands in for masked patches, nil without one.
func (b *Backbone) maskToken(g *core.Graph, o backbone.Options) *core.Node {
	if o.MaskToken != nil {
		return o.MaskToken
	}
	return b.Node(g, "mask_token")
}

func (b *Backbone) forward(g *core.Graph, images *core.Node, o backbone.Options) *Outputs {
	c := b.config
	s := images.Shape()
	rows, cols := s[2]/c.Patch, s[3]/c.Patch
	own, ownCols := c.Grid()
	sameGrid := rows == own && cols == ownCols
	out := &Outputs{g: g, config: c, Rows: rows, Cols: cols, dropped: o.Keep != nil}
	pixels := b.PatchPixels(g, images)
	if o.Keep != nil {
		pixels = ops.GatherTokens(g, pixels, o.Keep)
	}
	x := b.EmbedPatches(g, pixels)
	if o.Mask != nil {
		x = ops.ReplaceTokens(g, x, b.maskToken(g, o), o.Mask)
	}
	var pos *core.Node
	if c.PosEmbed != PosNone {
		pos = b.Node(g, "pos_embed")
		if !sameGrid {
			pos = ops.InterpolatePositions(g, pos, own, ownCols, rows, cols, string(c.PosInterp))
		}
		if o.Keep != nil {
			x = ops.AddPositionsAt(g, x, pos, o.Keep, c.Prefix())
		} else {
			x = ops.AddPositions(g, x, pos, c.Prefix())
		}
		out.Positions = pos
	}
	if c.ClassToken {
		x = ops.PrependToken(g, b.Node(g, "cls_token"), x, pos)
	}
	out.Embedded = x

	var shared *core.Node
	if c.RelPos.shared() {
		shared = b.relativeBias(g, "rel_pos_bias.relative_position_bias_table")
	}
	for i := range c.Depth {
		bias := shared
		if c.RelPos.perBlock() {
			bias = b.relativeBias(g, fmt.Sprintf("blocks.%d.attn.relative_position_bias_table", i))
			if shared != nil {
				bias = ops.Add(g, shared, bias)
			}
		}
		block := transformer.Block(g, x, b.blockWeights(g, i), transformer.BlockOptions{
			Heads: c.Heads, Eps: c.LNEps, Bias: bias, DropPath: [2]*core.Node{o.DropPath.Factor(i, 0), o.DropPath.Factor(i, 1)},
		})
		x = block.X
		out.Blocks = append(out.Blocks, x)
		out.qkv = append(out.qkv, block.QKV)
		out.bias = append(out.bias, bias)
	}
	out.norm = func(x *core.Node) *core.Node {
		return ops.LayerNorm(g, x, b.Node(g, "norm.weight"), b.Node(g, "norm.bias"), c.LNEps)
	}
	out.Tokens = out.norm(x)
	return out
}

func (b *Backbone) blockWeights(g *core.Graph, i int) transformer.BlockWeights {
	p := func(name string) *core.Node { return b.Node(g, fmt.Sprintf("blocks.%d.%s", i, name)) }
	gamma1, gamma2 := b.config.layerScaleNames()
	w := transformer.BlockWeights{
		Norm1Weight: p("norm1.weight"), Norm1Bias: p("norm1.bias"),
		QKVWeight: p("attn.qkv.weight"), QKVBias: p("attn.qkv.bias"),
		ProjWeight: p("attn.proj.weight"), ProjBias: p("attn.proj.bias"), LayerScale1: p(gamma1),
		Norm2Weight: p("norm2.weight"), Norm2Bias: p("norm2.bias"),
		FC1Weight: p("mlp.fc1.weight"), FC1Bias: p("mlp.fc1.bias"),
		FC2Weight: p("mlp.fc2.weight"), FC2Bias: p("mlp.fc2.bias"), LayerScale2: p(gamma2),
	}
	if q := p("attn.q_bias"); q != nil {
		zero := g.Input(fmt.Sprintf("%sblocks.%d.attn.k_bias", b.prefix, i), tensor.Shape{b.config.Inner()})
		w.QKVBias = ops.Concat(g, q, zero, p("attn.v_bias"))
	}
	return w
}

// relativeBias expands a bias table to the scores of all pairs of tokens, [H, N, N].
func (b *Backbone) relativeBias(g *core.Graph, table string) *core.Node {
	rows, cols := b.config.Grid()
	index, _ := RelativePositions(rows, cols)
	return ops.RelativeBias(g, b.Node(g, table), index)
}
