// Package simclr is the contrastive learning of Chen et al., "A Simple Framework for Contrastive
// Learning of Visual Representations" (2020), https://arxiv.org/abs/2002.05709, with the deeper head
// of their "Big Self-Supervised Models are Strong Semi-Supervised Learners" (2020),
// https://arxiv.org/abs/2006.10029.
//
// Two crops of an image are a pair. The network, ending in a projection head, is to find the partner
// of a crop among all other crops of the batch.
package simclr

import (
	"fmt"

	"github.com/vittool/vittool/plugins/sdk"
)

// SimCLR holds the options; New gives the values of the paper.
type SimCLR struct {
	Dim          int     `option:"out_dim" min:"1" help:"size of the compared vectors"`
	Layers       int     `option:"head_layers" min:"1" help:"linear layers of the head: 2 in the first paper, 3 in the second"`
	Hidden       int     `option:"head_hidden" min:"0" help:"width of the head's hidden layers; 0: that of the features"`
	BatchNorm    bool    `option:"head_bn" help:"batch norm after each linear layer of the head; without it they have biases"`
	Temp         float64 `option:"temperature" above:"0" help:"temperature of the contrastive softmax"`
	LossScale    float64 `option:"loss_scale" above:"0" help:"factor of the mean loss of all crops; 2 is the sum of both directions, as in the official code"`
	BlurKernel   int     `option:"blur_kernel" min:"0" max:"999" help:"taps of the official code's blur (an odd number, a tenth of the side), with one sigma for a batch; 0: Pillow's blur"`
	sdk.TwoCrops `solarize:"share of the first and of the second crops that are solarized, 0 in the papers"`
}

// New returns the objective with the defaults of the paper.
func New() *SimCLR {
	return &SimCLR{
		Dim: 128, Layers: 2, BatchNorm: true, Temp: 0.1, LossScale: 1,
		TwoCrops: sdk.TwoCrops{
			CropScale: []float64{0.08, 1}, Blur: []float64{0.5, 0.5}, Solarize: []float64{0, 0},
			Colors: sdk.Colors{Jitter: []float64{0.8, 0.8, 0.8, 0.2}, JitterShare: 0.8, Gray: 0.2},
		},
	}
}

// Info implements sdk.Objective.
func (o *SimCLR) Info() sdk.Info {
	return sdk.Info{
		Name:    "simclr",
		Version: "1.0.0",
		Summary: "contrast: find the other crop of an image among all crops of the batch",
		Paper:   "Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020, https://arxiv.org/abs/2002.05709",
		License: "Apache-2.0",
	}
}

// Validate refuses a blur without a middle tap.
func (o *SimCLR) Validate() error {
	if o.BlurKernel > 0 && o.BlurKernel%2 == 0 {
		return fmt.Errorf("blur_kernel is %d; it takes an odd number of taps, or 0", o.BlurKernel)
	}
	return nil
}

// views is the number of crops of an image; rows of a pass come crop after crop.
const views = 2

// Plan implements sdk.Objective. Both crops pass through network and head as one batch, so that
// batch norms take their statistics over both.
func (o *SimCLR) Plan(b *sdk.Builder) error {
	features := b.Student("encoder", o.crop(b, 0), sdk.With(o.crop(b, 1))).Pooled() // [2B,D]
	z := b.L2Normalize(o.projector(b, features))                                    // [2B,dim]
	loss, accuracy := b.NTXent(z, o.Temp)

	b.Metric("acc1", b.Scale(accuracy, 100))
	b.SpreadMetrics(b.ViewRows(z, 0, views), b.ViewRows(z, 1, views))
	b.Recommend(sdk.StudentNetwork, sdk.PooledFeature)
	return b.Minimize(b.Scale(loss, o.LossScale))
}

// crop declares one of the two crops.
func (o *SimCLR) crop(b *sdk.Builder, v int) sdk.View {
	options := []sdk.ViewOption{o.Crop(b, v), sdk.Flip(.5), sdk.Attempts(100)}
	if o.BlurKernel > 0 {
		options = append(options, sdk.BlurKernel(o.BlurKernel))
	}
	return b.View(fmt.Sprintf("crop_%d", v+1), options...)
}

// projector is the head: with batch norms, the last one scales and does not shift.
func (o *SimCLR) projector(b *sdk.Builder, x sdk.Tensor) sdk.Tensor {
	hidden := o.Hidden
	if hidden == 0 {
		hidden = b.Backbone().Dim
	}
	m := sdk.MLP{Linear: []sdk.LayerOption{sdk.WithTorchInit()}}
	for range o.Layers - 1 {
		m.Widths = append(m.Widths, hidden)
	}
	m.Widths = append(m.Widths, o.Dim)
	if o.BatchNorm {
		m.Norm, m.LastNorm, m.Linear = true, sdk.ScaleNorm, append(m.Linear, sdk.WithoutBias())
	}
	return b.MLP("projector", x, m)
}
