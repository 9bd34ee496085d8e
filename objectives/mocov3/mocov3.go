// Package mocov3 is the momentum contrast for Vision Transformers of Chen, Xie and He, "An
// Empirical Study of Training Self-Supervised Vision Transformers" (2021),
// https://arxiv.org/abs/2104.02057.
//
// Two crops of an image are a pair, crops of the other images of the batch are not. The
// trained network, ending in a projector and a predictor, is to find the partner of a crop
// among what an averaged network, ending in a projector, makes of the other crops.
package mocov3

import (
	"fmt"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// MoCoV3 holds the options; New gives the values of the paper for ViTs.
type MoCoV3 struct {
	Dim         int       `option:"dim" min:"1" help:"size of the compared vectors"`
	Hidden      int       `option:"mlp_dim" min:"1" help:"hidden width of projector and predictor"`
	Temp        float64   `option:"temperature" above:"0" help:"temperature of the contrastive softmax"`
	Momentum    float64   `option:"momentum" min:"0" max:"1" help:"share of the old averaged network in the new one"`
	MomentumCos bool      `option:"momentum_cos" help:"a cosine over the run takes the momentum to 1"`
	FreezeStem  bool      `option:"stop_grad_conv1" help:"the random patch embedding is not trained, which keeps training stable"`
	CropSize    int       `option:"crop_size" min:"0" help:"side of the crops in pixels; 0: the image size of the model"`
	CropScale   []float64 `option:"crop_scale" above:"0" max:"1" help:"smallest and largest share of the image that a crop covers"`
	Jitter      []float64 `option:"color_jitter" min:"0" help:"strength of changes of brightness, contrast, saturation and hue (at most 0.5)"`
	JitterShare float64   `option:"color_jitter_probability" min:"0" max:"1" help:"share of the crops whose colours change"`
	Gray        float64   `option:"grayscale" min:"0" max:"1" help:"share of the crops that lose their colour"`
	Blur        []float64 `option:"blur" min:"0" max:"1" help:"share of the first and of the second crops that are blurred"`
	Solarize    []float64 `option:"solarize" min:"0" max:"1" help:"share of the first and of the second crops that are solarised"`
}

// New returns the objective with the defaults of the official code for ViTs.
func New() *MoCoV3 {
	return &MoCoV3{
		Dim: 256, Hidden: 4096, Temp: 0.2, Momentum: 0.99, MomentumCos: true, FreezeStem: true, CropScale: []float64{0.08, 1},
		Jitter: []float64{0.4, 0.4, 0.2, 0.1}, JitterShare: 0.8, Gray: 0.2, Blur: []float64{1, 0.1}, Solarize: []float64{0, 0.2},
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

// Plan implements sdk.Objective. Parameters carry the names of the official code; the
// backbone is its base_encoder without the projector, head.
func (o *MoCoV3) Plan(b *sdk.Builder) error {
	if err := o.check(); err != nil {
		return err
	}
	require := &pb.BackboneRequirements{
		Families:   []string{"vit"},
		PosEmbed:   pb.BackboneRequirements_POS_EMBED_SINCOS_ROW,
		ClassToken: pb.BackboneRequirements_CLASS_TOKEN_REQUIRED,
		Init:       "mocov3",
		DecayRule:  pb.BackboneRequirements_DECAY_ALL,
	}
	if o.FreezeStem {
		require.Frozen = []string{"patch_embed.proj.*"}
	}
	b.Require(require)
	one, two := o.crop(b, 0), o.crop(b, 1)

	kind := pb.Schedule_KIND_CONSTANT
	if o.MomentumCos {
		kind = pb.Schedule_KIND_COSINE
	}
	b.Teacher(b.Schedule(&pb.Schedule{Name: "momentum", Kind: kind, From: o.Momentum, To: 1}), pb.Teacher_WHEN_BEFORE_FORWARD)
	base := b.Student("base_encoder", one, sdk.With(two)).Class()             // [2B,D]
	averaged := b.TeacherPass("momentum_encoder", one, sdk.With(two)).Class() // [2B,D]

	// The backbone treats rows one by one, the heads' batch norms do not: crops go through them apart.
	var queries, keys [views]sdk.Tensor // [B,dim], rows of length 1
	for v := range views {
		q := o.projector(b, b.ViewRows(base, v, views))
		queries[v] = b.L2Normalize(o.predictor(b, q))
	}
	for v := range views {
		keys[v] = b.L2Normalize(o.projector(b, b.ViewRows(averaged, v, views), sdk.OfTeacher()))
	}
	first, second := o.contrast(b, queries[0], keys[1]), o.contrast(b, queries[1], keys[0])
	b.Metric("q1k2", first)
	b.Metric("q2k1", second)
	mean := b.MeanRow(keys[0]) // of length 1 when all keys are the same, close to 0 when they are spread out
	b.Metric("collapse", b.Sum(b.Mul(mean, mean)))
	b.Recommend(pb.Network_NETWORK_STUDENT, pb.Output_OUTPUT_CLASS, pb.Output_OUTPUT_POOLED)
	return b.Minimize(b.Add(first, second))
}

// check refuses options that do not fit together.
func (o *MoCoV3) check() error {
	if err := sdk.CheckColorJitter("color_jitter", o.Jitter); err != nil {
		return err
	}
	return sdk.CheckLists(
		sdk.OptionList{Key: "crop_scale", Values: o.CropScale, Length: 2, Range: true},
		sdk.OptionList{Key: "blur", Values: o.Blur, Length: views}, sdk.OptionList{Key: "solarize", Values: o.Solarize, Length: views})
}

// crop declares one of the two crops.
func (o *MoCoV3) crop(b *sdk.Builder, v int) sdk.View {
	options := []sdk.ViewOption{
		sdk.RandomResizedCrop(o.CropScale[0], o.CropScale[1]), sdk.Resample(pb.ViewSpec_INTERPOLATION_BILINEAR),
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
	return b.View(fmt.Sprintf("crop_%d", v+1), append(options, sdk.Flip(.5))...)
}

// projector ends the trained and the averaged network: three linear layers with batch norms.
func (o *MoCoV3) projector(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) sdk.Tensor {
	return o.mlp(b, "base_encoder.head", x, []int{o.Hidden, o.Hidden, o.Dim}, options)
}

// predictor follows the projector of the trained network.
func (o *MoCoV3) predictor(b *sdk.Builder, x sdk.Tensor) sdk.Tensor {
	return o.mlp(b, "predictor", x, []int{o.Hidden, o.Dim}, nil)
}

// mlp is a row of linear layers without bias, each with a batch norm, ReLUs between, and the
// last norm without weights. Layers are numbered as in a torch.nn.Sequential.
func (o *MoCoV3) mlp(b *sdk.Builder, name string, x sdk.Tensor, widths []int, options []sdk.LayerOption) sdk.Tensor {
	options = append([]sdk.LayerOption{sdk.WithParams(sdk.Decayed(true))}, options...) // norms decay too
	linear := append([]sdk.LayerOption{sdk.WithInit(sdk.InitFanIn(), nil), sdk.WithoutBias()}, options...)
	for i, width := range widths {
		x = b.Linear(fmt.Sprintf("%s.%d", name, 3*i), x, width, linear...)
		norm := fmt.Sprintf("%s.%d", name, 3*i+1)
		if i == len(widths)-1 {
			return b.BatchNorm(norm, x, append([]sdk.LayerOption{sdk.WithoutAffine()}, options...)...)
		}
		x = b.ReLU(b.BatchNorm(norm, x, options...))
	}
	return x
}

// contrast is 2T times the cross-entropy of finding key i with query i among all keys.
func (o *MoCoV3) contrast(b *sdk.Builder, queries, keys sdk.Tensor) sdk.Tensor {
	logits := b.Scale(b.MatMul(queries, keys, false, true), 1/o.Temp) // [B,B]
	return b.Scale(b.CrossEntropy(logits, b.RowNumbers(queries)), 2*o.Temp)
}
