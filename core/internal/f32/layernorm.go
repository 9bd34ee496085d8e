package f32

// LayerNorm is layer normalization of rows of N values (Ba et al., arXiv:1607.06450): for i < Rows,
// with mean and variance those of X[i],
//
//	x̂[i] = (X[i] - mean) / √(variance + Eps)
//	y[i] = x̂[i]*Gamma + Beta
type LayerNorm struct {
	Rows, N     int
	X           []float32 // [Rows, N]
	Gamma, Beta []float32 // [N], or nil
	Eps         float32
	Stats       []float32 // [Rows, 2], mean and 1/√(variance + Eps), written by LayerNormForward
}

// LayerNormForward computes y [Rows, N], and l.Stats for LayerNormBackward.
func LayerNormForward(p *Pool, l LayerNorm, y []float32) {
	l.check("LayerNormForward")
	need("LayerNormForward", "y", len(y), l.Rows*l.N)
	if l.Rows == 0 || l.N == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rowwiseLocked(rowsJob{op: normRange, rows: l.Rows, n: l.N, a: l.X, b: p.orConstant(l.Gamma, l.N, 1), c: p.orConstant(l.Beta, l.N, 0), d: y, e: l.Stats, s: l.Eps})
}

// check panics if an operand is too short.
func (l *LayerNorm) check(kernel string) {
	need(kernel, "X", len(l.X), l.Rows*l.N)
	need(kernel, "Stats", len(l.Stats), l.Rows*2)
	if l.Gamma != nil {
		need(kernel, "Gamma", len(l.Gamma), l.N)
	}
	if l.Beta != nil {
		need(kernel, "Beta", len(l.Beta), l.N)
	}
}

// orConstant returns x, or n values of v when x is nil.
func (p *Pool) orConstant(x []float32, n int, v float32) []float32 {
	if x != nil {
		return x
	}
	buf := &p.zeros
	if v != 0 {
		buf = &p.ones
	}
	if len(*buf) < n {
		*buf = Alloc(n)
		if v != 0 {
			for i := range *buf {
				(*buf)[i] = v
			}
		}
	}
	return *buf
}

func normRange(j *rowsJob, _ *worker, lo, hi int) {
	gamma, beta := j.b[:j.n], j.c[:j.n]
	for r := lo; r < hi; r++ {
		j.e[2*r], j.e[2*r+1] = j.t.norm(j.row(j.d, r), j.row(j.a, r), gamma, beta, j.s)
	}
}

// normRows is the number of rows whose gain gradients form one partial result.
const normRows = 64

// LayerNormBackward is the gradient of LayerNormForward, given dy [Rows, N]. For i < Rows,
//
//	g := dy[i]*Gamma
//	dx[i] = (g - mean(g) - x̂[i]*mean(g*x̂[i])) / √(variance + Eps)
//	dgamma += dy[i]*x̂[i], from 0 on
//	dbeta += dy[i], from 0 on
//
// With addDX it adds to dx [Rows, N]; else dx may be dy. dgamma and dbeta [N] may be nil. l.Beta is
// not used.
func LayerNormBackward(p *Pool, l LayerNorm, dy, dx, dgamma, dbeta []float32, addDX bool) {
	l.check("LayerNormBackward")
	rows, n := l.Rows, l.N
	needRows("LayerNormBackward", rows, n, dy, dx)
	for _, g := range [...][]float32{dgamma, dbeta} {
		if g != nil {
			need("LayerNormBackward", "dgamma or dbeta", len(g), n)
		}
	}
	if rows == 0 || n == 0 {
		clear(dgamma)
		clear(dbeta)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	gains := dgamma != nil || dbeta != nil
	chunks := ceilDiv(rows, normRows)
	j := rowsJob{op: normGradRange, rows: rows, n: n, per: normRows, a: l.X, b: p.orConstant(l.Gamma, n, 1), c: dy, d: dx, e: l.Stats, flag: addDX}
	if gains {
		p.partial = grow(p.partial, chunks*2*n)
		j.f = p.partial
	}
	p.rowwiseLocked(j)
	if gains {
		p.rowwiseLocked(rowsJob{op: gainTreeRange, rows: 2 * n, n: chunks, per: columnWidth, a: p.partial, b: dgamma, c: dbeta})
	}
}

func normGradRange(j *rowsJob, _ *worker, lo, hi int) {
	n := j.n
	gamma := j.b[:n]
	var dgamma, dbeta []float32
	if j.f != nil {
		part := j.f[lo/normRows*2*n:][:2*n]
		clear(part)
		dgamma, dbeta = part[:n], part[n:]
	}
	for r := lo; r < hi; r++ {
		x, dy := j.row(j.a, r), j.row(j.c, r)
		if dgamma != nil {
			j.t.normGradGain(dgamma, dbeta, x, dy, j.e[2*r], j.e[2*r+1])
		}
		j.t.normGrad(j.row(j.d, r), x, gamma, dy, j.e[2*r], j.e[2*r+1], j.flag)
	}
}

// gainTreeRange adds the partial gain gradients of columns [lo,hi) of the pair dgamma, dbeta.
func gainTreeRange(j *rowsJob, _ *worker, lo, hi int) {
	n := j.rows / 2
	sumTree(j.t, j.a, j.n, 2*n, lo, hi)
	if j.b != nil && lo < n {
		copy(j.b[lo:min(hi, n)], j.a[lo:min(hi, n)])
	}
	if j.c != nil && hi > n {
		from := max(lo, n)
		copy(j.c[from-n:hi-n], j.a[from:hi])
	}
}
