// Package beit is the masked image modelling of Bao, Dong, Piao and Wei, "BEiT: BERT Pre-Training
// of Image Transformers" (2021), https://arxiv.org/abs/2106.08254.
//
// Blocks of patches are replaced by a learned token. The network predicts, for each of them, the
// discrete token that a visual tokenizer gives the patch: a classification over the tokenizer's
// vocabulary. The tokenizer was trained before and stays as it is.
package beit

import (
	"math"

	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/sdk"
)

// BEiT holds the options; New gives the values of the paper for ViT-B/16.
type BEiT struct {
	Tokenizer   string  `option:"tokenizer" help:"file of the visual tokenizer: vittool tokenizer train makes one, vittool tokenizer import takes DALL-E's"`
	MaskRatio   float64 `option:"mask_ratio" above:"0" below:"1" help:"share of the patches that are masked, at most; the number is rounded"`
	MinBlock    int     `option:"min_block" min:"1" help:"fewest patches of a masked block"`
	MaxBlock    int     `option:"max_block" min:"0" help:"most patches of a masked block; 0: as many as are masked"`
	RelPos      string  `option:"rel_pos" choices:"shared,per_block,both,none" help:"relative position bias: one table for all blocks, one for each, both, or none"`
	AbsPos      bool    `option:"abs_pos" help:"learned absolute positions besides"`
	LayerScale  float64 `option:"layer_scale" min:"0" help:"initial layer scale, 1e-5 for large networks; 0 leaves it out"`
	DropPath    float64 `option:"drop_path" min:"0" below:"1" help:"stochastic depth where model.drop_path sets none"`
	ColorJitter float64 `option:"color_jitter" min:"0" help:"strength of the changes of brightness, contrast and saturation"`
}

// New returns the objective with the defaults of the paper: 75 of 196 patches masked in blocks of
// at least 16, a shared relative position bias, layer scale 0.1.
func New() *BEiT {
	return &BEiT{MaskRatio: 75. / 196, MinBlock: 16, RelPos: "shared", LayerScale: .1, DropPath: .1, ColorJitter: .4}
}

// Info implements sdk.Objective.
func (o *BEiT) Info() sdk.Info {
	return sdk.Info{
		Name:    "beit",
		Version: "1.0.0",
		Summary: "masked image modelling: mask blocks of patches, predict their visual tokens",
		Paper:   "Bao et al., BEiT: BERT Pre-Training of Image Transformers, 2021, https://arxiv.org/abs/2106.08254",
		License: "Apache-2.0",
	}
}

var relPos = map[string]sdk.RelPos{
	"shared": sdk.RelPosShared, "per_block": sdk.RelPosPerBlock, "both": sdk.RelPosBoth, "none": sdk.RelPosNone,
}

// Plan implements sdk.Objective. Parameters carry the names of the official code.
func (o *BEiT) Plan(b *sdk.Builder) error {
	positions := sdk.PosEmbedNone
	if o.AbsPos {
		positions = sdk.PosEmbedLearned
	}
	b.RequireViT(sdk.Requirements{
		ClassToken: sdk.ClassTokenRequired, Init: initial(), PosEmbed: positions, RelPos: relPos[o.RelPos],
		LayerScale: o.LayerScale, SplitQKVBias: true, DropPath: o.DropPath, NoDecay: []string{"pos_embed", "cls_token"},
	})
	if o.Tokenizer == "" {
		b.Failf("beit needs a visual tokenizer: give its file with objective.options.tokenizer=FILE; vittool tokenizer train makes one of your images")
		return b.Minimize(sdk.Tensor{})
	}
	file, err := tokenizer.Open(o.Tokenizer)
	if err != nil {
		return err
	}
	info := b.Backbone()
	if file.Channels != info.Channels {
		b.Failf("the tokenizer %s reads images of %d channels, the network of %d", o.Tokenizer, file.Channels, info.Channels)
	}

	// The network and the tokenizer see the same part of the image in the same colors, at sizes
	// that give both the same grid. The crop is the user's: the paper's is 0.08..1 of the area.
	colors := []sdk.ViewOption{sdk.Flip(.5)}
	if o.ColorJitter > 0 {
		jitter := sdk.ColorJitter(1, o.ColorJitter, o.ColorJitter, o.ColorJitter, 0)
		colors = []sdk.ViewOption{jitter, sdk.Flip(.5), sdk.ColorsFirst()}
	}
	image := b.View("image", colors...)
	rows, cols := image.Rows(), image.Cols()
	small := b.View("tokens", sdk.SameGeometry(image), sdk.SameColors(), sdk.Size(rows*file.Patch, cols*file.Patch),
		sdk.Resample(sdk.Lanczos), sdk.Normalize(file.Mean, file.Std))

	masked := int(math.Round(float64(rows*cols) * o.MaskRatio))
	largest := o.MaxBlock
	if largest == 0 {
		largest = masked
	}
	if masked < 1 || largest < o.MinBlock {
		b.Failf("mask_ratio %v masks %d of %d patches, in blocks of %d to %d: there must be at least one, and the largest block no smaller than the smallest",
			o.MaskRatio, masked, rows*cols, o.MinBlock, largest)
	}
	blocks := Blocks{Rows: rows, Cols: cols, Masked: masked, Min: o.MinBlock, Max: largest}
	if !blocks.possible() {
		b.Failf("no block of %d to %d patches with sides of at most %d and %d patches fits into the %d×%d patches of an image: make min_block smaller, or the image larger",
			o.MinBlock, largest, rows-1, cols-1, rows, cols)
	}
	mask := b.BitMask("mask", image, func(c *sdk.MaskCall, i int, bitmap []byte) { blocks.Draw(c.RNG(i), bitmap) }).AtMost(masked)

	init := sdk.InitTruncNormal(.02, .02)
	token := b.Param("mask_token", []int{1, 1, info.Dim}, init)                                // decayed, as in the official code
	x := b.Student("encoder", image, sdk.ReplaceMasked(mask, token)).PatchTokens()             // [B,L,D]
	atMasked := func(x sdk.Tensor) sdk.Tensor { return b.GatherTokens(x, mask.MaskedCells()) } // [B,M,D]
	head := func(x sdk.Tensor) sdk.Tensor {                                                    // the logits of all rows
		return b.Reshape(b.Linear("lm_head", x, file.Vocabulary, sdk.WithInit(init, nil)), -1, file.Vocabulary)
	}
	logits := head(atMasked(x)) // [B*M,K]
	net := file.Net(b, "tokenizer.")
	labels := b.Reshape(o.labels(b, net, small, mask, rows*cols, atMasked), -1) // int [B*M]
	counted := b.Reshape(mask.Counted(), -1)                                    // a mask may have fewer cells than M
	b.Metric("mlm_acc", b.Accuracy(logits, labels, counted))
	if file.Decodes() {
		// The tokenizer's decoder draws the predicted tokens in masked places and the right ones
		// elsewhere.
		code := func(tokens sdk.Tensor) sdk.Tensor { return b.GatherRows(net.Codebook(), b.Reshape(tokens, -1)) }
		right, predicted := code(net.Tokens(small.Pixels())), code(b.ArgMax(head(x)))
		codes := b.Add(right, b.ScaleRows(b.Add(predicted, b.Scale(right, -1)), b.Reshape(mask.Masked(), -1)))
		b.Picture(sdk.Picture{Name: "reconstruction", Prediction: net.Decode(codes, rows, cols), Layout: sdk.WholeImages, View: small, Mask: mask})
	}
	b.Recommend(sdk.StudentNetwork, sdk.ClassFeature, sdk.PooledFeature)
	b.RecommendLinearBlocks(4) // the last block serves the prediction of tokens: those before it know as much of the picture
	return b.Minimize(b.WeightedCrossEntropy(logits, labels, counted))
}

// initial are the network's initial weights in the official code: N(0, 0.02) cut at one standard
// deviation, the patch projection's bias zero, attn.proj and mlp.fc2 of block l divided by
// sqrt(2l).
func initial() []sdk.InitRule {
	narrow := sdk.InitTruncNormal(.02, .02)
	return []sdk.InitRule{
		{Weights: "blocks.*.attn.proj.weight", Init: narrow, ByDepth: true},
		{Weights: "blocks.*.mlp.fc2.weight", Init: narrow, ByDepth: true},
		{Weights: "blocks.*.attn.*.weight", Init: narrow},
		{Weights: "blocks.*.mlp.*.weight", Init: narrow},
		{Weights: "patch_embed.proj.weight", Init: narrow},
		{Weights: "patch_embed.proj.bias", Init: sdk.InitZeros()},
		{Weights: "*_token", Init: narrow},
		{Weights: "pos_embed", Init: narrow},
	}
}

// labels are the tokens of the masked patches, int [B,M]. Where the views of an image never change,
// the host caches all of its tokens, and the tokenizer runs once for each image.
func (o *BEiT) labels(b *sdk.Builder, net *tokenizer.Net, small sdk.View, mask sdk.Mask, cells int, atMasked func(sdk.Tensor) sdk.Tensor) sdk.Tensor {
	if !b.Run().FixedViews || o.ColorJitter > 0 {
		return net.TokensOf(small.Pixels(), atMasked)
	}
	tokens := b.CacheTarget("tokens", small, net.Tokens(small.Pixels()), sdk.I32, cells) // [B,L]
	return b.GatherIntegers(tokens, mask.MaskedCells())
}

// Blocks draws blockwise masks.
type Blocks struct {
	Rows, Cols int
	Masked     int // cells that are masked, at most
	Min, Max   int // cells of a block
}

// minAspect is the smallest height over width of a block, and the reciprocal of the largest.
const minAspect = .3

// attempts is the number of draws of a block before the sampling ends.
const attempts = 10

// firstBlockChances is the number of such series of attempts for the first block.
const firstBlockChances = 100

// Draw masks cells of masked, row by row, block after block until there are Masked of them. A
// block has a random area, from Min to the number of cells left, a random aspect and a random place;
// one that masks nothing new or too much is drawn again. After ten failures in a row, sampling ends
// with fewer cells. The first block gets more chances than in the official code: where few shapes
// are possible, an image without a masked patch would train nothing.
func (k Blocks) Draw(r *sdk.RNG, masked []byte) {
	for count, chances := 0, firstBlockChances; count < k.Masked; {
		n := k.Block(r, masked, min(k.Masked-count, k.Max))
		if n == 0 {
			if chances--; count > 0 || chances == 0 {
				return
			}
		}
		count += n
	}
}

// possible reports whether any area and aspect make a block.
func (k Blocks) possible() bool {
	const steps = 16 // of a side in patches
	for y := steps / 2; y < (k.Rows-1)*steps+steps/2; y++ {
		for x := steps / 2; x < (k.Cols-1)*steps+steps/2; x++ {
			h, w := float64(y)/steps, float64(x)/steps
			rounded := int(math.RoundToEven(h) * math.RoundToEven(w))
			if area, aspect := h*w, h/w; area >= float64(k.Min) && area <= float64(k.Max) && aspect >= minAspect && aspect <= 1/minAspect && rounded > 0 && rounded <= k.Max {
				return true
			}
		}
	}
	return false
}

// Block masks one block with at most limit new cells and returns their number, 0 where no attempt
// succeeded.
func (k Blocks) Block(r *sdk.RNG, masked []byte, limit int) int {
	for range attempts {
		area := r.Uniform(float64(k.Min), float64(limit)) // the interval may be a reversed one
		aspect := math.Exp(r.Uniform(math.Log(minAspect), math.Log(1/minAspect)))
		h := int(math.RoundToEven(math.Sqrt(area * aspect)))
		w := int(math.RoundToEven(math.Sqrt(area / aspect)))
		if h >= k.Rows || w >= k.Cols {
			continue
		}
		top, left := r.IntN(k.Rows-h+1), r.IntN(k.Cols-w+1)
		fresh := 0
		for y := top; y < top+h; y++ {
			for _, m := range masked[y*k.Cols+left:][:w] {
				fresh += 1 - int(m)
			}
		}
		if fresh == 0 || fresh > limit {
			continue
		}
		for y := top; y < top+h; y++ {
			for x := left; x < left+w; x++ {
				masked[y*k.Cols+x] = 1
			}
		}
		return fresh
	}
	return 0
}
