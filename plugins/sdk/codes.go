package sdk

import "github.com/vittool/vittool/plugins/pb"

// ArgMax is the place of the largest value of each row, integers [..].
func (b *Builder) ArgMax(x Tensor) Tensor {
	return b.Node(pb.OpArgMax, 0, []Input{{Name: "x", Value: x}})
}

// NearestRow is the row of table [K,D] nearest to each row of x [..,D], integers [..].
func (b *Builder) NearestRow(x, table Tensor) Tensor {
	return b.Node(pb.OpNearestRow, 0, []Input{{Name: "x", Value: x}, {Name: "table", Value: table}})
}

// GatherRows picks rows of table [K,D] by integers [R]: [R,D].
func (b *Builder) GatherRows(table, rows Tensor) Tensor {
	return b.Node(pb.OpGatherRows, table.dim, []Input{{Name: "table", Value: table}, {Name: "rows", Value: rows}})
}

// GatherTokens picks tokens of each sample of x [B,N,D] by integers [B,K], such as the values or
// the masked cells of a mask: [B,K,D].
func (b *Builder) GatherTokens(x, index Tensor) Tensor {
	return b.Node(pb.OpGatherTokens, x.dim, []Input{{Name: "x", Value: x}, {Name: "index", Value: index}})
}

// GatherIntegers picks integers of each sample of x [B,N] by integers [B,K]: integers [B,K].
func (b *Builder) GatherIntegers(x, index Tensor) Tensor {
	return b.Node(pb.OpGatherIntegers, 0, []Input{{Name: "x", Value: x}, {Name: "index", Value: index}})
}

// ScaleRows multiplies row r of x [R,..] by factor [R], into which no gradient flows.
func (b *Builder) ScaleRows(x, factor Tensor) Tensor {
	return b.Node(pb.OpScaleRows, x.dim, []Input{{Name: "x", Value: x}, {Name: "factor", Value: factor}})
}

// Accuracy is the share of rows of logits [R,C] whose largest value stands at the label, counted
// with weights [R]; a zero Tensor counts all alike.
func (b *Builder) Accuracy(logits, labels, weights Tensor) Tensor {
	return b.Node(pb.OpAccuracy, 1, []Input{
		{Name: "logits", Value: logits}, {Name: "labels", Value: labels}, {Name: "weights", Value: weights, Optional: true},
	})
}

// CodebookUpdate moves the codes of a vector quantizer, three buffers, as running means of the
// vectors x [R,D] that chose them; codes int [R]. A code with a mean count below alive starts anew
// at one of the vectors fresh [F,D].
func (b *Builder) CodebookUpdate(x, codes, fresh Tensor, codebook, count, sum Buffer, decay, alive float64) {
	n := b.Node(pb.OpCodebookUpdate, 0, []Input{
		{Name: "x", Value: x}, {Name: "codes", Value: codes}, {Name: "fresh", Value: fresh},
		{Name: "codebook", Value: codebook.Tensor()}, {Name: "count", Value: count.Tensor()}, {Name: "sum", Value: sum.Tensor()},
	}, Attr("decay", decay), Attr("alive", alive))
	b.Update(codebook, n)
	b.Update(count, n.Output(1, 0))
	b.Update(sum, n.Output(2, 0))
}

// Distribution of random numbers.
type Distribution string

// Uniform in [0,1), Normal of variance 1, Gumbel -log(-log u).
const (
	Uniform Distribution = "uniform"
	Normal  Distribution = "normal"
	Gumbel  Distribution = "gumbel"
)

// Random is random numbers [B]+shape, a function of seed, step and sample id.
func (b *Builder) Random(d Distribution, shape ...int) Tensor {
	return b.Node(pb.OpRandom, shape[len(shape)-1], nil, Attr("shape", shape), Attr("distribution", string(d)))
}
