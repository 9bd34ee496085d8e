// Package moco is the momentum contrast of He et al., "Momentum Contrast for Unsupervised Visual
// Representation Learning" (2019), https://arxiv.org/abs/1911.05722, and of Chen et al., "Improved
// Baselines with Momentum Contrastive Learning" (2020), https://arxiv.org/abs/2003.04297: v1 and v2.
//
// Two crops of an image are a pair. The student is to find the output of a teacher
// for the other crop, its key, among a queue of keys of earlier images.
//
// The official code trains on eight devices and shuffles the images between them before the teacher,
// so that an image and its key share batch statistics with other images. bn_splits does so on one
// device, as the official demonstration on CIFAR-10 does. In place of a random order the teacher's
// parts are interleaved: batches are in random order already.
package moco

import (
	"fmt"

	"github.com/vittool/vittool/plugins/sdk"
)

// MoCo holds the options; New gives the values of v2.
type MoCo struct {
	Dim          int     `option:"out_dim" min:"1" help:"size of the compared vectors"`
	MLP          bool    `option:"mlp" help:"the head has a hidden layer (v2); without it is one linear layer (v1)"`
	Hidden       int     `option:"head_hidden" min:"0" help:"width of the head's hidden layer; 0: that of the features"`
	Length       int     `option:"queue" min:"1" help:"keys of earlier images that the queue holds, a multiple of train.batch_size"`
	Temp         float64 `option:"temperature" above:"0" help:"temperature of the contrastive softmax: 0.07 in v1, 0.2 in v2"`
	Momentum     float64 `option:"momentum" min:"0" max:"1" help:"share of the old teacher in the new one"`
	MomentumEnd  float64 `option:"momentum_end" min:"0" max:"1" help:"value of momentum that a cosine over the run leads to; 0 keeps it"`
	Symmetric    bool    `option:"symmetric" help:"each crop is a query once, with a queue for the keys of each; without it the first crop is"`
	GrayFirst    bool    `option:"gray_first" help:"crops lose their colors before the change of colors, as in v1"`
	Splits       int     `option:"bn_splits" min:"1" help:"parts of a batch that batch norms take their statistics of, other images together in the teacher than in the student, so that the statistics do not tell which key belongs to the batch; train.batch_size is a multiple of it; 1: none"`
	sdk.TwoCrops `solarize:"share of the first and of the second crops that are solarized, 0 in the papers"`
}

// New returns the objective with the defaults of v2.
func New() *MoCo {
	return &MoCo{
		Dim: 128, MLP: true, Length: 65536, Temp: 0.2, Momentum: 0.999, Splits: 1,
		TwoCrops: sdk.TwoCrops{
			CropScale: []float64{0.2, 1}, Blur: []float64{0.5, 0.5}, Solarize: []float64{0, 0},
			Colors: sdk.Colors{Jitter: []float64{0.4, 0.4, 0.4, 0.1}, JitterShare: 0.8, Gray: 0.2},
		},
	}
}

// Info implements sdk.Objective.
func (o *MoCo) Info() sdk.Info {
	return sdk.Info{
		Name:    "moco",
		Version: "1.0.0",
		Summary: "momentum contrast: find the other crop of an image in a queue of earlier ones",
		Paper:   "Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020, https://arxiv.org/abs/2003.04297",
		License: "Apache-2.0",
	}
}

// Plan implements sdk.Objective. The teacher moves before its forward pass, by the trained
// one that is not updated yet; keys enter the queue after the step.
func (o *MoCo) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Decay: sdk.DecayAll})
	momentum := sdk.ConstantSchedule(o.Momentum)
	if o.MomentumEnd > 0 {
		momentum = sdk.CosineSchedule(o.Momentum, o.MomentumEnd)
	}
	b.Teacher(b.Schedule("momentum", momentum), sdk.BeforeForward)
	one, two := o.crop(b, 0), o.crop(b, 1)

	query, key := o.query(b, "query", one), o.key(b, "key", two) // [B,dim], rows of length 1
	loss, accuracy := o.contrast(b, "queue", query, key)
	if o.Symmetric {
		other, right := o.contrast(b, "queue_2", o.query(b, "query_2", two), o.key(b, "key_2", one))
		loss, accuracy = b.Scale(b.Add(loss, other), .5), b.Scale(b.Add(accuracy, right), .5)
	}
	b.Metric("acc1", b.Scale(accuracy, 100))
	b.SpreadMetrics(query, key)
	b.Recommend(sdk.StudentNetwork, sdk.PooledFeature)
	return b.Minimize(loss)
}

// query is the output of the student for a crop, and key that of the teacher.
func (o *MoCo) query(b *sdk.Builder, pass string, crop sdk.View) sdk.Tensor {
	return b.L2Normalize(o.projector(b, b.Student(pass, crop, sdk.SubBatches(o.Splits)).Pooled()))
}

func (o *MoCo) key(b *sdk.Builder, pass string, crop sdk.View) sdk.Tensor {
	return b.L2Normalize(o.projector(b, b.TeacherPass(pass, crop, sdk.InterleavedSubBatches(o.Splits)).Pooled(), sdk.OfTeacher()))
}

// contrast compares queries with their keys and with a queue, which the keys enter.
func (o *MoCo) contrast(b *sdk.Builder, name string, query, key sdk.Tensor) (loss, accuracy sdk.Tensor) {
	queue := b.Queue(name, o.Length, o.Dim)
	queue.Push(key)
	return queue.Contrast(query, key, o.Temp)
}

// projector is the head, of student or teacher.
func (o *MoCo) projector(b *sdk.Builder, x sdk.Tensor, options ...sdk.LayerOption) sdk.Tensor {
	linear := []sdk.LayerOption{sdk.WithTorchInit(), sdk.WithParams(sdk.Decayed(true))}
	if !o.MLP {
		return b.Linear("projector", x, o.Dim, append(linear, options...)...)
	}
	hidden := o.Hidden
	if hidden == 0 {
		hidden = b.Backbone().Dim
	}
	return b.MLP("projector", x, sdk.MLP{Widths: []int{hidden, o.Dim}, Linear: linear}, options...)
}

// crop declares one of the two crops.
func (o *MoCo) crop(b *sdk.Builder, v int) sdk.View {
	options := []sdk.ViewOption{sdk.Resample(sdk.Bilinear), o.Crop(b, v), sdk.Flip(.5)}
	if o.GrayFirst {
		options = append(options, sdk.GrayFirst())
	}
	return b.View(fmt.Sprintf("crop_%d", v+1), options...)
}
