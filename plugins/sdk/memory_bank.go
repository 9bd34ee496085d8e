package sdk

import (
	"math"

	"github.com/vittool/vittool/plugins/pb"
)

// MemoryBank keeps one feature of length 1 for each sample of the data set (Wu et al. 2018). It
// belongs to its data set: its rows are numbered by sample ids.
type MemoryBank struct {
	b        *Builder
	features Buffer // [samples,dim]
	name     string
}

// MemoryBank declares a bank of features with dim numbers for each of Run.DatasetSize samples, the
// buffer name [samples,dim]. They start uniformly in ±1/sqrt(dim/3), of length 1 on average.
func (b *Builder) MemoryBank(name string, dim int) *MemoryBank {
	samples := b.Run().DatasetSize
	if samples < 1 {
		b.Failf("memory bank %q: the number of samples in the data set is not known", name)
	}
	features := b.Buffer(BufferSpec{Name: name, Shape: []int{max(samples, 1), max(dim, 1)}, Init: InitUniform(1 / math.Sqrt(float64(max(dim, 1))/3)),
		Update: UpdateRows, Reduction: ReduceGather})
	return &MemoryBank{b: b, features: features, name: name}
}

// Samples is the number of rows.
func (m *MemoryBank) Samples() int { return m.features.spec.Shape[0] }

// Draw declares the rows that samples of a view are compared with, int [B,1+k]: the sample's own
// row, then k rows that are drawn uniformly, with replacement, and may be the own one too.
func (m *MemoryBank) Draw(name string, view View, k int) Tensor {
	if k < 1 {
		m.b.Failf("memory bank %q: %d rows to compare with; at least one is needed", m.name, k)
	}
	return m.b.Indices(name, view, 1+max(k, 1), m.Samples(), func(c *MaskCall, i int, out []int32) {
		r := c.RNG(i)
		out[0] = int32(c.Samples[i])
		for j := range out[1:] {
			out[1+j] = int32(r.IntN(m.Samples()))
		}
	}).Values()
}

// Compare is the product of each feature x [B,dim] with its rows, int [B,K]: [B,K]. No gradient
// flows into the bank.
func (m *MemoryBank) Compare(x, rows Tensor) Tensor {
	return m.b.Node(pb.OpSampledDot, 0, []Input{{Name: "x", Value: x}, {Name: "table", Value: m.features.Tensor()}, {Name: "rows", Value: rows}})
}

// CompareAll is the product of each feature x [B,dim] with every row: [B,samples].
func (m *MemoryBank) CompareAll(x Tensor) Tensor {
	y := m.b.MatMul(x, m.features.Tensor(), false, true)
	y.dim = m.Samples()
	return y
}

// NCE is noise-contrastive estimation of the samples by logits [B,1+K] of rows that Draw chose. The
// constant that turns exp(logits) into probabilities is estimated in the first step and kept in the
// buffer name_constant [1]. The second result is the probabilities, [B,1+K], without a gradient.
func (m *MemoryBank) NCE(logits Tensor) (loss, probability Tensor) {
	constant := m.b.Buffer(BufferSpec{Name: m.name + "_constant", Shape: []int{1}, Init: InitConstant(-1), Reduction: ReduceMean})
	loss = m.b.Node(pb.OpNCE, 1, []Input{{Name: "logits", Value: logits}, {Name: "constant", Value: constant.Tensor()}}, Attr("samples", m.Samples()))
	m.b.Update(constant, loss.Output(2, 1))
	return loss, loss.Output(1, 0)
}

// Follow moves the samples' rows towards their features x [B,dim] of length 1, after the step:
// momentum times the old row plus 1-momentum times x, at length 1.
func (m *MemoryBank) Follow(x Tensor, momentum float64) {
	b, ids := m.b, m.b.SampleIDs()
	old := b.GatherRows(m.features.Tensor(), ids)
	b.Update(m.features, b.L2Normalize(b.Add(b.Scale(old, momentum), b.Scale(b.StopGradient(x), 1-momentum))), ids)
}
