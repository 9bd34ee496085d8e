// Package dino is the self-distillation of Caron, Touvron, Misra, Jégou, Mairal, Bojanowski and
// Joulin, "Emerging Properties in Self-Supervised Vision Transformers" (2021),
// https://arxiv.org/abs/2104.14294.
//
// A student sees several crops of an image, two large and many small ones; a teacher, the moving
// average of the student, sees the large ones. Both end in a softmax over prototypes, and the
// student predicts from each crop the teacher's distribution for another. Two things keep both from
// one constant distribution: the teacher logits are centered, which stops one prototype from
// winning always, and sharpened by a low temperature, which stops all from winning equally.
package dino

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/sdk"
)

// DINO holds the options; New gives the values of the official code.
type DINO struct {
	Head
	Temperatures

	sdk.CosineTeacher
	CenterMomentum float64 `option:"center_momentum" min:"0" max:"1" help:"share of the old center in the new one"`
	FreezeLast     float64 `option:"freeze_last_layer" min:"0" help:"epochs in which the prototypes stay as they are"`

	DropPath float64 `option:"drop_path" min:"0" below:"1" help:"stochastic depth of the student where model.drop_path sets none"`

	LocalCrops  int       `option:"local_crops" min:"0" help:"small crops of each image, seen by the student only"`
	GlobalSize  int       `option:"global_size" min:"0" help:"side of a large crop in pixels; 0: the image size of the model"`
	LocalSize   int       `option:"local_size" min:"0" help:"side of a small crop in pixels; 0: about 3/7 of a large one (96 of 224)"`
	GlobalScale []float64 `option:"global_scale" above:"0" max:"1" length:"2" order:"rising" help:"smallest and largest share of the image that a large crop covers"`
	LocalScale  []float64 `option:"local_scale" above:"0" max:"1" length:"2" order:"rising" help:"smallest and largest share of the image that a small crop covers"`

	sdk.Colors
	Blur     []float64 `option:"blur" min:"0" max:"1" length:"3" help:"share of the first large, second large and small crops that are blurred"`
	Solarize float64   `option:"solarize" min:"0" max:"1" help:"share of the second large crops that are solarized"`
}

// Head are the options of the layers between the vectors of images and prototypes.
type Head struct {
	OutDim             int `option:"out_dim" min:"2" help:"prototypes, the size of the softmax"`
	sdk.ProjectionHead `keys:"out_dim=head_bottleneck" head_layers:"linear layers of the head before its bottleneck is normalized" head_bottleneck:"width of the vectors that are compared with the prototypes"`
	BatchNorm          bool `option:"head_bn" help:"batch normalization before each GELU of the head"`
	NormLast           bool `option:"norm_last_layer" help:"prototypes keep length one; without it their length is learned"`
}

// Temperatures are the options of the two softmaxes.
type Temperatures struct {
	StudentTemp  float64 `option:"student_temp" above:"0" help:"temperature of the student's softmax"`
	TeacherTemp  float64 `option:"teacher_temp" above:"0" help:"temperature of the teacher's softmax after its warm-up"`
	WarmupTemp   float64 `option:"warmup_teacher_temp" above:"0" help:"temperature of the teacher's softmax at the start"`
	WarmupEpochs int     `option:"warmup_teacher_temp_epochs" min:"0" help:"epochs in which the teacher's temperature goes from the one to the other"`
}

// New returns the objective with the defaults of the official code.
func New() *DINO {
	return &DINO{
		Head:          Head{OutDim: 65536, ProjectionHead: sdk.ProjectionHead{Dim: 256, Layers: 3, Hidden: 2048}, NormLast: true},
		Temperatures:  Temperatures{StudentTemp: 0.1, TeacherTemp: 0.04, WarmupTemp: 0.04},
		CosineTeacher: sdk.CosineTeacher{Momentum: 0.996}, CenterMomentum: 0.9, FreezeLast: 1, DropPath: 0.1,
		LocalCrops: 8, GlobalScale: []float64{0.4, 1}, LocalScale: []float64{0.05, 0.4},
		Colors: sdk.BYOLColors(), Blur: []float64{1, 0.1, 0.5}, Solarize: 0.2,
	}
}

// Info implements sdk.Objective.
func (o *DINO) Info() sdk.Info {
	return sdk.Info{
		Name:    "dino",
		Version: "1.0.0",
		Summary: "self-distillation: predict the output of a teacher for other crops",
		Paper:   "Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, https://arxiv.org/abs/2104.14294",
		License: "Apache-2.0",
	}
}

// teacherViews are the large crops.
const teacherViews = 2

// Plan implements sdk.Objective. Parameters carry the names of the official code. Rows of features
// and logits come view after view. A residual network sees the large crops in one pass and the small
// ones in another, as in the official code: its batch norms take their statistics over each.
func (o *DINO) Plan(b *sdk.Builder) error {
	b.RequireAny(sdk.Requirements{PosEmbed: sdk.PosEmbedLearned, ClassToken: sdk.ClassTokenRequired, Init: initial(), DropPath: o.DropPath})
	global, local := o.views(b)

	student := b.Student("student", global[0], sdk.With(global[1:]...)).Image() // [2B,D]
	if len(local) > 0 {
		small := b.Student("student_local", local[0], sdk.With(local[1:]...)).Image()
		student = b.Concat(0, student, small) // [SB,D], S views
	}
	scores := o.head(b, student)                                                                       // [SB,K]
	features := b.TeacherPass("teacher", global[0], sdk.With(global[1:]...), sdk.NoDropPath()).Image() // [2B,D]
	logits := o.head(b, features, sdk.OfTeacher())                                                     // [2B,K]

	center := b.Buffer(sdk.BufferSpec{Name: "center", Shape: []int{1, o.OutDim}, Reduction: sdk.ReduceMean})
	sharp := b.ScaleBy(b.AddRow(logits, b.Scale(center.Tensor(), -1)), o.sharpness(b))
	target := b.Softmax(sharp) // [2B,K]
	loss := b.ViewCrossEntropy(scores, target, teacherViews, o.StudentTemp)
	b.Update(center, b.Add(b.Scale(center.Tensor(), o.CenterMomentum), b.Scale(b.MeanRow(logits), 1-o.CenterMomentum)))

	o.Average(b)
	b.Recommend(sdk.TeacherNetwork, sdk.ClassFeature, sdk.PooledFeature)

	// A collapsed teacher has one distribution for all images: its entropy goes to 0 (one prototype
	// wins) or to log K (all do), and the divergence of the student, KL, to 0.
	entropy := b.CrossEntropy(sharp, target)
	b.Metric("teacher_entropy", entropy)
	b.Metric("kl", b.Add(loss, b.Scale(entropy, -1)))
	return b.Minimize(loss)
}

// views declares the crops: two large ones, then the small ones.
func (o *DINO) views(b *sdk.Builder) (global, local []sdk.View) {
	crop := func(name string, scale []float64, size [2]int, blur float64, more ...sdk.ViewOption) sdk.View {
		return b.View(name, append([]sdk.ViewOption{
			sdk.RandomResizedCrop(scale[0], scale[1]), sdk.Size(size[0], size[1]), sdk.Flip(0.5), o.Recolor(), sdk.GaussianBlur(blur, 0.1, 2),
		}, more...)...)
	}
	large, small := o.sizes(b)
	global = []sdk.View{
		crop("global_1", o.GlobalScale, large, o.Blur[0]),
		crop("global_2", o.GlobalScale, large, o.Blur[1], sdk.Solarize(o.Solarize)),
	}
	for i := range o.LocalCrops {
		local = append(local, crop(fmt.Sprintf("local_%d", i+1), o.LocalScale, small, o.Blur[2]))
	}
	return global, local
}

// sizes are height and width of large and small crops. The small ones' default keeps the official
// proportion, 96 of 224 pixels, in whole patches.
func (o *DINO) sizes(b *sdk.Builder) (large, small [2]int) {
	b.WholePatches("global_size", o.GlobalSize)
	b.WholePatches("local_size", o.LocalSize)
	large = [2]int{b.Backbone().Height, b.Backbone().Width}
	if o.GlobalSize > 0 {
		large = [2]int{o.GlobalSize, o.GlobalSize}
	}
	patch := b.Backbone().Patch
	for axis, pixels := range large {
		small[axis] = max(1, int(math.Round(float64(pixels)*3/7/float64(patch)))) * patch
	}
	if o.LocalSize > 0 {
		small = [2]int{o.LocalSize, o.LocalSize}
	}
	return large, small
}

// head maps vectors of images [R,D] to logits [R,K]: linear layers with GELU between them, an output of
// length 1, then prototypes of unit length.
func (o *DINO) head(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) sdk.Tensor {
	linear := sdk.WithInit(sdk.InitTruncNormal(0.02, 2), nil)
	if o.Layers == 1 {
		x = b.Linear("mlp", x, o.Dim, append([]sdk.LayerOption{linear}, options...)...)
	} else {
		x = o.Project(b, "mlp", x, sdk.MLP{
			Norm: o.BatchNorm, Linear: []sdk.LayerOption{linear},
			Activation: func(_ int, x sdk.Tensor) sdk.Tensor { return b.GELU(x) },
		}, options...)
	}
	perEpoch := b.Run().StepsPerEpoch
	frozen := sdk.WithParams(sdk.FreezeUntil(int(math.Round(o.FreezeLast * perEpoch))))
	return b.WeightNormLinear("last_layer", b.L2Normalize(x), o.OutDim, o.NormLast, append([]sdk.LayerOption{frozen}, options...)...)
}

// sharpness is 1/temperature of the teacher: epoch by epoch from the first value to the last one of
// the warm-up, both included, then constant.
func (o *DINO) sharpness(b *sdk.Builder) sdk.Scalar {
	var values []float64
	for e := range o.WarmupEpochs {
		t := o.WarmupTemp
		if o.WarmupEpochs > 1 {
			t += (o.TeacherTemp - o.WarmupTemp) * float64(e) / float64(o.WarmupEpochs-1)
		}
		values = append(values, 1/t)
	}
	return b.Schedule("teacher_sharpness", sdk.TableSchedule(b.Run().StepsPerEpoch, append(values, 1/o.TeacherTemp)...))
}

// initial are the network's initial weights in the official code: the class token N(0, 0.02) cut at
// ±2, all others as in timm.
func initial() []sdk.InitRule {
	return []sdk.InitRule{{Weights: "*_token", Init: sdk.InitTruncNormal(.02, 2)}}
}
