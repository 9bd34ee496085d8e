package vit

import (
	"errors"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/tensor"
)

// Outputs are the nodes of one forward pass. B is the batch, T the number of tokens, D the width.
type Outputs struct {
	Tokens     *core.Node   // [B, T, D] after the final LayerNorm, class token first
	Embedded   *core.Node   // [B, T, D] as they enter the first block
	Positions  *core.Node   // [1, prefix+L, D] for this image size, or nil
	Blocks     []*core.Node // [B, T, D] after each block, before the final LayerNorm
	Rows, Cols int          // grid of the images' patches

	g           *core.Graph
	config      Config
	norm        func(x *core.Node) *core.Node // the final LayerNorm
	qkv         []*core.Node
	bias        []*core.Node
	class       *core.Node
	patchTokens *core.Node
	pooled      *core.Node
	grid        *core.Node
	dropped     bool // patches of the images are missing
}

// Output returns a named output; see [backbone.Outputs].
func (o *Outputs) Output(name backbone.Output) (*core.Node, error) {
	switch name {
	case backbone.Class:
		return o.Class()
	case backbone.Tokens:
		return o.Tokens, nil
	case backbone.PatchTokens:
		return o.PatchTokens(), nil
	case backbone.Pooled:
		return o.Pooled(), nil
	case backbone.Map:
		return o.Map()
	}
	return nil, backbone.NoOutput(o.config.Name, name)
}

// Tap returns the tokens after block i, [B, T, D], before the final LayerNorm.
func (o *Outputs) Tap(i int) (*core.Node, error) {
	if err := o.config.Info().CheckTap(i); err != nil {
		return nil, err
	}
	return o.Blocks[i], nil
}

// After are the outputs as if block i, counted from 0, were the last one: its tokens go through the
// final LayerNorm, as in DINO's get_intermediate_layers. Taps and attention stay those of the whole
// network.
func (o *Outputs) After(i int) (backbone.Outputs, error) {
	tokens, err := o.Tap(i)
	if err != nil || i == o.config.Depth-1 {
		return o, err
	}
	early := *o
	early.Tokens, early.class, early.patchTokens, early.pooled, early.grid = o.norm(tokens), nil, nil, nil, nil
	return &early, nil
}

// Class is the class token after the final LayerNorm, [B, D].
func (o *Outputs) Class() (*core.Node, error) {
	if !o.config.ClassToken {
		return nil, backbone.NoOutput(o.config.Name, backbone.Class)
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
	if o.patchTokens == nil {
		o.patchTokens = ops.SliceTokens(o.g, o.Tokens, 1, o.Tokens.Shape()[1])
	}
	return o.patchTokens
}

// Pooled is the mean of the patches' tokens after the final LayerNorm, [B, D].
func (o *Outputs) Pooled() *core.Node {
	if o.pooled == nil {
		o.pooled = ops.MeanTokens(o.g, o.Tokens, o.config.Prefix())
	}
	return o.pooled
}

// Map is the patch tokens as a map, [B, D, rows, columns], of a pass that sees all patches.
func (o *Outputs) Map() (*core.Node, error) {
	if o.dropped {
		return nil, errors.New("a pass that drops patches has no map of them")
	}
	if o.grid == nil {
		t := o.PatchTokens()
		s := t.Shape()
		o.grid = o.g.Reshape(ops.TransposeTokens(o.g, t), tensor.Shape{s[0], s[2], o.Rows, o.Cols})
	}
	return o.grid, nil
}

// Attention is the softmax weights of block i, [B, H, T, T]; for pictures, it takes no part in the
// gradient.
func (o *Outputs) Attention(i int) (*core.Node, error) {
	if err := o.config.Info().CheckTap(i); err != nil {
		return nil, err
	}
	return ops.AttentionProbabilities(o.g, o.qkv[i], o.config.Heads, o.bias[i], false), nil
}
