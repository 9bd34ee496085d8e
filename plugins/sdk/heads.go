package sdk

import (
	"fmt"
	"slices"
)

// MLP is a projection or prediction head: linear layers with activations between them, and batch
// norms where they are wanted. Layers are numbered as in a torch.nn.Sequential.
type MLP struct {
	Widths     []int                            // of the linear layers' outputs
	Norm       bool                             // a batch norm comes before each activation
	LastNorm   LastNorm                         // after the last linear layer
	Activation func(layer int, x Tensor) Tensor // after linear layer 0, 1 ...; nil: ReLU
	Linear     []LayerOption                    // of the linear layers alone
	Hidden     []LayerOption                    // of all linear layers but the last
	Last       []LayerOption                    // of the last linear layer
}

// ProjectionHead are options of the layers between features and the vectors that a loss compares,
// to be embedded in an objective.
type ProjectionHead struct {
	Dim    int `option:"out_dim" min:"1" help:"size of the compared vectors"`
	Layers int `option:"head_layers" min:"1" help:"linear layers of the head"`
	Hidden int `option:"head_hidden" min:"1" help:"width of the head's hidden layers"`
}

// Project maps rows x [R,D] to [R,Dim] by an MLP of the options' widths.
func (o ProjectionHead) Project(b *Builder, name string, x Tensor, m MLP, options ...LayerOption) Tensor {
	m.Widths = append(slices.Repeat([]int{o.Hidden}, o.Layers-1), o.Dim)
	return b.MLP(name, x, m, options...)
}

// LastNorm is the end of an MLP.
type LastNorm int

// An MLP ends in a linear layer, in a batch norm, in one without weights, or in one with a scale and
// without a shift.
const (
	NoNorm LastNorm = iota
	AffineNorm
	PlainNorm
	ScaleNorm
)

// MLP maps rows x [R,D] to [R,last width], with parameters name.0.weight and so on; options are
// those of its linear layers and its norms. Calling it twice shares its parameters.
func (b *Builder) MLP(name string, x Tensor, m MLP, options ...LayerOption) Tensor {
	place := 0
	next := func() string {
		place++
		return fmt.Sprintf("%s.%d", name, place-1)
	}
	for i, width := range m.Widths {
		if i == len(m.Widths)-1 {
			x = b.Linear(next(), x, width, slices.Concat(m.Linear, m.Last, options)...)
			break
		}
		x = b.Linear(next(), x, width, slices.Concat(m.Linear, m.Hidden, options)...)
		if m.Norm {
			x = b.BatchNorm(next(), x, options...)
		}
		if next(); m.Activation != nil {
			x = m.Activation(i, x)
		} else {
			x = b.ReLU(x)
		}
	}
	switch m.LastNorm {
	case AffineNorm:
		x = b.BatchNorm(next(), x, options...)
	case PlainNorm:
		x = b.BatchNorm(next(), x, slices.Concat([]LayerOption{WithoutAffine()}, options)...)
	case ScaleNorm:
		x = b.BatchNorm(next(), x, slices.Concat([]LayerOption{WithoutShift()}, options)...)
	}
	return x
}

// Contrast is 2T times the cross-entropy of finding key i with query i among all keys, as MoCo v3
// scales it; rows [B,D] have length 1. The gradient flows into both.
func (b *Builder) Contrast(queries, keys Tensor, temperature float64) Tensor {
	logits := b.Scale(b.MatMul(queries, keys, false, true), 1/temperature) // [B,B]
	return b.Scale(b.CrossEntropy(logits, b.RowNumbers(queries)), 2*temperature)
}

// CollapseMetric logs the squared length of the mean of rows [B,D] of length 1 as "collapse": 1
// when all are the same, close to 0 when they are spread out.
func (b *Builder) CollapseMetric(rows Tensor) {
	mean := b.MeanRow(rows)
	b.Metric("collapse", b.Sum(b.Mul(mean, mean)))
}
