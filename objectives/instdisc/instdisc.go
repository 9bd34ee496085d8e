// Package instdisc is the instance discrimination of Wu, Xiong, Yu and Lin, "Unsupervised Feature
// Learning via Non-Parametric Instance Discrimination" (2018), https://arxiv.org/abs/1805.01978.
//
// Each image is a class of its own. A memory bank holds one feature for each image; the network is
// to find the image's own row among those of others, drawn at random. After the step the rows of the
// batch move towards its features.
package instdisc

import (
	"github.com/vittool/vittool/plugins/sdk"
)

// InstDisc holds the options; New gives the values of the paper.
type InstDisc struct {
	Dim       int     `option:"out_dim" min:"1" help:"size of the compared vectors"`
	Temp      float64 `option:"temperature" above:"0" help:"temperature of the softmax over images"`
	Negatives int     `option:"negatives" min:"0" max:"1000000" help:"rows of other images that an image is compared with; 0: the softmax over all images"`
	Momentum  float64 `option:"bank_momentum" min:"0" below:"1" help:"share of the old row in the new one"`

	CropSize  int       `option:"crop_size" min:"0" help:"side of the crop in pixels; 0: the image size of the model"`
	CropScale []float64 `option:"crop_scale" above:"0" max:"1" length:"2" order:"rising" help:"smallest and largest share of the image that the crop covers"`
	sdk.Colors
	Flip float64 `option:"flip" min:"0" max:"1" help:"share of the crops that are mirrored"`
}

// New returns the objective with the values of the official code.
func New() *InstDisc {
	return &InstDisc{
		Dim: 128, Temp: 0.07, Negatives: 4096, Momentum: 0.5, CropScale: []float64{0.2, 1}, Flip: 0.5,
		Colors: sdk.Colors{Jitter: []float64{0.4, 0.4, 0.4, 0.4}, JitterShare: 1, Gray: 0.2},
	}
}

// Info implements sdk.Objective.
func (o *InstDisc) Info() sdk.Info {
	return sdk.Info{
		Name:    "instdisc",
		Version: "1.0.0",
		Summary: "instance discrimination: find an image's row in a memory bank",
		Paper:   "Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018, https://arxiv.org/abs/1805.01978",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective. Parameters carry the names of the official code.
func (o *InstDisc) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Decay: sdk.DecayAll})
	view := b.View("crop", o.crop(b)...)
	x := b.Student("network", view).Pooled()                                                            // [B,D]
	x = b.L2Normalize(b.Linear("fc", x, o.Dim, sdk.WithTorchInit(), sdk.WithParams(sdk.Decayed(true)))) // [B,dim]

	bank := b.MemoryBank("memory", o.Dim)
	loss := o.compare(b, bank, view, x)
	bank.Follow(x, o.Momentum)
	b.CollapseMetric(x)
	b.Recommend(sdk.StudentNetwork, sdk.PooledFeature)
	return b.Minimize(loss)
}

// compare is the loss of features x [B,dim] of length 1.
func (o *InstDisc) compare(b *sdk.Builder, bank *sdk.MemoryBank, view sdk.View, x sdk.Tensor) sdk.Tensor {
	if o.Negatives == 0 {
		return b.CrossEntropy(b.Scale(bank.CompareAll(x), 1/o.Temp), b.SampleIDs())
	}
	rows := bank.Draw("negatives", view, o.Negatives)
	loss, _ := bank.NCE(b.Scale(bank.Compare(x, rows), 1/o.Temp)) // of [B,1+K]
	return loss
}

// crop colors an image in the order of the official code: gray before the jitter.
func (o *InstDisc) crop(b *sdk.Builder) []sdk.ViewOption {
	options := []sdk.ViewOption{
		sdk.Resample(sdk.Bilinear), sdk.RandomResizedCrop(o.CropScale[0], o.CropScale[1]), sdk.Grayscale(o.Gray),
		sdk.ColorJitter(o.JitterShare, o.Jitter[0], o.Jitter[1], o.Jitter[2], o.Jitter[3]), sdk.Flip(o.Flip),
	}
	if o.CropSize > 0 {
		b.WholePatches("crop_size", o.CropSize)
		options = append(options, sdk.Size(o.CropSize, o.CropSize))
	}
	return options
}
