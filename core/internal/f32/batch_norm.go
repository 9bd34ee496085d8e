package f32

import "math"

// BatchNorm normalizes the columns of X [Rows, N] (Ioffe and Szegedy, arXiv:1502.03167), adds a
// residual and takes the positive part:
//
//	v = (X[i][j] - mean[j])*gain[j] + shift[j] + Residual[i][j]
//	y[i][j] = max(v, 0)
//
// The vectors are made by Scale. Sums over rows are made of blocks of a few rows, in float32, that
// are added in order, in float64: longer ones would be less exact than PyTorch's.
type BatchNorm struct {
	Rows, N  int
	X        []float32
	Residual []float32 // [Rows, N], or nil
	Relu     bool      // take the positive part
	// Vectors is memory for 5·N values; Scale fills it, and the backward pass reads it.
	Vectors []float32
}

// batchNormChunk is the approximate number of values of a chunk. batchNormBlock is that of a block
// of rows whose columns are summed one after the other, so that memory is read nearly in order.
const (
	batchNormChunk = 16384
	batchNormBlock = 1024
)

func (b *BatchNorm) check(kernel string, matrices ...[]float32) {
	needRows(kernel, b.Rows, b.N, b.X)
	needRows(kernel, b.Rows, b.N, matrices...)
	need(kernel, "Vectors", len(b.Vectors), 5*b.N)
	if b.Residual != nil {
		need(kernel, "Residual", len(b.Residual), b.Rows*b.N)
	}
}

// vector returns vector i of Vectors: mean, gain, shift, slope, offset.
func (b *BatchNorm) vector(i int) []float32 { return b.Vectors[i*b.N : (i+1)*b.N] }

// floor is the least value of a result.
func (b *BatchNorm) floor() float32 {
	if b.Relu {
		return 0
	}
	return float32(math.Inf(-1))
}

// Scale prepares the normalization with the given moments: the gain is gamma/√(variance + eps), the
// shift beta; gamma and beta [N] may be nil.
func (b *BatchNorm) Scale(mean, variance []float64, eps float64, gamma, beta []float32) {
	m, gain, shift := b.vector(0), b.vector(1), b.vector(2)
	for j := range b.N {
		g, s := 1/math.Sqrt(variance[j]+eps), 0.0
		if gamma != nil {
			g *= float64(gamma[j])
		}
		if beta != nil {
			s = float64(beta[j])
		}
		m[j], gain[j] = float32(mean[j]), float32(g)
		shift[j] = float32(s + g*(float64(m[j])-mean[j])) // the rounding of the mean made good
	}
}

// batchNormJob is one pass over the rows, in chunks of per rows and blocks of some of these.
type batchNormJob struct {
	BatchNorm
	t                  *table
	op                 func(j *batchNormJob, chunk, first, rows int)
	per, block, chunks int
	dy, y, g           []float32
	width              int       // of a row of sums: N and a part of a vector
	sums               []float64 // two rows of sums for each chunk; nil without sums
	totals             [2][]float64
}

func (j *batchNormJob) run(_ *worker, i int) {
	if j.totals[0] != nil {
		lo, hi := i*columnWidth, min(j.N, (i+1)*columnWidth)
		for k, total := range j.totals {
			clear(total[lo:hi])
			for c := range j.chunks {
				for col, v := range j.sums[(2*c+k)*j.width+lo : (2*c+k)*j.width+hi] {
					total[lo+col] += v
				}
			}
		}
		return
	}
	first, end := i*j.per, min((i+1)*j.per, j.Rows)
	if j.sums != nil {
		clear(j.sums[2*i*j.width : 2*(i+1)*j.width])
	}
	for r := first; r < end; r += j.block {
		j.op(j, i, r, min(j.block, end-r))
	}
}

// batchNorm runs op over all rows; with sums it then adds up the two rows of sums of each chunk.
func (p *Pool) batchNorm(b *BatchNorm, op func(j *batchNormJob, chunk, first, rows int), dy, y, g []float32, sums *[2][]float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := &p.conv.norm
	block := min(32, max(8, batchNormBlock/b.N))
	*j = batchNormJob{
		BatchNorm: *b, t: kernels(), op: op, dy: dy, y: y, g: g, block: block, per: roundUp(max(64, batchNormChunk/b.N), block), width: roundUp(b.N, 16),
	}
	j.chunks = ceilDiv(b.Rows, j.per)
	if sums != nil {
		if size := 2 * j.chunks * j.width; cap(p.sums) < size {
			p.sums = make([]float64, size+size/8)
		}
		j.sums = p.sums[:2*j.chunks*j.width]
	}
	p.run(j.chunks, j)
	if sums != nil {
		j.totals = *sums
		p.run(ceilDiv(b.N, columnWidth), j)
	}
	*j = batchNormJob{}
}

// at returns the address of row r of a matrix.
func (j *batchNormJob) at(x []float32, r int) *float32 { return &x[r*j.N] }

// sum returns the addresses of the two rows of sums of a chunk.
func (j *batchNormJob) sum(chunk int) (a, b *float64) {
	return &j.sums[2*chunk*j.width], &j.sums[(2*chunk+1)*j.width]
}

// Moments computes the mean and the biased variance [N] of the columns of X. It overwrites Vectors.
func (b *BatchNorm) Moments(p *Pool, mean, variance []float64) {
	b.check("BatchNorm.Moments")
	// Sums of squares lose nothing around a value near the mean: that of the first rows.
	pivot := b.vector(0)
	rows := min(b.Rows, 32)
	clear(pivot)
	t := kernels()
	t.addRows(rows, b.N, &b.X[0], b.N, &pivot[0])
	t.scale(pivot, 1/float32(rows), pivot)
	sums := [2][]float64{mean[:b.N], variance[:b.N]}
	p.batchNorm(b, batchMomentsRange, nil, nil, nil, &sums)
	n := float64(b.Rows)
	for j, v := range pivot {
		d := mean[j] / n
		mean[j] = float64(v) + d
		variance[j] = max(0, variance[j]/n-d*d)
		if d != d {
			variance[j] = d
		}
	}
}

func batchMomentsRange(j *batchNormJob, chunk, first, rows int) {
	a, b := j.sum(chunk)
	j.t.batchMoments(rows, j.N, j.at(j.X, first), &j.vector(0)[0], a, b)
}

// Forward computes y [Rows, N] after Scale.
func (b *BatchNorm) Forward(p *Pool, y []float32) {
	b.check("BatchNorm.Forward", y)
	p.batchNorm(b, batchNormRange, nil, y, nil, nil)
}

func batchNormRange(j *batchNormJob, _, first, rows int) {
	m, gain, shift, floor := &j.vector(0)[0], &j.vector(1)[0], &j.vector(2)[0], j.floor()
	if j.Residual != nil {
		j.t.batchNormAdd(rows, j.N, j.at(j.X, first), j.at(j.Residual, first), j.at(j.y, first), m, gain, shift, floor)
		return
	}
	j.t.batchNorm(rows, j.N, j.at(j.X, first), j.at(j.y, first), m, gain, shift, floor)
}

// BackwardSums computes, with g the gradient dy where the result is positive (without Relu all of
// it), sum[j] = Σ g and dot[j] = Σ g·(X[i][j] - mean[j]), the mean being the rounded one of
// Vectors. With a residual it reads the result y and writes g, which is the gradient of the
// residual; without one both are nil.
func (b *BatchNorm) BackwardSums(p *Pool, dy, y, g []float32, sum, dot []float64) {
	b.check("BatchNorm.BackwardSums", dy)
	op := batchNormSumsRange
	if b.Residual != nil {
		needRows("BatchNorm.BackwardSums", b.Rows, b.N, y, g)
		op = batchNormAddSumsRange
	}
	p.batchNorm(b, op, dy, y, g, &[2][]float64{sum[:b.N], dot[:b.N]})
}

func batchNormSumsRange(j *batchNormJob, chunk, first, rows int) {
	sum, dot := j.sum(chunk)
	j.t.batchNormSums(rows, j.N, j.at(j.X, first), j.at(j.dy, first), &j.vector(0)[0], &j.vector(1)[0], &j.vector(2)[0], j.floor(), sum, dot)
}

func batchNormAddSumsRange(j *batchNormJob, chunk, first, rows int) {
	sum, dot := j.sum(chunk)
	j.t.batchNormAddSums(rows, j.N, j.at(j.X, first), j.at(j.dy, first), j.at(j.y, first), j.at(j.g, first), &j.vector(0)[0], j.floor(), sum, dot)
}

// Backward computes dx[i][j] = gain[j]·g + slope[j]·(X[i][j] - mean[j]) + offset[j] for the g of
// BackwardSums; with a residual dy is that g.
func (b *BatchNorm) Backward(p *Pool, dy, dx []float32, slope, offset []float64) {
	b.check("BatchNorm.Backward", dy, dx)
	for j := range b.N {
		b.vector(3)[j], b.vector(4)[j] = float32(slope[j]), float32(offset[j])
	}
	p.batchNorm(b, batchNormGradRange, dy, dx, nil, nil)
}

func batchNormGradRange(j *batchNormJob, _, first, rows int) {
	floor := j.floor()
	if j.Residual != nil {
		floor = float32(math.Inf(-1)) // dy is g already
	}
	j.t.batchNormGrad(rows, j.N, j.at(j.X, first), j.at(j.dy, first), j.at(j.y, first), &j.vector(0)[0], &j.vector(1)[0], &j.vector(2)[0], floor, &j.vector(3)[0], &j.vector(4)[0])
}
