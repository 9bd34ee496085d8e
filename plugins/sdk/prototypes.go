package sdk

import "github.com/vittool/vittool/plugins/pb"

// Prototypes are the products of rows x [R,D] with n prototypes, [R,n]. The prototypes are the
// parameter name.weight [n,D], whose rows are brought to length 1 before each forward pass, without
// a gradient of that.
func (b *Builder) Prototypes(name string, x Tensor, n int, options ...LayerOption) Tensor {
	own := []LayerOption{WithoutBias(), WithInit(InitFanIn(), nil), WithParams(UnitNormRows())}
	return b.Linear(name, x, n, append(own, options...)...)
}

// Sinkhorn are assignments of samples to prototypes by their scores [B,K], in which each of the K prototypes gets
// an equal share (Caron et al. 2020); each row has the sum 1, and no gradient flows. earlier [L,K]
// are the scores of a queue of earlier samples, newest first, which count once its last row is
// filled; a zero Tensor leaves them out.
func (b *Builder) Sinkhorn(scores, earlier Tensor, epsilon float64, iterations int) Tensor {
	return b.Node(pb.OpSinkhorn, scores.dim, []Input{{Name: "scores", Value: scores}, {Name: "earlier", Value: earlier, Optional: true}},
		Attr("epsilon", epsilon), Attr("iterations", iterations))
}
