package vit

import (
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// Backbone is a ViT whose weights lie in a store. Several graphs, of different batches and image sizes, may be built
// from one.
type Backbone struct {
	Config Config
	Prefix string // of the weights' names in the store, such as "backbone."

	weights map[string]*param.Parameter // by timm's name
	order   []*param.Parameter
}

// New creates the weights of a network in the store under prefix + timm's name and initialises them by the scheme.
// A fixed position table is computed and frozen. Weights that the store has already are taken as they are, so that
// several backbones, of other batches or for evaluation, can stand on one store.
func New(store *param.Store, prefix string, c Config, scheme Scheme, seed uint64) (*Backbone, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.Normalized()
	b := &Backbone{Config: c, Prefix: prefix, weights: map[string]*param.Parameter{}}
	for _, w := range c.Weights() {
		init, err := scheme.Init(c, w)
		if err != nil {
			return nil, err
		}
		p := store.Get(prefix + w.Name)
		if p != nil {
			if !p.Shape.Equal(w.Shape) {
				return nil, fmt.Errorf("%s: weight %s is there already as %v, want %v", c.Name, prefix+w.Name, p.Shape, w.Shape)
			}
			b.weights[w.Name] = p
			b.order = append(b.order, p)
			continue
		}
		if p, err = store.Add(prefix+w.Name, w.Shape, init, seed); err != nil {
			return nil, fmt.Errorf("%s: weight %s: %w", c.Name, w.Name, err)
		}
		p.Decay = MatrixDecay(w.Name, w.Shape)
		if w.Role == RolePositions && c.PosEmbed.Fixed() {
			rows, cols := c.Grid()
			copy(p.Data, SinCosTable(c.PosEmbed, c.Dim, rows, cols, c.Prefix()))
			p.Frozen = true
		}
		b.weights[w.Name] = p
		b.order = append(b.order, p)
	}
	return b, nil
}

// Weight returns a weight by timm's name, or nil.
func (b *Backbone) Weight(name string) *param.Parameter { return b.weights[name] }

// Weights returns all weights in timm's order.
func (b *Backbone) Weights() []*param.Parameter { return b.order }

// Freeze marks all weights as not trained, as those of a teacher.
func (b *Backbone) Freeze() {
	for _, p := range b.order {
		p.Frozen = true
	}
}

// CopyFrom copies the values of another backbone of the same config.
func (b *Backbone) CopyFrom(src *Backbone) error {
	for name, p := range b.weights {
		s := src.weights[name]
		if s == nil || !s.Shape.Equal(p.Shape) {
			return fmt.Errorf("copy backbone %s from %s: weight %s is missing or of another shape there", b.Prefix, src.Prefix, name)
		}
		copy(p.Data, s.Data)
	}
	return nil
}

// Options are the variations of one forward pass.
type Options struct {
	// Keep [B, K] int: indices of the patches that are seen, in the order in which they become tokens; the others
	// cost nothing. Nil keeps all.
	Keep *core.Node
	// Mask [B, L]: 1 where a patch's embedding is replaced by the mask token, in raster order. Nil masks none.
	Mask *core.Node
	// MaskToken [1, 1, D] stands in for masked patches; nil is the backbone's own weight mask_token.
	MaskToken *core.Node
	// DropPath holds the factors of stochastic depth; nil is evaluation.
	DropPath *DropPath
}

// Outputs are the nodes of one forward pass. B is the batch, T the number of tokens, D the width.
type Outputs struct {
	Tokens     *core.Node   // [B, T, D] after the final LayerNorm, class token first
	Embedded   *core.Node   // [B, T, D] as they enter the first block
	Positions  *core.Node   // [1, prefix+L, D] for this image size, or nil
	Blocks     []*core.Node // [B, T, D] after each block, before the final LayerNorm
	Rows, Cols int          // grid of the images' patches

	g       *core.Graph
	config  Config
	norm    func(x *core.Node) *core.Node // the final LayerNorm
	qkv     []*core.Node
	bias    []*core.Node
	class   *core.Node
	patches *core.Node
	pooled  *core.Node
}

// param returns the node of a weight, nil where the network has none of this name.
func (b *Backbone) param(g *core.Graph, name string) *core.Node {
	if p := b.weights[name]; p != nil {
		return g.Param(p)
	}
	return nil
}

// EmbedPatches maps patches [B, K, C·p·p] in (channel, row, column) order to [B, K, D], without positions.
func (b *Backbone) EmbedPatches(g *core.Graph, patches *core.Node) *core.Node {
	w := g.Reshape(b.param(g, "patch_embed.proj.weight"), tensor.Shape{b.Config.Dim, b.Config.PatchDim()})
	return ops.Linear(g, patches, w, b.param(g, "patch_embed.proj.bias"))
}

// Patches cuts images [B, C, H, W] into [B, L, C·p·p], each patch in (channel, row, column) order.
func (b *Backbone) Patches(g *core.Graph, images *core.Node) *core.Node {
	return ops.Patchify(g, images, b.Config.Patch, ops.CHW)
}

// Forward builds the pass over images [B, C, H, W]. H and W may differ from the config's if the patch divides them:
// the position table is resampled. Shape errors come out of the graph's Compile; Forward reports what the network
// itself cannot do.
func (b *Backbone) Forward(g *core.Graph, images *core.Node, o Options) (*Outputs, error) {
	c := b.Config
	s := images.Shape()
	if len(s) != 4 || s[1] != c.Channels {
		return nil, fmt.Errorf("%s: images are %v: want [batch, %d, height, width]", c.Name, s, c.Channels)
	}
	if err := c.CheckImage(s[2], s[3]); err != nil {
		return nil, err
	}
	rows, cols := s[2]/c.Patch, s[3]/c.Patch
	own, ownCols := c.Grid()
	sameGrid := rows == own && cols == ownCols
	if c.RelPos != RelPosNone && o.Keep != nil {
		return nil, fmt.Errorf("%s: relative position bias is for whole images, and this pass drops patches", c.Name)
	}
	maskToken := o.MaskToken
	if maskToken == nil {
		maskToken = b.param(g, "mask_token")
	}
	if o.Mask != nil && maskToken == nil {
		return nil, fmt.Errorf("%s: a pass with masked patches needs a mask token, and the network has none", c.Name)
	}
	if o.Mask != nil && o.Keep != nil {
		return nil, fmt.Errorf("%s: a pass either drops patches or masks them, not both", c.Name)
	}

	out := &Outputs{g: g, config: c, Rows: rows, Cols: cols}
	patches := b.Patches(g, images)
	if o.Keep != nil {
		patches = ops.GatherTokens(g, patches, o.Keep)
	}
	x := b.EmbedPatches(g, patches)
	if o.Mask != nil {
		x = ops.ReplaceTokens(g, x, maskToken, o.Mask)
	}
	var pos *core.Node
	if c.PosEmbed != PosNone {
		pos = b.param(g, "pos_embed")
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
		x = ops.PrependToken(g, b.param(g, "cls_token"), x, pos)
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
		block := Block(g, x, b.blockWeights(g, i), BlockOptions{
			Heads: c.Heads, Eps: c.LNEps, Bias: bias, DropPath: o.DropPath.Block(i),
		})
		x = block.X
		out.Blocks = append(out.Blocks, x)
		out.qkv = append(out.qkv, block.QKV)
		out.bias = append(out.bias, bias)
	}
	out.norm = func(x *core.Node) *core.Node {
		return ops.LayerNorm(g, x, b.param(g, "norm.weight"), b.param(g, "norm.bias"), c.LNEps)
	}
	out.Tokens = out.norm(x)
	return out, nil
}

func (b *Backbone) blockWeights(g *core.Graph, i int) BlockWeights {
	p := func(name string) *core.Node { return b.param(g, fmt.Sprintf("blocks.%d.%s", i, name)) }
	gamma1, gamma2 := b.Config.layerScaleNames()
	w := BlockWeights{
		Norm1Weight: p("norm1.weight"), Norm1Bias: p("norm1.bias"),
		QKVWeight: p("attn.qkv.weight"), QKVBias: p("attn.qkv.bias"),
		ProjWeight: p("attn.proj.weight"), ProjBias: p("attn.proj.bias"), LayerScale1: p(gamma1),
		Norm2Weight: p("norm2.weight"), Norm2Bias: p("norm2.bias"),
		FC1Weight: p("mlp.fc1.weight"), FC1Bias: p("mlp.fc1.bias"),
		FC2Weight: p("mlp.fc2.weight"), FC2Bias: p("mlp.fc2.bias"), LayerScale2: p(gamma2),
	}
	if q := p("attn.q_bias"); q != nil {
		zero := g.Input(fmt.Sprintf("%sblocks.%d.attn.k_bias", b.Prefix, i), tensor.Shape{b.Config.Inner()})
		w.QKVBias = ops.Concat(g, q, zero, p("attn.v_bias"))
	}
	return w
}

// relativeBias expands a bias table to the scores of all pairs of tokens, [H, N, N].
func (b *Backbone) relativeBias(g *core.Graph, table string) *core.Node {
	rows, cols := b.Config.Grid()
	index, _ := RelativePositions(rows, cols)
	return ops.RelativeBias(g, b.param(g, table), index)
}

// AfterBlock are the outputs as if block i, counted from 0, were the last one: its tokens go through the final
// LayerNorm, as in DINO's get_intermediate_layers. Blocks and Attention stay those of the whole network.
func (o *Outputs) AfterBlock(i int) *Outputs {
	if i == o.config.Depth-1 {
		return o
	}
	early := *o
	early.Tokens, early.class, early.patches, early.pooled = o.norm(o.Blocks[i]), nil, nil, nil
	return &early
}

// Class is the class token after the final LayerNorm, [B, D].
func (o *Outputs) Class() (*core.Node, error) {
	if !o.config.ClassToken {
		return nil, fmt.Errorf("%s has no class token", o.config.Name)
	}
	if o.class == nil {
		s := o.Tokens.Shape()
		o.class = o.g.Reshape(ops.SliceTokens(o.g, o.Tokens, 0, 1), tensor.Shape{s[0], s[2]})
	}
	return o.class, nil
}

// PatchTokens are the tokens of the patches after the final LayerNorm, [B, K, D].
func (o *Outputs) PatchTokens() *core.Node {
	if !o.config.ClassToken {
		return o.Tokens
	}
	if o.patches == nil {
		o.patches = ops.SliceTokens(o.g, o.Tokens, 1, o.Tokens.Shape()[1])
	}
	return o.patches
}

// Pooled is the mean of the patches' tokens after the final LayerNorm, [B, D].
func (o *Outputs) Pooled() *core.Node {
	if o.pooled == nil {
		o.pooled = ops.MeanTokens(o.g, o.Tokens, o.config.Prefix())
	}
	return o.pooled
}

// Attention is the softmax weights of block i, [B, H, T, T]; for pictures, it takes no part in the gradient.
func (o *Outputs) Attention(i int) *core.Node {
	return ops.AttentionProbabilities(o.g, o.qkv[i], o.config.Heads, o.bias[i], false)
}
