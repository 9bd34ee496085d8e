// Package simsiam is the siamese learning of Chen and He, "Exploring Simple Siamese Representation
// Learning" (2020), https://arxiv.org/abs/2011.10566.
//
// Two crops of an image are a pair. The network, ending in a projector, gives a vector of each; a
// predictor is to give the vector of the other crop, through which no gradient flows. There are
// neither negative pairs nor a teacher.
package simsiam

import (
	"fmt"

	"github.com/vittool/vittool/plugins/sdk"
)

// SimSiam holds the options; New gives the values of the paper.
type SimSiam struct {
	Dim          int  `option:"out_dim" min:"1" help:"size of the compared vectors"`
	Hidden       int  `option:"head_hidden" min:"0" help:"width of the projector's hidden layers; 0: that of the features"`
	PredHidden   int  `option:"pred_hidden" min:"1" help:"width of the predictor's hidden layer, a quarter of out_dim in the paper"`
	FixPredLR    bool `option:"fix_pred_lr" help:"the predictor's learning rate stays at its peak"`
	sdk.TwoCrops `solarize:"share of the first and of the second crops that are solarized, 0 in the paper"`
}

// New returns the objective with the defaults of the official code.
func New() *SimSiam {
	return &SimSiam{
		Dim: 2048, PredHidden: 512, FixPredLR: true,
		TwoCrops: sdk.TwoCrops{
			CropScale: []float64{0.2, 1}, Blur: []float64{0.5, 0.5}, Solarize: []float64{0, 0},
			Colors: sdk.Colors{Jitter: []float64{0.4, 0.4, 0.4, 0.1}, JitterShare: 0.8, Gray: 0.2},
		},
	}
}

// Info implements sdk.Objective.
func (o *SimSiam) Info() sdk.Info {
	return sdk.Info{
		Name:    "simsiam",
		Version: "1.0.0",
		Summary: "siamese networks: predict the vector of the other crop of an image",
		Paper:   "Chen and He, Exploring Simple Siamese Representation Learning, 2020, https://arxiv.org/abs/2011.10566",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective. Each crop passes alone, so that batch norms take their statistics
// over one of them.
func (o *SimSiam) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Decay: sdk.DecayAll})
	one, two := o.crop(b, 0), o.crop(b, 1)
	z1 := o.projector(b, b.Student("encoder_1", one).Pooled()) // [B,dim]
	z2 := o.projector(b, b.Student("encoder_2", two).Pooled())
	p1, p2 := o.predictor(b, z1), o.predictor(b, z2)

	first := b.Scale(b.MeanCosine(p1, b.StopGradient(z2)), -1)
	second := b.Scale(b.MeanCosine(p2, b.StopGradient(z1)), -1)
	b.Metric("p1z2", first)
	b.Metric("p2z1", second)
	b.SpreadMetrics(b.L2Normalize(z1), b.L2Normalize(z2))
	b.Recommend(sdk.StudentNetwork, sdk.PooledFeature)
	return b.Minimize(b.Scale(b.Add(first, second), .5))
}

// projector ends the network: three linear layers, each with a batch norm, the last one without
// weights. The bias before it is a constant, as in the official code.
func (o *SimSiam) projector(b *sdk.Builder, x sdk.Tensor) sdk.Tensor {
	hidden := o.Hidden
	if hidden == 0 {
		hidden = b.Backbone().Dim
	}
	return b.MLP("projector", x, sdk.MLP{
		Widths: []int{hidden, hidden, o.Dim}, Norm: true, LastNorm: sdk.PlainNorm, Linear: []sdk.LayerOption{sdk.WithTorchInit()},
		Hidden: []sdk.LayerOption{sdk.WithoutBias()}, Last: []sdk.LayerOption{sdk.WithFrozenBias()},
	}, sdk.WithParams(sdk.Decayed(true)))
}

// predictor maps the vector of a crop to that of the other one.
func (o *SimSiam) predictor(b *sdk.Builder, z sdk.Tensor) sdk.Tensor {
	params := []sdk.ParamOption{sdk.Decayed(true)}
	if o.FixPredLR {
		params = append(params, sdk.ConstantLR())
	}
	return b.MLP("predictor", z, sdk.MLP{
		Widths: []int{o.PredHidden, o.Dim}, Norm: true, Linear: []sdk.LayerOption{sdk.WithTorchInit()}, Hidden: []sdk.LayerOption{sdk.WithoutBias()},
	}, sdk.WithParams(params...))
}

// crop declares one of the two crops.
func (o *SimSiam) crop(b *sdk.Builder, v int) sdk.View {
	return b.View(fmt.Sprintf("crop_%d", v+1), sdk.Resample(sdk.Bilinear), o.Crop(b, v), sdk.Flip(.5))
}
