package program

import (
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/ops"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// subBatches runs a network over equal parts of its images [B, C, H, W], each with the statistics of
// its own; running ones move once for each part, in their order.
func (c *Compiler) subBatches(spec *plan.Pass, network backbone.Network, images *core.Node, o backbone.Options) (backbone.Outputs, error) {
	n, batch := spec.SubBatches, images.Shape()[0]
	if batch%n != 0 {
		return nil, fmt.Errorf("%d sub-batches do not divide a micro-batch of %d images: take a batch size that is a multiple of %d", n, batch, n)
	}
	whole := &subBatches{g: c.g, interleaved: spec.Interleaved}
	for k := range n {
		out, err := c.forward(spec, fmt.Sprintf("%s sub-batch %d", spec.Name, k), network, whole.part(images, k, n), o)
		if err != nil {
			return nil, err
		}
		whole.parts = append(whole.parts, out)
	}
	return whole, nil
}

// subBatches are the outputs of parts of a batch, joined in the order of the batch.
type subBatches struct {
	g           *core.Graph
	parts       []backbone.Outputs
	interleaved bool // rows k, k+n, … are those of part k
}

// part returns rows of x [B, ...].
func (s *subBatches) part(x *core.Node, k, n int) *core.Node {
	shape := x.Shape().Clone()
	shape[0] /= n
	if !s.interleaved {
		return ops.SliceRows(s.g, x, k*shape[0], (k+1)*shape[0])
	}
	rows := s.g.Reshape(x, tensor.Shape{shape[0], n, x.Shape().Size() / x.Shape()[0]})
	return s.g.Reshape(ops.SliceTokens(s.g, rows, k, k+1), shape)
}

// join puts the rows of all parts into the order of the batch.
func (s *subBatches) join(output func(backbone.Outputs) (*core.Node, error)) (*core.Node, error) {
	var list []*core.Node
	for _, p := range s.parts {
		x, err := output(p)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	if !s.interleaved {
		return ops.Concat(s.g, list...), nil
	}
	shape := list[0].Shape().Clone()
	for i, x := range list {
		list[i] = s.g.Reshape(x, tensor.Shape{shape[0], 1, shape.Size() / shape[0]})
	}
	shape[0] *= len(list)
	return s.g.Reshape(ops.ConcatTokens(s.g, list...), shape), nil
}

// Output implements [backbone.Outputs].
func (s *subBatches) Output(name backbone.Output) (*core.Node, error) {
	return s.join(func(o backbone.Outputs) (*core.Node, error) { return o.Output(name) })
}

// Tap implements [backbone.Outputs].
func (s *subBatches) Tap(i int) (*core.Node, error) {
	return s.join(func(o backbone.Outputs) (*core.Node, error) { return o.Tap(i) })
}

// Attention implements [backbone.Outputs].
func (s *subBatches) Attention(i int) (*core.Node, error) {
	return s.join(func(o backbone.Outputs) (*core.Node, error) { return o.Attention(i) })
}

// After implements [backbone.Outputs].
func (s *subBatches) After(i int) (backbone.Outputs, error) {
	after := &subBatches{g: s.g, interleaved: s.interleaved}
	for _, p := range s.parts {
		out, err := p.After(i)
		if err != nil {
			return nil, err
		}
		after.parts = append(after.parts, out)
	}
	return after, nil
}
