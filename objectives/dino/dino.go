// Package dino is the self-distillation of Caron, Touvron, Misra, Jégou, Mairal, Bojanowski
// and Joulin, "Emerging Properties in Self-Supervised Vision Transformers" (2021),
// https://arxiv.org/abs/2104.14294.
//
// A student sees several crops of an image, two large and many small ones; a teacher, the
// moving average of the student, sees the large ones. Both end in a softmax over prototypes,
// and the student is to say of each crop what the teacher says of another. Two things keep
// them from saying the same of every image: the teacher's scores are centred, which stops one
// prototype from winning always, and sharpened by a low temperature, which stops all from
// winning equally.
package dino

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// DINO holds the options; New gives the values of the official code.
type DINO struct {
	OutDim     int  `option:"out_dim" min:"2" help:"prototypes, the size of the softmax"`
	Layers     int  `option:"head_layers" min:"1" help:"linear layers of the head before its bottleneck is normalised"`
	Hidden     int  `option:"head_hidden" min:"1" help:"width of the head's hidden layers"`
	Bottleneck int  `option:"head_bottleneck" min:"1" help:"width of what is compared with the prototypes"`
	BatchNorm  bool `option:"head_bn" help:"batch normalisation before each GELU of the head"`
	NormLast   bool `option:"norm_last_layer" help:"prototypes keep length one; without it their length is learned"`

	StudentTemp  float64 `option:"student_temp" above:"0" help:"temperature of the student's softmax"`
	TeacherTemp  float64 `option:"teacher_temp" above:"0" help:"temperature of the teacher's softmax after its warm-up"`
	WarmupTemp   float64 `option:"warmup_teacher_temp" above:"0" help:"temperature of the teacher's softmax at the start"`
	WarmupEpochs int     `option:"warmup_teacher_temp_epochs" min:"0" help:"epochs in which the teacher's temperature goes from the one to the other"`

	Momentum       float64 `option:"teacher_momentum" min:"0" max:"1" help:"share of the old teacher in the new one at the start; a cosine takes it to 1"`
	CenterMomentum float64 `option:"center_momentum" min:"0" max:"1" help:"share of the old center in the new one"`
	FreezeLast     float64 `option:"freeze_last_layer" min:"0" help:"epochs in which the prototypes stay as they are"`

	DropPath float64 `option:"drop_path" min:"0" below:"1" help:"stochastic depth of the student where model.drop_path sets none"`

	LocalCrops  int       `option:"local_crops" min:"0" help:"small crops of each image, seen by the student only"`
	GlobalSize  int       `option:"global_size" min:"0" help:"side of a large crop in pixels; 0: the image size of the model"`
	LocalSize   int       `option:"local_size" min:"0" help:"side of a small crop in pixels; 0: about 3/7 of a large one (96 of 224)"`
	GlobalScale []float64 `option:"global_scale" above:"0" max:"1" help:"smallest and largest share of the image that a large crop covers"`
	LocalScale  []float64 `option:"local_scale" above:"0" max:"1" help:"smallest and largest share of the image that a small crop covers"`

	Jitter     []float64 `option:"color_jitter" min:"0" help:"strength of changes of brightness, contrast, saturation and hue (at most 0.5)"`
	JitterProb float64   `option:"color_jitter_probability" min:"0" max:"1" help:"share of the crops whose colours change"`
	Grayscale  float64   `option:"grayscale" min:"0" max:"1" help:"share of the crops that lose their colours"`
	Blur       []float64 `option:"blur" min:"0" max:"1" help:"share of the first large, second large and small crops that are blurred"`
	Solarize   float64   `option:"solarize" min:"0" max:"1" help:"share of the second large crops that are solarised"`
}

// New returns the objective with the defaults of the official code.
func New() *DINO {
	return &DINO{
		OutDim: 65536, Layers: 3, Hidden: 2048, Bottleneck: 256, NormLast: true,
		StudentTemp: 0.1, TeacherTemp: 0.04, WarmupTemp: 0.04,
		Momentum: 0.996, CenterMomentum: 0.9, FreezeLast: 1, DropPath: 0.1,
		LocalCrops: 8, GlobalScale: []float64{0.4, 1}, LocalScale: []float64{0.05, 0.4},
		Jitter: []float64{0.4, 0.4, 0.2, 0.1}, JitterProb: 0.8, Grayscale: 0.2, Blur: []float64{1, 0.1, 0.5}, Solarize: 0.2,
	}
}

// Info implements sdk.Objective.
func (o *DINO) Info() sdk.Info {
	return sdk.Info{
		Name:    "dino",
		Version: "1.0.0",
		Summary: "self-distillation: predict what an averaged teacher says of other crops",
		Paper:   "Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, https://arxiv.org/abs/2104.14294",
		License: "Apache-2.0",
	}
}

// teacherViews are the large crops.
const teacherViews = 2

// Plan implements sdk.Objective. Parameters carry the names of the official code. Rows of
// features and scores come view after view.
func (o *DINO) Plan(b *sdk.Builder) error {
	b.Require(&pb.BackboneRequirements{
		Families:   []string{"vit"},
		PosEmbed:   pb.BackboneRequirements_POS_EMBED_LEARNED,
		ClassToken: pb.BackboneRequirements_CLASS_TOKEN_REQUIRED,
		Init:       "dino",
		DropPath:   o.DropPath,
	})
	if err := o.check(); err != nil {
		return err
	}
	global, local := o.views(b)

	student := b.Student("student", global[0], sdk.With(global[1:]...)).Class() // [2B,D]
	if len(local) > 0 {
		small := b.Student("student_local", local[0], sdk.With(local[1:]...)).Class()
		student = b.Concat(0, student, small) // [SB,D], S views
	}
	_, scores := o.head(b, student)                                                                    // [SB,K]
	features := b.TeacherPass("teacher", global[0], sdk.With(global[1:]...), sdk.NoDropPath()).Class() // [2B,D]
	_, said := o.head(b, features, sdk.OfTeacher())                                                    // [2B,K]

	center := b.Buffer(&pb.BufferSpec{Name: "center", Shape: []uint64{1, uint64(o.OutDim)}, Reduction: pb.BufferSpec_REDUCTION_MEAN})
	sharp := b.ScaleBy(b.AddRow(said, b.Scale(center.Tensor(), -1)), o.sharpness(b))
	target := b.Softmax(sharp) // [2B,K]
	loss := b.ViewCrossEntropy(scores, target, teacherViews, o.StudentTemp)
	b.Update(center, b.Add(b.Scale(center.Tensor(), o.CenterMomentum), b.Scale(b.MeanRow(said), 1-o.CenterMomentum)))

	b.Teacher(b.Schedule(&pb.Schedule{Name: "teacher_momentum", Kind: pb.Schedule_KIND_COSINE, From: o.Momentum, To: 1}), pb.Teacher_WHEN_AFTER_STEP)

	b.Recommend(pb.Network_NETWORK_TEACHER, pb.Output_OUTPUT_CLASS, pb.Output_OUTPUT_POOLED)

	// A teacher that collapses says the same of every image: its entropy goes to 0 (one
	// prototype wins) or to log K (all do), and nothing is left to learn, KL goes to 0.
	entropy := b.CrossEntropy(sharp, target)
	b.Metric("teacher_entropy", entropy)
	b.Metric("kl", b.Add(loss, b.Scale(entropy, -1)))
	return b.Minimize(loss)
}

// check refuses options that do not fit together.
func (o *DINO) check() error {
	if err := sdk.CheckColorJitter("color_jitter", o.Jitter); err != nil {
		return err
	}
	return sdk.CheckLists(
		sdk.OptionList{Key: "global_scale", Values: o.GlobalScale, Length: 2, Range: true},
		sdk.OptionList{Key: "local_scale", Values: o.LocalScale, Length: 2, Range: true},
		sdk.OptionList{Key: "blur", Values: o.Blur, Length: 3})
}

// views declares the crops: two large ones, then the small ones.
func (o *DINO) views(b *sdk.Builder) (global, local []sdk.View) {
	crop := func(name string, scale []float64, size [2]int, blur float64, more ...sdk.ViewOption) sdk.View {
		return b.View(name, append([]sdk.ViewOption{
			sdk.RandomResizedCrop(scale[0], scale[1]), sdk.Size(size[0], size[1]), sdk.Flip(0.5),
			sdk.ColorJitter(o.JitterProb, o.Jitter[0], o.Jitter[1], o.Jitter[2], o.Jitter[3]),
			sdk.Grayscale(o.Grayscale), sdk.GaussianBlur(blur, 0.1, 2),
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

// sizes are height and width of large and small crops. The small ones' default keeps the
// official proportion, 96 of 224 pixels, in whole patches.
func (o *DINO) sizes(b *sdk.Builder) (large, small [2]int) {
	i := b.Backbone()
	patch := int(i.GetPatch())
	for key, side := range map[string]int{"global_size": o.GlobalSize, "local_size": o.LocalSize} {
		if side%patch != 0 {
			b.Failf("%s %d is no multiple of the patch size %d", key, side, patch)
		}
	}
	large = [2]int{int(i.GetImageH()), int(i.GetImageW())}
	if o.GlobalSize > 0 {
		large = [2]int{o.GlobalSize, o.GlobalSize}
	}
	for axis, pixels := range large {
		small[axis] = max(1, int(math.Round(float64(pixels)*3/7/float64(patch)))) * patch
	}
	if o.LocalSize > 0 {
		small = [2]int{o.LocalSize, o.LocalSize}
	}
	return large, small
}

// head maps class tokens [R,D] to the normalised bottleneck [R,Z] and its scores [R,K]: linear
// layers with GELU between them, then prototypes of unit length.
func (o *DINO) head(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) (bottleneck, scores sdk.Tensor) {
	linear := append([]sdk.LayerOption{sdk.WithInit(sdk.InitTruncNormal(0.02, 2), nil)}, options...)
	place := 0 // in the official nn.Sequential
	for i := range o.Layers {
		name, width := fmt.Sprintf("mlp.%d", place), o.Hidden
		if o.Layers == 1 {
			name = "mlp"
		}
		if i == o.Layers-1 {
			width = o.Bottleneck
		}
		x = b.Linear(name, x, width, linear...)
		place++
		if i == o.Layers-1 {
			break
		}
		if o.BatchNorm {
			x = b.BatchNorm(fmt.Sprintf("mlp.%d", place), x, options...)
			place++
		}
		x = b.GELU(x)
		place++
	}
	bottleneck = b.L2Normalize(x)
	perEpoch := b.Run().GetStepsPerEpoch()
	frozen := sdk.WithParams(sdk.FreezeUntil(uint64(math.Round(o.FreezeLast * float64(perEpoch)))))
	scores = b.WeightNormLinear("last_layer", bottleneck, o.OutDim, o.NormLast, append([]sdk.LayerOption{frozen}, options...)...)
	return bottleneck, scores
}

// sharpness is 1/temperature of the teacher: epoch by epoch from the first value to the last
// one of the warm-up, both included, then constant.
func (o *DINO) sharpness(b *sdk.Builder) sdk.Scalar {
	var values []float64
	for e := range o.WarmupEpochs {
		t := o.WarmupTemp
		if o.WarmupEpochs > 1 {
			t += (o.TeacherTemp - o.WarmupTemp) * float64(e) / float64(o.WarmupEpochs-1)
		}
		values = append(values, 1/t)
	}
	return b.Schedule(&pb.Schedule{Name: "teacher_sharpness", Kind: pb.Schedule_KIND_TABLE,
		Values: append(values, 1/o.TeacherTemp), StepsPerValue: b.Run().GetStepsPerEpoch()})
}
