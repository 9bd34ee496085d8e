// Package vit is the Vision Transformer: its configuration, the table of named variants, its weights under timm's
// names, their official initializations, and the forward pass as a graph of core's operators.
//
// The encoder is that of Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), with the options that the
// self-supervised methods need: fixed or learned position tables, dropped or masked tokens, relative position bias,
// layer scale and stochastic depth.
package vit

import (
	"cmp"
	"fmt"

	"github.com/vittool/vittool/backbone"
)

// PosEmbed says how patches learn where they are.
type PosEmbed string

// The kinds of absolute position embedding.
const (
	PosLearned   PosEmbed = backbone.Learned      // a trainable table
	PosSinCos    PosEmbed = backbone.SinCosColumn // a fixed table: column first, then row
	PosSinCosRow PosEmbed = backbone.SinCosRow    // a fixed table: row first, then column
	PosNone      PosEmbed = backbone.None         // no absolute positions (BEiT's default)
)

// Fixed reports whether the table is computed rather than learned.
func (p PosEmbed) Fixed() bool { return p == PosSinCos || p == PosSinCosRow }

// PosInterpolation names the rule that resamples a position table for another image size.
type PosInterpolation string

// The two rules in use; they differ by where a target cell falls on the source grid.
const (
	InterpolateMAE  PosInterpolation = "mae"  // source = (i+0.5)*in/out - 0.5
	InterpolateDINO PosInterpolation = "dino" // source = (i+0.5)*in/(out+0.1) - 0.5
)

// RelPos says whether attention scores carry a relative position bias (BEiT), and whether blocks share it.
type RelPos string

// The kinds of relative position bias.
const (
	RelPosNone     RelPos = backbone.None
	RelPosShared   RelPos = backbone.RelativeShared
	RelPosPerBlock RelPos = backbone.RelativePerBlock
	RelPosBoth     RelPos = backbone.RelativeBoth // the shared table's bias plus that of the block's own
)

// shared and perBlock report which tables a kind has.
func (r RelPos) shared() bool   { return r == RelPosShared || r == RelPosBoth }
func (r RelPos) perBlock() bool { return r == RelPosPerBlock || r == RelPosBoth }

// Config describes one Vision Transformer. The zero values of Channels, MLPRatio, LNEps, PosEmbed, PosInterp and
// RelPos stand for their usual settings; Normalized fills them in.
type Config struct {
	Name string `json:"name"`

	// ImageH and ImageW are the height and width in pixels that the position table is made for.
	ImageH   int `json:"image_h"`
	ImageW   int `json:"image_w"`
	Patch    int `json:"patch"`    // side of a square patch in pixels
	Channels int `json:"channels"` // image channels; 3 if zero

	Dim      int     `json:"dim"`
	Depth    int     `json:"depth"`
	Heads    int     `json:"heads"`
	HeadDim  int     `json:"head_dim,omitempty"` // width of one head; Dim/Heads if zero
	MLPRatio float64 `json:"mlp_ratio"`          // inner width of the MLP over Dim; 4 if zero

	QKVBias bool `json:"qkv_bias"`
	// SplitQVBias stores the packed bias as BEiT does, q_bias and v_bias, with the keys' part fixed at zero.
	SplitQVBias bool    `json:"split_qv_bias,omitempty"`
	LNEps       float64 `json:"ln_eps"` // 1e-6 if zero

	PosEmbed  PosEmbed         `json:"pos_embed"`
	PosInterp PosInterpolation `json:"pos_interp,omitempty"`
	RelPos    RelPos           `json:"rel_pos,omitempty"`

	ClassToken bool `json:"class_token"`
	MaskToken  bool `json:"mask_token,omitempty"` // a learned token that stands in for masked patches

	DropPath   float64 `json:"drop_path,omitempty"`   // rate of the last block; it rises linearly from zero
	LayerScale float64 `json:"layer_scale,omitempty"` // initial value of the per-channel scale; none if zero
}

// Normalized returns the config with unset fields at their usual values.
func (c Config) Normalized() Config {
	if c.Channels == 0 {
		c.Channels = 3
	}
	if c.MLPRatio == 0 {
		c.MLPRatio = 4
	}
	if c.LNEps == 0 {
		c.LNEps = 1e-6
	}
	if c.PosEmbed == "" {
		c.PosEmbed = PosLearned
	}
	if c.PosInterp == "" {
		c.PosInterp = InterpolateDINO
	}
	if c.RelPos == "" {
		c.RelPos = RelPosNone
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Dim / c.Heads
	}
	return c
}

// CheckImage refuses image sizes in pixels that the network can't be run at: those that the patch does not divide,
// and, where positions are relative, any but its own.
func (c Config) CheckImage(h, w int) error {
	if err := c.WithImage(h, w).Validate(); err != nil {
		return err
	}
	if c.Normalized().RelPos != RelPosNone && (h != c.ImageH || w != c.ImageW) {
		return fmt.Errorf("%s: its relative position bias is for images of %d×%d pixels, not %d×%d", c.Name, c.ImageH, c.ImageW, h, w)
	}
	return nil
}

// WithImage returns the config for another image size in pixels.
func (c Config) WithImage(h, w int) Config {
	c.ImageH, c.ImageW = h, w
	return c
}

// Validate reports the first setting that no network can be built from.
func (c Config) Validate() error {
	err := c.checkSizes()
	if err == nil {
		err = c.checkPositions()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cmp.Or(c.Name, "model"), err)
	}
	return nil
}

// checkSizes refuses numbers of which no network can be built.
func (c Config) checkSizes() error {
	n := c.Normalized()
	switch {
	case n.Patch <= 0:
		return fmt.Errorf("patch size %d: it must be positive", c.Patch)
	case n.ImageH <= 0 || n.ImageW <= 0:
		return fmt.Errorf("image size %d×%d: height and width must be positive", c.ImageH, c.ImageW)
	case n.ImageH%n.Patch != 0:
		return fmt.Errorf("image height %d is not a multiple of the patch size %d", c.ImageH, c.Patch)
	case n.ImageW%n.Patch != 0:
		return fmt.Errorf("image width %d is not a multiple of the patch size %d", c.ImageW, c.Patch)
	case n.Channels < 0:
		return fmt.Errorf("%d image channels: it must be positive", c.Channels)
	case n.Dim <= 0 || n.Depth < 0 || n.Heads <= 0:
		return fmt.Errorf("width %d, depth %d, heads %d: width and heads must be positive", c.Dim, c.Depth, c.Heads)
	case c.HeadDim == 0 && n.Dim%n.Heads != 0:
		return fmt.Errorf("width %d is not a multiple of %d heads", c.Dim, c.Heads)
	case n.HeadDim <= 0:
		return fmt.Errorf("head width %d: it must be positive", c.HeadDim)
	case n.MLPRatio < 0 || n.Hidden() < 1:
		return fmt.Errorf("mlp_ratio %g: the inner width must be at least 1", c.MLPRatio)
	case !(n.LNEps > 0):
		return fmt.Errorf("ln_eps %g: it must be positive", c.LNEps)
	case !(n.DropPath >= 0 && n.DropPath < 1):
		return fmt.Errorf("drop_path %g: the range is [0, 1)", c.DropPath)
	}
	return nil
}

// checkPositions refuses unknown kinds of positions and those that the sizes do not allow.
func (c Config) checkPositions() error {
	n := c.Normalized()
	switch n.PosEmbed {
	case PosLearned, PosNone:
	case PosSinCos, PosSinCosRow:
		if n.Dim%4 != 0 {
			return fmt.Errorf("width %d is not a multiple of 4, as pos_embed %s needs", c.Dim, c.PosEmbed)
		}
	default:
		return fmt.Errorf("pos_embed %q: want one of learned, sincos2d, sincos2d_row, none", c.PosEmbed)
	}
	if n.PosInterp != InterpolateMAE && n.PosInterp != InterpolateDINO {
		return fmt.Errorf("pos_interp %q: want one of mae, dino", c.PosInterp)
	}
	switch n.RelPos {
	case RelPosNone:
	case RelPosShared, RelPosPerBlock, RelPosBoth:
		if !c.ClassToken {
			return fmt.Errorf("rel_pos %s is defined with a class token only", c.RelPos)
		}
	default:
		return fmt.Errorf("rel_pos %q: want one of none, shared, per_block, both", c.RelPos)
	}
	return nil
}

// Grid returns the number of patch rows and columns of an image of the configured size.
func (c Config) Grid() (rows, cols int) { return c.ImageH / c.Patch, c.ImageW / c.Patch }

// Patches is the number of patches of an image of the configured size.
func (c Config) Patches() int { h, w := c.Grid(); return h * w }

// Prefix is the number of tokens in front of the patches: 1 with a class token.
func (c Config) Prefix() int {
	if c.ClassToken {
		return 1
	}
	return 0
}

// Hidden is the inner width of the MLP, truncated as the reference implementations do.
func (c Config) Hidden() int { return int(float64(c.Dim) * c.MLPRatio) }

// Inner is the width of queries, keys and values: heads times the width of one.
func (c Config) Inner() int {
	c = c.Normalized()
	return c.Heads * c.HeadDim
}

// PatchDim is the number of values in one patch.
func (c Config) PatchDim() int { c = c.Normalized(); return c.Channels * c.Patch * c.Patch }

// Beit reports whether weights go by the names that timm gives BEiT (gamma_1, q_bias) rather than ViT (ls1.gamma).
func (c Config) Beit() bool {
	return c.SplitQVBias || c.RelPos.shared() || c.RelPos.perBlock()
}

// DropPathRate is the rate of block i: linear from 0 in the first block to DropPath in the last.
func (c Config) DropPathRate(i int) float64 {
	if c.Depth < 2 {
		return 0
	}
	return c.DropPath * float64(i) / float64(c.Depth-1)
}

// ForwardFLOPs counts the forward pass of one image, as 2 × multiply-adds of matrix products and attention, when
// patches patches are embedded and run through the blocks (all of them if patches is 0). A training step is three
// times that.
func (c Config) ForwardFLOPs(patches int) float64 {
	c = c.Normalized()
	if patches == 0 {
		patches = c.Patches()
	}
	n := float64(patches + c.Prefix())
	embed := 2 * float64(patches) * float64(c.PatchDim()) * float64(c.Dim)
	return embed + float64(c.Depth)*BlockFLOPs(n, float64(c.Dim), float64(c.Inner()), float64(c.Hidden()))
}

// BlockFLOPs counts the forward pass of one transformer block over n tokens of the given width, inner attention
// width and MLP width.
func BlockFLOPs(n, dim, inner, hidden float64) float64 {
	return 2*n*(3*dim*inner+inner*dim+2*dim*hidden) + 4*n*n*inner
}

// Parameters counts the values of all weights, fixed position tables included.
func (c Config) Parameters() int {
	total := 0
	for _, w := range c.Weights() {
		total += w.Shape.Size()
	}
	return total
}
