// Package sit is the Self-supervised vIsion Transformer of Atito, Awais and Kittler, "SiT:
// Self-supervised vIsion Transformer" (2021), https://arxiv.org/abs/2104.03602, in the form
// of its published code.
//
// Two crops of an image are corrupted: many rectangles of them are painted over. A student
// sees the corrupted crops and does two tasks: it paints what was there, and it finds the
// other crop of its image among those of the batch as an averaged teacher sees them, clean.
package sit

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// SiT holds the options; New gives the values of the official code.
type SiT struct {
	Dim      int     `option:"out_dim" min:"1" help:"size of the compared vectors"`
	Layers   int     `option:"head_layers" min:"2" help:"linear layers of the contrastive head"`
	Hidden   int     `option:"head_hidden" min:"1" help:"width of the contrastive head's hidden layers"`
	Temp     float64 `option:"temperature" above:"0" help:"temperature of the contrastive softmax"`
	Lambda   float64 `option:"lmbda" above:"0" help:"weight of the reconstruction beside the contrastive task; 5 for small data sets"`
	Weights  string  `option:"task_weights" choices:"fixed,learned" help:"weight of the tasks: lmbda throughout, or learned with their uncertainty (Kendall et al. 2018) from lmbda on"`
	Momentum float64 `option:"teacher_momentum" min:"0" max:"1" help:"share of the old teacher in the new one at the start; a cosine takes it to 1"`

	Drop    float64  `option:"drop_perc" above:"0" max:"0.9" help:"largest share of a crop that is painted over; the least is the smaller of it and a half"`
	Replace float64  `option:"drop_replace" min:"0" max:"0.9" help:"the same for crops that get pieces of another image of the batch instead, one in two; 0: none does"`
	Align   int      `option:"drop_align" min:"1" help:"rectangles begin and end at multiples of so many pixels"`
	Fill    []string `option:"drop_type" choices:"zeros,noise,copy" help:"what is painted, one of the list for each crop: zeros (the mean colour), noise, copy (pieces from elsewhere in the crop)"`

	CropSize    int       `option:"crop_size" min:"0" help:"side of the crops in pixels; 0: the image size of the model"`
	CropScale   []float64 `option:"crop_scale" above:"0" max:"1" help:"smallest and largest share of the image that a crop covers"`
	Jitter      []float64 `option:"color_jitter" min:"0" help:"strength of changes of brightness, contrast, saturation and hue (at most 0.5)"`
	JitterShare float64   `option:"color_jitter_probability" min:"0" max:"1" help:"share of the crops whose colours change"`
	Gray        float64   `option:"grayscale" min:"0" max:"1" help:"share of the crops that lose their colours"`
	Blur        []float64 `option:"blur" min:"0" max:"1" help:"share of the first and of the second crops that are blurred"`
	Solarize    []float64 `option:"solarize" min:"0" max:"1" help:"share of the first and of the second crops that are solarised"`
}

// New returns the objective with the defaults of the official code.
func New() *SiT {
	return &SiT{
		Dim: 256, Layers: 3, Hidden: 4096, Temp: 0.2, Lambda: 1, Weights: "fixed", Momentum: 0.996,
		Drop: 0.5, Replace: 0.3, Align: 1, Fill: []string{"zeros"}, CropScale: []float64{0.2, 1},
		Jitter: []float64{0.4, 0.4, 0.2, 0.1}, JitterShare: 0.8, Gray: 0.2, Blur: []float64{1, 0.1}, Solarize: []float64{0, 0.2},
	}
}

// Info implements sdk.Objective.
func (o *SiT) Info() sdk.Info {
	return sdk.Info{
		Name:    "sit",
		Version: "1.0.0",
		Summary: "paint what corrupted crops showed, and find the other crop of the image",
		Paper:   "Atito et al., SiT: Self-supervised vIsion Transformer, 2021, https://arxiv.org/abs/2104.03602",
		License: "Apache-2.0",
	}
}

// views is the number of crops of an image; rows of a pass come crop after crop.
const views = 2

// Plan implements sdk.Objective. Parameters carry the names of the official code.
func (o *SiT) Plan(b *sdk.Builder) error {
	if err := o.check(); err != nil {
		return err
	}
	b.Require(&pb.BackboneRequirements{
		Families:   []string{"vit"},
		PosEmbed:   pb.BackboneRequirements_POS_EMBED_LEARNED,
		ClassToken: pb.BackboneRequirements_CLASS_TOKEN_REQUIRED,
		Init:       "dino",
		DropPath:   0.1,
	})
	b.Teacher(b.Schedule(&pb.Schedule{Name: "teacher_momentum", Kind: pb.Schedule_KIND_COSINE, From: o.Momentum, To: 1}), pb.Teacher_WHEN_AFTER_STEP)
	var crops [views]sdk.View
	var clean, corrupted, changed []sdk.Tensor
	var masks [views]sdk.Mask
	for v := range views {
		crops[v] = o.crop(b, v)
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
	first := o.contrast(b, b.ViewRows(found, 0, views), b.ViewRows(sought, 1, views))
	second := o.contrast(b, b.ViewRows(found, 1, views), b.ViewRows(sought, 0, views))
	contrastive := b.Add(first, second)

	painted := o.painter(b, student.PatchTokens(), crops[0])
	reconstruction := b.EntryL1(painted, b.Concat(0, clean...), b.Concat(0, changed...)) // both crops in one mean

	b.Metric("contrastive", contrastive)
	b.Metric("reconstruction", reconstruction)
	mean := b.MeanRow(b.ViewRows(sought, 0, views)) // of length 1 when all are the same, close to 0 when they are spread out
	b.Metric("collapse", b.Sum(b.Mul(mean, mean)))
	b.Picture("reconstruction", b.ViewRows(painted, 0, views), pb.Picture_LAYOUT_IMAGE, false, crops[0], masks[0])
	// One was trained on by the contrastive task, the other by the reconstruction.
	b.Recommend(pb.Network_NETWORK_STUDENT, pb.Output_OUTPUT_CLASS, pb.Output_OUTPUT_POOLED)
	return b.Minimize(o.weigh(b, contrastive, reconstruction))
}

// check refuses options that do not fit together.
func (o *SiT) check() error {
	if len(o.Fill) == 0 {
		return fmt.Errorf("drop_type is empty; it takes at least one of zeros, noise, copy")
	}
	if err := sdk.CheckColorJitter("color_jitter", o.Jitter); err != nil {
		return err
	}
	return sdk.CheckLists(
		sdk.OptionList{Key: "crop_scale", Values: o.CropScale, Length: 2, Range: true},
		sdk.OptionList{Key: "blur", Values: o.Blur, Length: views}, sdk.OptionList{Key: "solarize", Values: o.Solarize, Length: views})
}

// crop declares one of the two crops.
func (o *SiT) crop(b *sdk.Builder, v int) sdk.View {
	options := []sdk.ViewOption{
		sdk.RandomResizedCrop(o.CropScale[0], o.CropScale[1]), sdk.Flip(.5),
		sdk.ColorJitter(o.JitterShare, o.Jitter[0], o.Jitter[1], o.Jitter[2], o.Jitter[3]), sdk.Grayscale(o.Gray),
	}
	if o.Blur[v] > 0 {
		options = append(options, sdk.GaussianBlur(o.Blur[v], .1, 2))
	}
	if o.Solarize[v] > 0 {
		options = append(options, sdk.Solarize(o.Solarize[v]))
	}
	if patch := int(b.Backbone().GetPatch()); o.CropSize > 0 {
		if o.CropSize%patch != 0 {
			b.Failf("crop_size %d is no multiple of the patch size %d", o.CropSize, patch)
		}
		options = append(options, sdk.Size(o.CropSize, o.CropSize))
	}
	return b.View(fmt.Sprintf("crop_%d", v+1), options...)
}

// inAllChannels is 1 at the values [B,C*H,W] that a corruption has changed.
func inAllChannels(b *sdk.Builder, m sdk.Mask) sdk.Tensor {
	planes := make([]sdk.Tensor, b.Backbone().GetChannels())
	for i := range planes {
		planes[i] = m.Changed()
	}
	return b.Concat(1, planes...)
}

// linear sets the initial weights of a linear layer; its bias starts at zero.
func linear() sdk.LayerOption { return sdk.WithInit(sdk.InitTruncNormal(.02, 2), nil) }

// head is the contrastive one: linear layers with batch norms, a ReLU after the first, GELUs
// after the others, nothing after the last norm, which has no weights. Layers are numbered as
// in the official torch.nn.Sequential.
func (o *SiT) head(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) sdk.Tensor {
	layer := append([]sdk.LayerOption{linear()}, options...)
	for i := range o.Layers - 1 {
		x = b.Linear(fmt.Sprintf("head.mlp.%d", 3*i), x, o.Hidden, layer...)
		x = b.BatchNorm(fmt.Sprintf("head.mlp.%d", 3*i+1), x, options...)
		if i == 0 {
			x = b.ReLU(x)
		} else {
			x = b.GELU(x)
		}
	}
	last := 3 * (o.Layers - 1)
	x = b.Linear(fmt.Sprintf("head.mlp.%d", last), x, o.Dim, layer...)
	return b.BatchNorm(fmt.Sprintf("head.mlp.%d", last+1), x, append([]sdk.LayerOption{sdk.WithoutAffine()}, options...)...)
}

// painter makes crops of patch tokens: three linear layers, then pixels. The teacher keeps an
// average of it, as the official code does, and never uses it.
func (o *SiT) painter(b *sdk.Builder, x sdk.Tensor, crop sdk.View) sdk.Tensor {
	averaged := sdk.WithParams(sdk.Averaged())
	for i := range 3 {
		x = b.GELU(b.Linear(fmt.Sprintf("head_recons.mlp.%d", 2*i), x, x.Dim(), linear(), averaged))
	}
	bound := 1 / math.Sqrt(float64(b.PatchDim()))
	return b.PatchConvTranspose("head_recons.convTrans", x, crop, sdk.WithInit(sdk.InitUniform(bound), sdk.InitUniform(bound)), averaged)
}

// contrast is 2T times the cross-entropy of finding row i of sought with row i of found.
func (o *SiT) contrast(b *sdk.Builder, found, sought sdk.Tensor) sdk.Tensor {
	logits := b.Scale(b.MatMul(found, sought, false, true), 1/o.Temp) // [B,B]
	return b.Scale(b.CrossEntropy(logits, b.RowNumbers(found)), 2*o.Temp)
}

// weigh adds up the tasks. Learned weights are those of Kendall, Gal and Cipolla, "Multi-Task
// Learning Using Uncertainty to Weigh Losses" (2018), https://arxiv.org/abs/1705.07115, as in
// the paper's first version: a softmax of variance exp(s) has the likelihood exp(-s) L + s/2,
// a Laplace distribution of scale exp(s), whose loss is the absolute difference, exp(-s) L + s.
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
