// Command simmim is SimMIM as a plugin of vittool: squares of the image are replaced by a learned
// token, and one linear layer predicts their pixels.
//
// Xie, Zhang, Cao, Lin, Bao, Yao, Dai and Hu, "SimMIM: A Simple Framework for Masked Image
// Modeling" (2021), https://arxiv.org/abs/2111.09886.
package main

import "github.com/vittool/vittool/plugins/sdk"

// SimMIM holds the options; their values in main are the defaults.
type SimMIM struct {
	Ratio float64 `option:"mask_ratio" above:"0" below:"1" help:"share of the image that is masked"`
	Block int     `option:"block_size" min:"1" help:"side of a masked square in pixels, a multiple of the patch"`
}

// Info implements sdk.Objective.
func (o *SimMIM) Info() sdk.Info {
	return sdk.Info{
		Name:    "simmim",
		Version: "1.0.0",
		Summary: "SimMIM: hide squares behind a learned token, predict their pixels linearly",
		Paper:   "Xie et al., SimMIM, 2021, https://arxiv.org/abs/2111.09886",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective.
func (o *SimMIM) Plan(b *sdk.Builder) error {
	view := b.View("image", sdk.RandomResizedCrop(0.67, 1), sdk.Flip(0.5))
	patch := b.Backbone().Patch
	side := o.Block / patch // of a masked square, in patches
	if o.Block%patch != 0 || view.Rows()%max(side, 1) != 0 || view.Cols()%max(side, 1) != 0 {
		b.Failf("block_size %d must be a multiple of the patch (%d) and divide %dx%d pixels", o.Block, patch, view.Height(), view.Width())
	}
	mask := b.BitMask("mask", view, func(c *sdk.MaskCall, i int, masked []byte) {
		sdk.RandomBlocks(c.RNG(i), view.Rows(), view.Cols(), side, o.Ratio, masked)
	})
	token := b.Param("mask_token", []int{1, 1, b.Backbone().Dim}, sdk.InitTruncNormal(.02, .02))
	tokens := b.Student("encoder", view, sdk.ReplaceMasked(mask, token)).PatchTokens()
	pixels := b.Linear("decoder", tokens, b.PatchDim())
	return b.Minimize(b.PatchL1(pixels, b.PatchPixels(view, sdk.ChannelFirst), mask))
}

func main() { sdk.Serve(&SimMIM{Ratio: 0.6, Block: 32}) }
