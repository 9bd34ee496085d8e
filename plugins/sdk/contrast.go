package sdk

import "github.com/vittool/vittool/plugins/pb"

// NTXent is the loss of SimCLR: for rows z [2B,D] of length 1, the B second views after the first,
// the mean cross-entropy of finding the other view of an image among the 2B-1 other rows. accuracy
// is the share of rows that find it.
func (b *Builder) NTXent(z Tensor, temperature float64) (loss, accuracy Tensor) {
	loss = b.Node(pb.OpNTXent, 1, []Input{{Name: "z", Value: z}}, Attr("temperature", temperature))
	return loss, loss.Output(2, 1)
}

// Queue is a ring buffer of keys of earlier steps, [length,dim], of length 1 from the start.
type Queue struct {
	buffer Buffer
	b      *Builder
}

// Queue declares a queue. Its length is a multiple of the images of a micro-batch.
func (b *Builder) Queue(name string, length, dim int) Queue {
	if batch := b.run.Batch; batch > 0 && length%batch != 0 {
		b.Failf("the queue %q has %d keys, which is no multiple of the micro-batch of %d images", name, length, batch)
	}
	return Queue{b.Buffer(BufferSpec{Name: name, Shape: []int{length, dim}, Init: InitNormal(1),
		Update: UpdateRing, Reduction: ReduceGather, UnitNormRows: true}), b}
}

// Contrast is the loss of MoCo: the mean cross-entropy of finding the key of a query among it and
// the queue as it was before this step. queries and keys [R,D] have length 1; the gradient flows
// into the queries alone. accuracy is the share of queries that find their key.
func (q Queue) Contrast(queries, keys Tensor, temperature float64) (loss, accuracy Tensor) {
	loss = q.b.Node(pb.OpQueueContrast, 1, []Input{
		{Name: "queries", Value: queries}, {Name: "keys", Value: keys}, {Name: "queue", Value: q.buffer.Tensor()},
	}, Attr("temperature", temperature))
	return loss, loss.Output(2, 1)
}

// Push puts keys [R,D] in the place of the oldest ones, after the step.
func (q Queue) Push(keys Tensor) { q.b.Update(q.buffer, keys) }

// MeanCosine is the mean over rows of the cosine of the angle between x and y [R,D], lengths being
// at least 1e-8.
func (b *Builder) MeanCosine(x, y Tensor) Tensor {
	unit := func(t Tensor) Tensor {
		return b.Node(pb.OpL2Normalize, t.dim, []Input{{Name: "x", Value: t}}, Attr("eps", 1e-8))
	}
	if x.dim == 0 {
		b.Failf("mean_cosine: the size of the last axis is not known")
	}
	return b.Scale(b.Mean(b.Mul(unit(x), unit(y))), float64(x.dim))
}

// SpreadMetrics logs measures of a collapse, for two views x and y [R,D] of the same images whose
// rows have length 1: "feature_std", the mean deviation of a coordinate of x, 1/sqrt(D) when rows
// are spread evenly and 0 when all are the same; "alignment", the squared distance of the views;
// "uniformity", from 0 when all rows are the same down to -4; and "rank", the effective rank of x.
func (b *Builder) SpreadMetrics(x, y Tensor) {
	measure := func(name, op string, inputs ...Input) { b.Metric(name, b.Node(op, 1, inputs)) }
	measure("feature_std", pb.OpFeatureDeviation, Input{Name: "x", Value: x})
	measure("alignment", pb.OpAlignment, Input{Name: "x", Value: x}, Input{Name: "y", Value: y})
	measure("uniformity", pb.OpUniformity, Input{Name: "x", Value: x})
	measure("rank", pb.OpEffectiveRank, Input{Name: "x", Value: x})
}
