// Package vq trains a visual tokenizer by vector quantization: van den Oord, Vinyals and
// Kavukcuoglu, "Neural Discrete Representation Learning" (2017), https://arxiv.org/abs/1711.00937.
//
// An encoder turns each patch into a vector, which is replaced by the nearest code of a codebook; a
// decoder makes the image of the codes again. The gradient passes the choice as if it were not
// there. Codes are running means of the vectors that chose them, and those that nothing chooses
// start anew at a vector of the batch.
package vq

import (
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/sdk"
)

// VQ holds the options.
type VQ struct {
	Vocabulary int `option:"vocabulary" min:"2" max:"1048576" help:"number of codes"`
	tokenizer.Options
	Commitment float64 `option:"commitment" min:"0" help:"weight of the distance of vectors from their codes"`
	Decay      float64 `option:"decay" min:"0" below:"1" help:"of the running means that are the codes"`
	Alive      float64 `option:"alive" above:"0" help:"smallest mean number of vectors a step of a code that does not start anew"`
}

// New returns the objective with defaults for small images.
func New() *VQ {
	return &VQ{Vocabulary: 512, Options: tokenizer.Options{Width: 64, Blocks: 2, CodeDim: 32}, Commitment: .25, Decay: .99, Alive: 1}
}

// Info implements sdk.Objective.
func (o *VQ) Info() sdk.Info {
	return sdk.Info{
		Name:    "vq",
		Version: "1.0.0",
		Summary: "visual tokenizer by vector quantization, for objectives that predict tokens",
		Paper:   "van den Oord et al., Neural Discrete Representation Learning, 2017, https://arxiv.org/abs/1711.00937",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective.
func (o *VQ) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Unused: true})
	image := b.View("image", sdk.Flip(.5))
	net := tokenizer.New(b, o.Config(b, tokenizer.VQ, o.Vocabulary))
	rows, cols := net.Grid(image)

	z := net.Vectors(image.Pixels()) // [B,L,D]
	x := b.Reshape(z, -1, o.CodeDim) // [B*L,D]
	buffer := func(name string, shape ...int) sdk.Buffer {
		return b.Buffer(sdk.BufferSpec{Name: name, Shape: shape, Init: sdk.InitZeros()})
	}
	codebook := buffer("codebook", o.Vocabulary, o.CodeDim)
	count, sum := buffer("codebook_count", o.Vocabulary), buffer("codebook_sum", o.Vocabulary, o.CodeDim)
	codes := b.NearestRow(x, codebook.Tensor())
	q := b.GatherRows(codebook.Tensor(), codes)
	gap := b.Add(q, b.Scale(x, -1))
	decoded := net.Decode(b.Add(x, b.StopGradient(gap)), rows, cols) // straight through

	// Vectors of the batch that dead codes start anew from: a few of each image.
	batch := max(1, b.Run().Batch)
	n := min(rows*cols, (o.Vocabulary+batch-1)/batch)
	places := b.Indices("fresh", image, n, rows*cols, func(c *sdk.MaskCall, i int, out []int32) {
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
	b.Picture(sdk.Picture{Name: "decoded", Prediction: decoded, Layout: sdk.WholeImages, View: image})
	b.Export(tokenizer.ExportName, net.Params, []sdk.Buffer{codebook}, net.Metadata(b))
	return b.Minimize(b.Add(mse, b.Scale(distance, o.Commitment)))
}
