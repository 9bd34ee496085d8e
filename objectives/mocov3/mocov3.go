// Package mocov3 is the momentum contrast for Vision Transformers of Chen, Xie and He, "An
// Empirical Study of Training Self-Supervised Vision Transformers" (2021),
// https://arxiv.org/abs/2104.02057.
//
// Two crops of an image are a pair, crops of the other images of the batch are not. The trained
// network, ending in a projector and a predictor, is to find the partner of a crop among the
// outputs for other crops of a teacher that ends in a projector.
//
// Residual networks are trained as in the same code: a projector of two layers, a predictor that
// ends without a batch norm, statistics of batch norms over one crop. Their recipe there has a
// temperature of 1 and LARS.
package mocov3

import (
	"fmt"

	"github.com/vittool/vittool/plugins/sdk"
)

// MoCoV3 holds the options; New gives the values of the paper for ViTs.
type MoCoV3 struct {
	sdk.ProjectionHead `keys:"out_dim=dim head_hidden=mlp_dim head_layers=-" mlp_dim:"hidden width of projector and predictor"`

	Temp         float64 `option:"temperature" above:"0" help:"temperature of the contrastive softmax"`
	Momentum     float64 `option:"momentum" min:"0" max:"1" help:"share of the old teacher in the new one"`
	MomentumCos  bool    `option:"momentum_cos" help:"a cosine over the run takes the momentum to 1"`
	FreezeStem   bool    `option:"stop_grad_conv1" help:"the random patch embedding of a Vision Transformer is not trained, which keeps training stable"`
	sdk.TwoCrops `grayscale:"share of the crops that lose their color"`
}

// New returns the objective with the defaults of the official code for ViTs.
func New() *MoCoV3 {
	return &MoCoV3{
		ProjectionHead: sdk.ProjectionHead{Dim: 256, Layers: 3, Hidden: 4096}, Temp: 0.2, Momentum: 0.99, MomentumCos: true, FreezeStem: true, TwoCrops: sdk.BYOLCrops(0.08, 1),
	}
}

// Info implements sdk.Objective.
func (o *MoCoV3) Info() sdk.Info {
	return sdk.Info{
		Name:    "mocov3",
		Version: "1.0.0",
		Summary: "momentum contrast: find the other crop of an image among those of the batch",
		Paper:   "Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, 2021, https://arxiv.org/abs/2104.02057",
		License: "Apache-2.0",
	}
}

// views is the number of crops of an image; rows of a pass come crop after crop.
const views = 2

// Plan implements sdk.Objective. Parameters carry the names of the official code; the backbone is
// its base_encoder without the projector, head.
func (o *MoCoV3) Plan(b *sdk.Builder) error {
	require := sdk.Requirements{
		PosEmbed: sdk.PosEmbedSinCosRow, ClassToken: sdk.ClassTokenRequired, Init: initial(), Decay: sdk.DecayAll,
	}
	if o.FreezeStem {
		require.Frozen = []string{"patch_embed.proj.*"}
	}
	b.RequireAny(require)
	one, two := o.crop(b, 0), o.crop(b, 1)

	momentum := sdk.CosineSchedule(o.Momentum, 1)
	if !o.MomentumCos {
		momentum = sdk.ConstantSchedule(o.Momentum)
	}
	b.Teacher(b.Schedule("momentum", momentum), sdk.BeforeForward)
	base := vectors(b, (*sdk.Builder).Student, "base_encoder", one, two)
	ofTeacher := vectors(b, (*sdk.Builder).TeacherPass, "momentum_encoder", one, two)

	// The heads' batch norms take statistics over one crop of the batch, so each crop passes alone.
	var queries, keys [views]sdk.Tensor // [B,dim], rows of length 1
	for v := range views {
		q := o.projector(b, base(v))
		queries[v] = b.L2Normalize(o.predictor(b, q))
	}
	for v := range views {
		keys[v] = b.L2Normalize(o.projector(b, ofTeacher(v), sdk.OfTeacher()))
	}
	first, second := b.Contrast(queries[0], keys[1], o.Temp), b.Contrast(queries[1], keys[0], o.Temp)
	b.Metric("q1k2", first)
	b.Metric("q2k1", second)
	b.CollapseMetric(keys[0])
	b.Recommend(sdk.StudentNetwork, sdk.ClassFeature, sdk.PooledFeature)
	return b.Minimize(b.Add(first, second))
}

// vectors runs a network over the crops and returns its vectors [B,D] of each. The statistics of a
// residual network's batch norms are of one crop too, so each crop is a pass of its own.
func vectors(b *sdk.Builder, run func(b *sdk.Builder, name string, view sdk.View, options ...sdk.PassOption) sdk.Pass, name string, crops ...sdk.View) func(v int) sdk.Tensor {
	if b.Backbone().Tokens() {
		all := run(b, name, crops[0], sdk.With(crops[1:]...)).Image() // [2B,D]
		return func(v int) sdk.Tensor { return b.ViewRows(all, v, len(crops)) }
	}
	var each []sdk.Tensor
	for i, crop := range crops {
		each = append(each, run(b, fmt.Sprintf("%s_%d", name, i+1), crop).Image())
	}
	return func(v int) sdk.Tensor { return each[v] }
}

// crop declares one of the two crops.
func (o *MoCoV3) crop(b *sdk.Builder, v int) sdk.View {
	return b.View(fmt.Sprintf("crop_%d", v+1), sdk.Resample(sdk.Bilinear), o.Crop(b, v), sdk.Flip(.5))
}

// projector ends student and teacher: three linear layers with batch norms, two
// after a residual network, in the place of its classifier.
func (o *MoCoV3) projector(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) sdk.Tensor {
	head, name := o.ProjectionHead, "base_encoder.head"
	if !b.Backbone().Tokens() {
		head.Layers, name = 2, "base_encoder.fc"
	}
	return head.Project(b, name, x, mlp(), append(decayed(), options...)...)
}

// predictor follows the projector of the student.
func (o *MoCoV3) predictor(b *sdk.Builder, x sdk.Tensor) sdk.Tensor {
	m := mlp()
	m.Widths = []int{o.Hidden, o.Dim}
	if !b.Backbone().Tokens() {
		m.LastNorm = sdk.NoNorm
	}
	return b.MLP("predictor", x, m, decayed()...)
}

// mlp is a head of linear layers without bias, each with a batch norm, the last one without
// weights.
func mlp() sdk.MLP {
	return sdk.MLP{Norm: true, LastNorm: sdk.PlainNorm, Linear: []sdk.LayerOption{sdk.WithInit(sdk.InitFanIn(), nil), sdk.WithoutBias()}}
}

// decayed are the options of its layers: norms decay too.
func decayed() []sdk.LayerOption { return []sdk.LayerOption{sdk.WithParams(sdk.Decayed(true))} }

// initial are the network's initial weights in the official code: queries, keys and values as
// separate Xavier-uniform matrices, other linear layers and the patch projection Xavier-uniform,
// its bias zero.
func initial() []sdk.InitRule {
	xavier := sdk.InitXavier()
	return []sdk.InitRule{
		{Weights: "blocks.*.attn.qkv.weight", Init: xavier, Stacked: 3},
		{Weights: "blocks.*.attn.*.weight", Init: xavier},
		{Weights: "blocks.*.mlp.*.weight", Init: xavier},
		{Weights: "patch_embed.proj.weight", Init: xavier},
		{Weights: "patch_embed.proj.bias", Init: sdk.InitZeros()},
	}
}
