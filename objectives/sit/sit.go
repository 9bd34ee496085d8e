// Package sit is the Self-supervised vIsion Transformer of Atito, Awais and Kittler, "SiT:
// Self-supervised vIsion Transformer" (2021), https://arxiv.org/abs/2104.03602, in the form of its
// published code.
//
// Two crops of an image are corrupted: many rectangles of them are painted over. A student sees the
// corrupted crops and does two tasks: it paints the original pixels, and it finds the other crop of
// its image among those of the batch as a teacher sees them, clean.
package sit

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/sdk"
)

// SiT holds the options; New gives the values of the official code.
type SiT struct {
	sdk.ProjectionHead

	Temp    float64 `option:"temperature" above:"0" help:"temperature of the contrastive softmax"`
	Lambda  float64 `option:"lmbda" above:"0" help:"weight of the reconstruction beside the contrastive task; 5 for small data sets"`
	Weights string  `option:"task_weights" choices:"fixed,learned" help:"weight of the tasks: lmbda throughout, or learned with their uncertainty (Kendall et al. 2018) from lmbda on"`
	sdk.CosineTeacher

	Drop    float64  `option:"drop_perc" above:"0" max:"0.9" help:"largest share of a crop that is painted over; the least is the smaller of it and a half"`
	Replace float64  `option:"drop_replace" min:"0" max:"0.9" help:"the same for crops that get pieces of another image of the batch instead, one in two; 0: none does"`
	Align   int      `option:"drop_align" min:"1" help:"rectangles begin and end at multiples of so many pixels"`
	Fill    []string `option:"drop_type" choices:"zeros,noise,copy" help:"what is painted, one of the list for each crop: zeros (the mean color), noise, copy (pieces from elsewhere in the crop)"`

	sdk.TwoCrops
}

// New returns the objective with the defaults of the official code.
func New() *SiT {
	return &SiT{
		ProjectionHead: sdk.ProjectionHead{Dim: 256, Layers: 3, Hidden: 4096}, Temp: 0.2, Lambda: 1, Weights: "fixed", CosineTeacher: sdk.CosineTeacher{Momentum: 0.996},
		Drop: 0.5, Replace: 0.3, Align: 1, Fill: []string{"zeros"}, TwoCrops: sdk.BYOLCrops(0.2, 1),
	}
}

// Info implements sdk.Objective.
func (o *SiT) Info() sdk.Info {
	return sdk.Info{
		Name:    "sit",
		Version: "1.0.0",
		Summary: "paint the original pixels of corrupted crops, and find the other crop of the image",
		Paper:   "Atito et al., SiT: Self-supervised vIsion Transformer, 2021, https://arxiv.org/abs/2104.03602",
		License: "Apache-2.0",
	}
}

// views is the number of crops of an image; rows of a pass come crop after crop.
const views = 2

// Plan implements sdk.Objective. Parameters carry the names of the official code.
func (o *SiT) Plan(b *sdk.Builder) error {
	if len(o.Fill) == 0 {
		b.Failf("drop_type is empty; it takes at least one of zeros, noise, copy")
	}
	b.RequireViT(sdk.Requirements{PosEmbed: sdk.PosEmbedLearned, ClassToken: sdk.ClassTokenRequired, Init: initial(), DropPath: 0.1})
	o.Average(b)
	var crops [views]sdk.View
	var clean, corrupted, changed []sdk.Tensor
	var masks [views]sdk.Mask
	for v := range views {
		crops[v] = b.View(fmt.Sprintf("crop_%d", v+1), sdk.Flip(.5), o.Crop(b, v))
		masks[v] = o.corruption(b, fmt.Sprintf("corruption_%d", v+1), crops[v])
		clean = append(clean, crops[v].Pixels())
		corrupted = append(corrupted, b.Corrupt(crops[v], masks[v]))
		changed = append(changed, inAllChannels(b, masks[v]))
	}

	student := b.Student("student", crops[0], sdk.With(crops[1]), sdk.Corrupted())
	b.Images(student, b.Concat(0, corrupted...))
	teacher := b.TeacherPass("teacher", crops[0], sdk.With(crops[1]), sdk.NoDropPath())

	found := b.L2Normalize(o.head(b, student.Class())) // [2B,K], rows of length 1
	sought := b.L2Normalize(o.head(b, teacher.Class(), sdk.OfTeacher()))
	first := b.Contrast(b.ViewRows(found, 0, views), b.ViewRows(sought, 1, views), o.Temp)
	second := b.Contrast(b.ViewRows(found, 1, views), b.ViewRows(sought, 0, views), o.Temp)
	contrastive := b.Add(first, second)

	painted := o.painter(b, student.PatchTokens(), crops[0])
	reconstruction := b.EntryL1(painted, b.Concat(0, clean...), b.Concat(0, changed...)) // both crops in one mean

	b.Metric("contrastive", contrastive)
	b.Metric("reconstruction", reconstruction)
	b.CollapseMetric(b.ViewRows(sought, 0, views))
	b.Picture(sdk.Picture{Name: "reconstruction", Prediction: b.ViewRows(painted, 0, views), Layout: sdk.WholeImages, View: crops[0], Mask: masks[0]})
	// The contrastive task trains the class token, the reconstruction the patch tokens.
	b.Recommend(sdk.StudentNetwork, sdk.ClassFeature, sdk.PooledFeature)
	return b.Minimize(o.weigh(b, contrastive, reconstruction))
}

// inAllChannels is 1 at the values [B,C*H,W] that a corruption has changed.
func inAllChannels(b *sdk.Builder, m sdk.Mask) sdk.Tensor {
	planes := make([]sdk.Tensor, b.Backbone().Channels)
	for i := range planes {
		planes[i] = m.Changed()
	}
	return b.Concat(1, planes...)
}

// linear sets the initial weights of a linear layer; its bias starts at zero.
func linear() sdk.LayerOption { return sdk.WithInit(sdk.InitTruncNormal(.02, 2), nil) }

// head is the contrastive one: linear layers with batch norms, a ReLU after the first, GELUs after
// the others, nothing after the last norm, which has no weights.
func (o *SiT) head(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) sdk.Tensor {
	return o.Project(b, "head.mlp", x, sdk.MLP{
		Norm: true, LastNorm: sdk.PlainNorm, Linear: []sdk.LayerOption{linear()},
		Activation: func(layer int, x sdk.Tensor) sdk.Tensor {
			if layer == 0 {
				return b.ReLU(x)
			}
			return b.GELU(x)
		},
	}, options...)
}

// painter makes crops of patch tokens: three linear layers, then pixels. The teacher keeps an
// average of it, as the official code does, and never uses it.
func (o *SiT) painter(b *sdk.Builder, x sdk.Tensor, crop sdk.View) sdk.Tensor {
	withTeacher := sdk.WithParams(sdk.WithTeacher())
	for i := range 3 {
		x = b.GELU(b.Linear(fmt.Sprintf("head_recons.mlp.%d", 2*i), x, x.Dim(), linear(), withTeacher))
	}
	bound := 1 / math.Sqrt(float64(b.PatchDim()))
	return b.PatchConvTranspose("head_recons.convTrans", x, crop, sdk.WithInit(sdk.InitUniform(bound), sdk.InitUniform(bound)), withTeacher)
}

// weigh adds up the tasks. Learned weights are those of Kendall, Gal and Cipolla, "Multi-Task
// Learning Using Uncertainty to Weigh Losses" (2018), https://arxiv.org/abs/1705.07115, as in the
// paper's first version: a softmax of variance exp(s) has the likelihood exp(-s) L + s/2, a Laplace
// distribution of scale exp(s), whose loss is the absolute difference, exp(-s) L + s.
func (o *SiT) weigh(b *sdk.Builder, contrastive, reconstruction sdk.Tensor) sdk.Tensor {
	if o.Weights == "fixed" {
		return b.Add(contrastive, b.Scale(reconstruction, o.Lambda))
	}
	uncertain := func(name string, start, share float64, loss sdk.Tensor) sdk.Tensor {
		s := b.Param("task_weights."+name, nil, sdk.InitConstant(start)).Tensor()
		weight := b.Exp(b.Scale(s, -1))
		b.Metric("weight_"+name, weight)
		return b.Add(b.Mul(weight, loss), b.Scale(s, share))
	}
	return b.Add(uncertain("contrastive", 0, .5, contrastive), uncertain("reconstruction", -math.Log(o.Lambda), 1, reconstruction))
}

// initial are the network's initial weights in the official code: the class token N(0, 0.02) cut at
// ±2, all others as in timm.
func initial() []sdk.InitRule {
	return []sdk.InitRule{{Weights: "*_token", Init: sdk.InitTruncNormal(.02, 2)}}
}
