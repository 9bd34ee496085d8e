// Package byol is the self-distillation without negatives of Grill et al., "Bootstrap Your Own
// Latent" (2020), https://arxiv.org/abs/2006.07733.
//
// The online network, ending in a projector and a predictor, predicts from one crop of an image the
// output of the target network, its teacher that ends in a projector, for the other crop. The
// predictor and the slow average keep both from one constant output.
package byol

import (
	"github.com/vittool/vittool/plugins/sdk"
)

// BYOL holds the options; New gives the values of the paper.
type BYOL struct {
	sdk.ProjectionHead `keys:"head_layers=-" out_dim:"size of the predicted vectors" head_hidden:"hidden width of the projector"`

	PredHidden    int     `option:"pred_hidden" min:"1" help:"hidden width of the predictor"`
	Symmetric     bool    `option:"symmetric" help:"each crop is predicted from the other; without it the second from the first alone"`
	LastBias      bool    `option:"last_bias" help:"the last layers of projector and predictor have a bias"`
	Momentum      float64 `option:"teacher_momentum" min:"0" max:"1" help:"share of the old target network in the new one at the start"`
	MomentumFinal float64 `option:"teacher_momentum_end" min:"0" max:"1" help:"the same at the end, where a cosine leads to"`
	sdk.TwoCrops
}

// New returns the objective with the values of the paper.
func New() *BYOL {
	return &BYOL{
		ProjectionHead: sdk.ProjectionHead{Dim: 256, Layers: 2, Hidden: 4096}, PredHidden: 4096, Symmetric: true, LastBias: true, Momentum: 0.996, MomentumFinal: 1, TwoCrops: sdk.BYOLCrops(0.08, 1),
	}
}

// Info implements sdk.Objective.
func (o *BYOL) Info() sdk.Info {
	return sdk.Info{
		Name:    "byol",
		Version: "1.0.0",
		Summary: "self-distillation: predict the projection of a teacher for the other crop",
		Paper:   "Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, 2020, https://arxiv.org/abs/2006.07733",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective. Each crop passes alone, so that batch norms take statistics over
// one crop of the batch and move in the order of the passes.
func (o *BYOL) Plan(b *sdk.Builder) error {
	one, two := b.View("crop_1", o.Crop(b, 0), sdk.Flip(.5)), b.View("crop_2", o.Crop(b, 1), sdk.Flip(.5))
	b.Teacher(b.Schedule("teacher_momentum", sdk.CosineSchedule(o.Momentum, o.MomentumFinal)), sdk.AfterStep)

	z1 := o.projector(b, b.Student("online_1", one).Pooled()) // [B,dim]
	z2 := o.projector(b, b.Student("online_2", two).Pooled())
	p1, p2 := o.predictor(b, z1), o.predictor(b, z2)
	t1 := o.projector(b, b.TeacherPass("target_1", one).Pooled(), sdk.OfTeacher())
	t2 := o.projector(b, b.TeacherPass("target_2", two).Pooled(), sdk.OfTeacher())

	loss, back := o.distance(b, p1, t2), o.distance(b, p2, t1)
	b.Metric("p1t2", loss)
	b.Metric("p2t1", back)
	if o.Symmetric {
		loss = b.Add(loss, back)
	}
	b.SpreadMetrics(b.L2Normalize(z1), b.L2Normalize(z2))
	b.Recommend(sdk.StudentNetwork, sdk.PooledFeature)
	return b.Minimize(loss)
}

// projector ends the online and the target network.
func (o *BYOL) projector(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) sdk.Tensor {
	return o.Project(b, "projector", x, o.mlp(), options...)
}

// predictor follows the projector of the online network.
func (o *BYOL) predictor(b *sdk.Builder, x sdk.Tensor) sdk.Tensor {
	m := o.mlp()
	m.Widths = []int{o.PredHidden, o.Dim}
	return b.MLP("predictor", x, m)
}

// mlp is a linear layer, a batch norm, ReLU and a linear layer.
func (o *BYOL) mlp() sdk.MLP {
	m := sdk.MLP{Norm: true, Linear: []sdk.LayerOption{sdk.WithTorchInit()}}
	if !o.LastBias {
		m.Last = []sdk.LayerOption{sdk.WithoutBias()}
	}
	return m
}

// distance is the mean squared distance of predictions and targets at length 1, which is 2 - 2 times
// their cosine. No gradient reaches the targets.
func (o *BYOL) distance(b *sdk.Builder, prediction, target sdk.Tensor) sdk.Tensor {
	d := b.Add(b.L2Normalize(prediction), b.Scale(b.L2Normalize(target), -1))
	return b.Scale(b.Mean(b.Mul(d, d)), float64(o.Dim))
}
