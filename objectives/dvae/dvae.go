// Package dvae trains a visual tokenizer as a discrete variational autoencoder: Ramesh et
// al., "Zero-Shot Text-to-Image Generation" (2021), https://arxiv.org/abs/2102.12092,
// section 2.1, with the relaxation of Jang et al. (2016), https://arxiv.org/abs/1611.01144.
//
// An encoder gives each patch a distribution over the tokens. A relaxed draw from it, a
// softmax of the logits with Gumbel noise at a temperature that falls during training,
// weighs the codes that a decoder makes the image of.
package dvae

import (
	"math"

	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/sdk"
)

// DVAE holds the options.
type DVAE struct {
	Vocabulary int `option:"vocabulary" min:"2" max:"1048576" help:"number of tokens"`
	tokenizer.Options
	Temperature    float64 `option:"temperature" above:"0" help:"of the softmax at the start"`
	TemperatureEnd float64 `option:"temperature_end" above:"0" help:"of the softmax at the end; it falls by a constant factor a step"`
	KLWeight       float64 `option:"kl_weight" min:"0" help:"weight of the divergence, per token, of the distributions from the uniform one"`
}

// New returns the objective with defaults for small images; the temperatures are the paper's.
func New() *DVAE {
	return &DVAE{Vocabulary: 512, Options: tokenizer.Options{Width: 64, Blocks: 2, CodeDim: 64}, Temperature: 1, TemperatureEnd: 1. / 16, KLWeight: 1e-3}
}

// Info implements sdk.Objective.
func (o *DVAE) Info() sdk.Info {
	return sdk.Info{
		Name:    "dvae",
		Version: "1.0.0",
		Summary: "visual tokenizer as a discrete variational autoencoder, for objectives that predict tokens",
		Paper:   "Ramesh et al., Zero-Shot Text-to-Image Generation, 2021, https://arxiv.org/abs/2102.12092",
		License: "Apache-2.0",
	}
}

// temperatures is how many values the falling temperature takes.
const temperatures = 256

// Plan implements sdk.Objective.
func (o *DVAE) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Unused: true})
	image := b.View("image", sdk.Flip(.5))
	net := tokenizer.New(b, o.Config(b, tokenizer.DVAE, o.Vocabulary))
	rows, cols := net.Grid(image)

	logits := b.Reshape(net.Logits(image.Pixels()), -1, o.Vocabulary) // [B*L,K]
	sharpness := sdk.TableSchedule(float64(max(1, (b.Run().Steps+temperatures-1)/temperatures)))
	for i := range temperatures {
		share := float64(i) / (temperatures - 1)
		sharpness.Values = append(sharpness.Values, 1/(o.Temperature*math.Pow(o.TemperatureEnd/o.Temperature, share)))
	}
	noise := b.Reshape(b.Random(sdk.Gumbel, rows*cols, o.Vocabulary), -1, o.Vocabulary)
	draw := b.Softmax(b.ScaleBy(b.Add(logits, noise), b.Schedule("sharpness", sharpness)))
	decoded := net.Decode(b.MatMul(draw, net.Codebook(), false, false), rows, cols)

	error := b.Add(decoded, b.Scale(image.Pixels(), -1))
	mse := b.Mean(b.Mul(error, error))
	// The divergence from the uniform distribution is log K minus the entropy; the constant is left out.
	negative := b.Scale(b.Mean(b.Mul(b.Softmax(logits), b.LogSoftmax(logits))), float64(o.Vocabulary))
	b.Metric("mse", mse)
	b.Metric("entropy", b.Scale(negative, -1))
	hard := net.Decode(b.GatherRows(net.Codebook(), b.ArgMax(logits)), rows, cols)
	b.Picture(sdk.Picture{Name: "decoded", Prediction: hard, Layout: sdk.WholeImages, View: image})
	b.Export(tokenizer.ExportName, net.Params, nil, net.Metadata(b))
	return b.Minimize(b.Add(mse, b.Scale(negative, o.KLWeight)))
}
