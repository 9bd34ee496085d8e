// Package vq trains a visual tokenizer by vector quantisation: van den Oord, Vinyals and
// Kavukcuoglu, "Neural Discrete Representation Learning" (2017), https://arxiv.org/abs/1711.00937.
//
// An encoder turns each patch into a vector, which is replaced by the nearest code of a
// codebook; a decoder makes the image of the codes again. The gradient passes the choice
// as if it were not there. Codes are running means of the vectors that chose them, and
// those that nothing chooses start anew at a vector of the batch.
package vq

import (
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// VQ holds the options.
type VQ struct {
	Vocabulary int     `option:"vocabulary" min:"2" max:"1048576" help:"number of codes"`
	Patch      int     `option:"patch" min:"0" max:"256" help:"pixels per token side; 0: as the model's patches"`
	Width      int     `option:"width" min:"4" max:"16384" help:"channels at the resolution of the tokens"`
	Blocks     int     `option:"blocks" min:"0" max:"100" help:"residual blocks of encoder and decoder each"`
	CodeDim    int     `option:"code_dim" min:"1" max:"16384" help:"width of a code"`
	Commitment float64 `option:"commitment" min:"0" help:"weight of the distance of vectors from their codes"`
	Decay      float64 `option:"decay" min:"0" below:"1" help:"of the running means that are the codes"`
	Alive      float64 `option:"alive" above:"0" help:"smallest mean number of vectors a step of a code that does not start anew"`
}

// New returns the objective with defaults for small images.
func New() *VQ {
	return &VQ{Vocabulary: 512, Width: 64, Blocks: 2, CodeDim: 32, Commitment: .25, Decay: .99, Alive: 1}
}

// Info implements sdk.Objective.
func (o *VQ) Info() sdk.Info {
	return sdk.Info{
		Name:    "vq",
		Version: "1.0.0",
		Summary: "visual tokenizer by vector quantisation, for objectives that predict tokens",
		Paper:   "van den Oord et al., Neural Discrete Representation Learning, 2017, https://arxiv.org/abs/1711.00937",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective.
func (o *VQ) Plan(b *sdk.Builder) error {
	b.Require(&pb.BackboneRequirements{Unused: true})
	image := b.View("image", sdk.Flip(.5))
	net := tokenizer.New(b, tokenizer.ForRun(b, tokenizer.Config{
		Kind: tokenizer.VQ, Vocabulary: o.Vocabulary, Patch: o.Patch, Width: o.Width, Blocks: o.Blocks, CodeDim: o.CodeDim,
	}))
	rows, cols := net.Grid(image)

	z := net.Vectors(image.Pixels()) // [B,L,D]
	x := b.Reshape(z, -1, o.CodeDim) // [B*L,D]
	buffer := func(name string, shape ...uint64) sdk.Buffer {
		return b.Buffer(&pb.BufferSpec{Name: name, Shape: shape, Init: sdk.InitZeros()})
	}
	codebook := buffer("codebook", uint64(o.Vocabulary), uint64(o.CodeDim))
	count, sum := buffer("codebook_count", uint64(o.Vocabulary)), buffer("codebook_sum", uint64(o.Vocabulary), uint64(o.CodeDim))
	codes := b.NearestRow(x, codebook.Tensor())
	q := b.GatherRows(codebook.Tensor(), codes)
	gap := b.Add(q, b.Scale(x, -1))
	decoded := net.Decode(b.Add(x, b.StopGradient(gap)), rows, cols) // straight through

	// Vectors of the batch that dead codes start anew from: a few of each image.
	n := min(rows*cols, (o.Vocabulary+max(1, int(b.Run().GetBatch()))-1)/max(1, int(b.Run().GetBatch())))
	places := b.Indices("fresh", image, n, uint64(rows*cols), func(c *sdk.MaskCall, i int, out []int32) {
		for k, p := range c.RNG(i).Perm(rows * cols)[:n] {
			out[k] = int32(p)
		}
	})
	fresh := b.Reshape(b.GatherTokens(z, places.Values()), -1, o.CodeDim)
	b.CodebookUpdate(x, codes, fresh, codebook, count, sum, o.Decay, o.Alive)

	distance := b.Mean(b.Mul(gap, gap)) // the codes are buffers: the gradient is the vectors' alone
	error := b.Add(decoded, b.Scale(image.Pixels(), -1))
	mse := b.Mean(b.Mul(error, error))
	b.Metric("mse", mse)
	b.Metric("code_distance", distance)
	b.Picture("decoded", decoded, pb.Picture_LAYOUT_IMAGE, false, image, sdk.Mask{})
	b.Export(tokenizer.ExportName, net.Params, []sdk.Buffer{codebook}, net.Metadata(b))
	return b.Minimize(b.Add(mse, b.Scale(distance, o.Commitment)))
}
