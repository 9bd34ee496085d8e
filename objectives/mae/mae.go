// Package mae is the masked autoencoder of He, Chen, Xie, Li, Dollár and Girshick, "Masked
// Autoencoders Are Scalable Vision Learners" (2021), https://arxiv.org/abs/2111.06377.
//
// Most patches of an image are masked. The network sees the visible ones only; a small decoder gets its
// tokens, a learned token at every masked place and the positions of all, and predicts the pixels.
// The loss is the mean squared error over the masked patches.
package mae

import (
	"fmt"

	"github.com/vittool/vittool/plugins/sdk"
)

// MAE holds the options; New gives the values of the paper.
type MAE struct {
	MaskRatio    float64 `option:"mask_ratio" above:"0" below:"1" help:"share of the patches that are masked; int(L*(1-ratio)) are visible"`
	NormPixLoss  bool    `option:"norm_pix_loss" help:"predict pixels normalized by mean and standard deviation of their patch"`
	DecoderDim   int     `option:"decoder_dim" min:"4" help:"width of the decoder, divisible by 4 and by decoder_heads"`
	DecoderDepth int     `option:"decoder_depth" min:"0" help:"blocks of the decoder"`
	DecoderHeads int     `option:"decoder_heads" min:"1" help:"attention heads of the decoder"`
	MLPRatio     float64 `option:"mlp_ratio" above:"0" help:"hidden width of the decoder's MLPs divided by decoder_dim"`
	QKVBias      bool    `option:"decoder_qkv_bias" help:"biases of queries, keys and values in the decoder"`
}

// New returns the objective with the defaults of the paper: 75 % masked, normalized pixels, a
// decoder 512 wide with 8 blocks and 16 heads for every backbone.
func New() *MAE {
	return &MAE{MaskRatio: 0.75, NormPixLoss: true, DecoderDim: 512, DecoderDepth: 8, DecoderHeads: 16, MLPRatio: 4, QKVBias: true}
}

// Info implements sdk.Objective.
func (o *MAE) Info() sdk.Info {
	return sdk.Info{
		Name:    "mae",
		Version: "1.0.0",
		Summary: "masked autoencoder: mask most patches, reconstruct their pixels",
		Paper:   "He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, https://arxiv.org/abs/2111.06377",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective. Parameters carry the names of the official code.
func (o *MAE) Plan(b *sdk.Builder) error {
	b.RequireViT(sdk.Requirements{PosEmbed: sdk.PosEmbedSinCosColumn, ClassToken: sdk.ClassTokenRequired, Init: initial()})
	image := b.View("image", sdk.Flip(0.5)) // the crop is the user's: the paper's is 0.2..1 of the area
	patches := image.Patches()
	visible := int(float64(patches) * (1 - o.MaskRatio)) // truncation as in the official code: at 0.9 none of 10 is visible
	if visible < 1 {
		b.Failf("mask_ratio %v leaves none of the %d patches visible; use a smaller one", o.MaskRatio, patches)
	}
	if visible >= patches {
		b.Failf("mask_ratio %v masks none of the %d patches, so there is nothing to predict; use a larger one", o.MaskRatio, patches)
	}
	if o.DecoderDim%4 != 0 {
		b.Failf("decoder_dim %d: its sine-cosine position table needs a number that 4 divides", o.DecoderDim)
	}
	if o.DecoderDim%o.DecoderHeads != 0 {
		b.Failf("decoder_heads %d does not divide decoder_dim %d", o.DecoderHeads, o.DecoderDim)
	}
	mask := b.KeepMask("mask", image, visible, func(c *sdk.MaskCall, i int, keep []int32) {
		sdk.RandomKeep(c.RNG(i), patches, keep)
	})

	x := b.Student("encoder", image, sdk.DropMasked(mask)).Tokens()                // [B,1+K,D]
	x = b.Linear("decoder_embed", x, o.DecoderDim)                                 // [B,1+K,D']
	token := b.Param("mask_token", []int{1, 1, o.DecoderDim}, sdk.InitNormal(.02)) // decayed, as in the official code
	x = b.RestoreTokens(x, token, mask)                                            // [B,1+L,D']
	x = b.AddPositions(x, b.SinCosColumn("decoder_pos_embed", image, o.DecoderDim, 1), 0)
	var options []sdk.LayerOption
	if !o.QKVBias {
		options = append(options, sdk.WithoutBias())
	}
	for i := range o.DecoderDepth {
		x = b.Block(fmt.Sprintf("decoder_blocks.%d", i), x, o.DecoderHeads, int(float64(o.DecoderDim)*o.MLPRatio), options...)
	}
	x = b.LayerNorm("decoder_norm", x)
	x = b.Linear("decoder_pred", x, b.PatchDim())
	prediction := b.SliceTokens(x, 1, 0) // [B,L,p*p*C], the class token dropped

	target := b.PatchPixels(image, sdk.ChannelLast)
	if o.NormPixLoss {
		target = b.NormalizePatches(target)
	}
	b.Picture(sdk.Picture{Name: "reconstruction", Prediction: prediction, PatchNormalized: o.NormPixLoss, View: image, Mask: mask})
	return b.Minimize(b.PatchMSE(prediction, target, mask))
}

// initial are the network's initial weights in the official code: linear layers and patch
// projection Xavier-uniform, queries, keys and values as one matrix; tokens N(0, 0.02).
func initial() []sdk.InitRule {
	xavier := sdk.InitXavier()
	return []sdk.InitRule{
		{Weights: "*_token", Init: sdk.InitNormal(.02)},
		{Weights: "patch_embed.proj.weight", Init: xavier},
		{Weights: "blocks.*.attn.*.weight", Init: xavier},
		{Weights: "blocks.*.mlp.*.weight", Init: xavier},
	}
}
