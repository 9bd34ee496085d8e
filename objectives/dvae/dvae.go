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
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// DVAE holds the options.
type DVAE struct {
	Vocabulary     int     `option:"vocabulary" min:"2" max:"1048576" help:"number of tokens"`
	Patch          int     `option:"patch" min:"0" max:"256" help:"pixels per token side; 0: as the model's patches"`
	Width          int     `option:"width" min:"4" max:"16384" help:"channels at the resolution of the tokens"`
	Blocks         int     `option:"blocks" min:"0" max:"100" help:"residual blocks of encoder and decoder each"`
	CodeDim        int     `option:"code_dim" min:"1" max:"16384" help:"width of a code"`
	Temperature    float64 `option:"temperature" above:"0" help:"of the softmax at the start"`
	TemperatureEnd float64 `option:"temperature_end" above:"0" help:"of the softmax at the end; it falls by a constant factor a step"`
	KLWeight       float64 `option:"kl_weight" min:"0" help:"weight of the divergence, per token, of the distributions from the uniform one"`
}

// New returns the objective with defaults for small images; the temperatures are the paper's.
func New() *DVAE {
	return &DVAE{Vocabulary: 512, Width: 64, Blocks: 2, CodeDim: 64, Temperature: 1, TemperatureEnd: 1. / 16, KLWeight: 1e-3}
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
	b.Require(&pb.BackboneRequirements{Unused: true})
	image := b.View("image", sdk.Flip(.5))
	net := tokenizer.New(b, tokenizer.ForRun(b, tokenizer.Config{
		Kind: tokenizer.DVAE, Vocabulary: o.Vocabulary, Patch: o.Patch, Width: o.Width, Blocks: o.Blocks, CodeDim: o.CodeDim,
	}))
	rows, cols := net.Grid(image)

	logits := b.Reshape(net.Logits(image.Pixels()), -1, o.Vocabulary) // [B*L,K]
	sharpness := &pb.Schedule{Name: "sharpness", Kind: pb.Schedule_KIND_TABLE, StepsPerValue: max(1, (b.Run().GetTotalSteps()+temperatures-1)/temperatures)}
	for i := range temperatures {
		share := float64(i) / (temperatures - 1)
		sharpness.Values = append(sharpness.Values, 1/(o.Temperature*math.Pow(o.TemperatureEnd/o.Temperature, share)))
	}
	noise := b.Reshape(b.Random(sdk.Gumbel, rows*cols, o.Vocabulary), -1, o.Vocabulary)
	draw := b.Softmax(b.ScaleBy(b.Add(logits, noise), b.Schedule(sharpness)))
	decoded := net.Decode(b.MatMul(draw, net.Codebook(), false, false), rows, cols)

	error := b.Add(decoded, b.Scale(image.Pixels(), -1))
	mse := b.Mean(b.Mul(error, error))
	// The divergence from the uniform distribution is log K minus the entropy; the constant is left out.
	negative := b.Scale(b.Mean(b.Mul(b.Softmax(logits), b.LogSoftmax(logits))), float64(o.Vocabulary))
	b.Metric("mse", mse)
	b.Metric("entropy", b.Scale(negative, -1))
	hard := net.Decode(b.GatherRows(net.Codebook(), b.ArgMax(logits)), rows, cols)
	b.Picture("decoded", hard, pb.Picture_LAYOUT_IMAGE, false, image, sdk.Mask{})
	b.Export(tokenizer.ExportName, net.Params, nil, net.Metadata(b))
	return b.Minimize(b.Add(mse, b.Scale(negative, o.KLWeight)))
}
