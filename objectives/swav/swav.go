// Package swav is the clustering of Caron, Misra, Mairal, Goyal, Bojanowski and Joulin,
// "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (2020),
// https://arxiv.org/abs/2006.09882.
//
// Several crops of an image, two large and some small ones, are compared with prototypes. The large
// crops are assigned to prototypes, in shares of which each prototype takes an equal share of the
// batch; the network is to predict the assignment of a crop from each of the other crops.
package swav

import (
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/sdk"
)

// SwAV holds the options; New gives the values of the official code.
type SwAV struct {
	Head
	Assignment
	Crops
	sdk.Colors
	Blur float64 `option:"blur" min:"0" max:"1" help:"share of the crops that are blurred"`
}

// Head are the options of the layers behind the network.
type Head struct {
	sdk.ProjectionHead `keys:"head_layers=-" out_dim:"size of the vectors that are compared with prototypes" head_hidden:"hidden width of the projector"`

	Prototypes int     `option:"prototypes" min:"2" help:"number of prototypes"`
	Freeze     float64 `option:"freeze_prototypes" min:"0" help:"epochs in which the prototypes are not trained"`
	Temp       float64 `option:"temperature" above:"0" help:"temperature of the softmax over prototypes"`
}

// Assignment are the options of the assignment to prototypes.
type Assignment struct {
	Epsilon    float64 `option:"epsilon" above:"0" help:"weight of the entropy of assignments, small for sharp ones"`
	Iterations int     `option:"sinkhorn_iterations" min:"1" max:"1000" help:"scalings of the assignments to equal shares"`
	Assigned   int     `option:"assigned_crops" min:"1" help:"crops, the first ones, that are assigned to prototypes"`
	Queue      int     `option:"queue" min:"0" help:"earlier vectors that take part in the assignment, in whole batches; 0: none"`
	QueueStart float64 `option:"queue_start" min:"0" help:"epochs after which the queue begins to fill"`
}

// Crops are the options of the kinds of crops, the first kind in front.
type Crops struct {
	Numbers  []int     `option:"crops" min:"1" help:"number of crops of each kind"`
	Sizes    []int     `option:"crop_sizes" min:"0" help:"side of each kind in pixels; 0: the image size of the model for the first kind, about 3/7 of it for others"`
	Smallest []float64 `option:"crop_scale_min" above:"0" max:"1" help:"smallest share of the image that a crop of each kind covers"`
	Largest  []float64 `option:"crop_scale_max" above:"0" max:"1" help:"largest share of the image that a crop of each kind covers"`
}

// New returns the objective with the values of the official code.
func New() *SwAV {
	return &SwAV{
		Head:       Head{ProjectionHead: sdk.ProjectionHead{Dim: 128, Layers: 2, Hidden: 2048}, Prototypes: 3000, Freeze: 1, Temp: 0.1},
		Assignment: Assignment{Epsilon: 0.05, Iterations: 3, Assigned: 2, QueueStart: 15},
		Crops:      Crops{Numbers: []int{2, 6}, Sizes: []int{0, 0}, Smallest: []float64{0.14, 0.05}, Largest: []float64{1, 0.14}},
		Colors:     sdk.Colors{Jitter: []float64{0.8, 0.8, 0.8, 0.2}, JitterShare: 0.8, Gray: 0.2}, Blur: 0.5,
	}
}

// Info implements sdk.Objective.
func (o *SwAV) Info() sdk.Info {
	return sdk.Info{
		Name:    "swav",
		Version: "1.0.0",
		Summary: "clustering: predict the prototypes that a crop is assigned to from other crops",
		Paper:   "Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, 2020, https://arxiv.org/abs/2006.09882",
		License: "Apache-2.0",
	}
}

// Validate implements sdk.Validator.
func (o *SwAV) Validate() error {
	kinds, all := len(o.Numbers), 0
	if kinds == 0 || len(o.Sizes) != kinds || len(o.Smallest) != kinds || len(o.Largest) != kinds {
		return fmt.Errorf("crops, crop_sizes, crop_scale_min and crop_scale_max have %d, %d, %d and %d values; each needs one for every kind of crops",
			kinds, len(o.Sizes), len(o.Smallest), len(o.Largest))
	}
	for i, n := range o.Numbers {
		all += n
		if o.Smallest[i] > o.Largest[i] {
			return fmt.Errorf("crops of kind %d cover %v to %v of the image; the smaller share belongs into crop_scale_min", i+1, o.Smallest[i], o.Largest[i])
		}
	}
	if all < 2 || o.Assigned > all {
		return fmt.Errorf("%d crops, of which %d are assigned; at least two crops are needed, and no more assignments than crops", all, o.Assigned)
	}
	return nil
}

// Plan implements sdk.Objective. Parameters carry the names of the official code. Rows of features,
// vectors and scores come crop after crop.
func (o *SwAV) Plan(b *sdk.Builder) error {
	groups, all := o.views(b)
	var features []sdk.Tensor // of each size, [crops*B,D]
	for i, g := range groups {
		features = append(features, b.Student(fmt.Sprintf("crops_%d", i+1), g[0], sdk.With(g[1:]...)).Pooled())
	}
	x := features[0]
	if len(features) > 1 {
		x = b.Concat(0, features...)
	}
	x = b.L2Normalize(o.Project(b, "projection_head", x, sdk.MLP{Norm: true, Linear: []sdk.LayerOption{sdk.WithTorchInit()}})) // [VB,dim]
	scores := o.prototypes(b, x)                                                                                               // [VB,K]

	var assignments []sdk.Tensor // of each assigned crop, [B,K]
	queue := o.queue(b)
	for v := range o.Assigned {
		own, earlier := b.ViewRows(scores, v, all), sdk.Tensor{}
		if queue != nil {
			earlier = queue.scores(v)
			queue.push(v, b.ViewRows(x, v, all))
		}
		assignments = append(assignments, b.Sinkhorn(own, earlier, o.Epsilon, o.Iterations))
	}
	targets := assignments[0]
	if len(assignments) > 1 {
		targets = b.Concat(0, assignments...)
	}
	b.SpreadMetrics(b.ViewRows(x, 0, all), b.ViewRows(x, 1, all))
	b.Recommend(sdk.StudentNetwork, sdk.PooledFeature)
	return b.Minimize(b.ViewCrossEntropy(scores, targets, o.Assigned, o.Temp))
}

// prototypes are the scores of vectors x [R,dim], [R,K].
func (o *SwAV) prototypes(b *sdk.Builder, x sdk.Tensor) sdk.Tensor {
	frozen := sdk.FreezeUntil(int(math.Round(o.Freeze * b.Run().StepsPerEpoch)))
	return b.Prototypes("prototypes", x, o.Prototypes, sdk.WithParams(frozen))
}

// views declares the crops, kind after kind, and joins those of one size that follow each other:
// they pass through the network together, and batch norms take statistics over them.
func (o *SwAV) views(b *sdk.Builder) (groups [][]sdk.View, all int) {
	var last [2]int
	for kind, n := range o.Numbers {
		size := o.size(b, kind)
		if size != last {
			groups = append(groups, nil)
		}
		last = size
		for range n {
			all++
			options := []sdk.ViewOption{
				sdk.Resample(sdk.Bilinear), sdk.RandomResizedCrop(o.Smallest[kind], o.Largest[kind]), sdk.Size(size[0], size[1]), sdk.Flip(.5), o.Recolor(),
			}
			if o.Blur > 0 {
				options = append(options, sdk.GaussianBlur(o.Blur, .1, 2))
			}
			g := &groups[len(groups)-1]
			*g = append(*g, b.View(fmt.Sprintf("crop_%d", all), options...))
		}
	}
	return groups, all
}

// size is height and width of a kind of crops. The default of small ones keeps the official
// proportion, 96 of 224 pixels, in whole patches.
func (o *SwAV) size(b *sdk.Builder, kind int) [2]int {
	if side := o.Sizes[kind]; side > 0 {
		b.WholePatches("crop_sizes", side)
		return [2]int{side, side}
	}
	size := [2]int{b.Backbone().Height, b.Backbone().Width}
	if kind == 0 {
		return size
	}
	patch := max(1, b.Backbone().Patch)
	for axis, pixels := range size {
		size[axis] = max(1, int(math.Round(float64(pixels)*3/7/float64(patch)))) * patch
	}
	return size
}

// queue holds vectors of earlier steps for each assigned crop, newest first.
type queue struct {
	o       *SwAV
	b       *sdk.Builder
	vectors []sdk.Buffer // [L,dim]
	active  sdk.Scalar   // 0 before the queue begins to fill, then 1
}

// queue declares the queues, nil without any. Their length is rounded down to whole batches.
func (o *SwAV) queue(b *sdk.Builder) *queue {
	if o.Queue == 0 {
		return nil
	}
	batch := max(1, b.Run().Batch)
	if o.Queue < batch {
		b.Failf("queue %d is shorter than the batch of %d images", o.Queue, batch)
	}
	q := &queue{o: o, b: b}
	start := o.QueueStart * b.Run().StepsPerEpoch
	values := []float64{0, 1}
	if start == 0 {
		values = values[1:]
	}
	q.active = b.Schedule("queue_active", sdk.TableSchedule(start, values...))
	for v := range o.Assigned {
		q.vectors = append(q.vectors, b.Buffer(sdk.BufferSpec{
			Name: fmt.Sprintf("queue_%d", v+1), Shape: []int{max(1, o.Queue/batch) * batch, o.Dim}, Update: sdk.UpdateNewestFirst, Reduction: sdk.ReduceGather,
		}))
	}
	return q
}

// scores are those of the queue of crop v. They enter assignments alone, so that no gradient flows.
func (q *queue) scores(v int) sdk.Tensor { return q.o.prototypes(q.b, q.vectors[v].Tensor()) }

// push puts the vectors x [B,dim] of crop v in front, after the step.
func (q *queue) push(v int, x sdk.Tensor) {
	q.b.Update(q.vectors[v], q.b.ScaleBy(q.b.StopGradient(x), q.active))
}
