package f32

// normRows is the number of rows whose gain gradients form one partial result.
const normRows = 64

// LayerNormForward is y = (x - mean)/sqrt(var + eps)·gamma + beta for rows of n
// values (Ba et al., arXiv:1607.06450). stats [rows, 2] receives the mean and
// the reciprocal deviation of each row. gamma and beta may be nil.
func LayerNormForward(p *Pool, rows, n int, x, gamma, beta, y, stats []float32, eps float32) {
	needRows("LayerNormForward", rows, n, x, y)
	needRows("LayerNormForward: stats", rows, 2, stats)
	if rows == 0 || n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := rowsJob{op: normRange, rows: rows, n: n, a: x, b: p.orConstant(gamma, n, 1), c: p.orConstant(beta, n, 0), d: y, e: stats, s: eps}
	need("LayerNormForward: gamma", len(j.b), n)
	need("LayerNormForward: beta", len(j.c), n)
	p.rowwiseLocked(j)
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
		j.e[2*r], j.e[2*r+1] = j.t.norm(j.d[r*j.n:(r+1)*j.n], j.a[r*j.n:(r+1)*j.n], gamma, beta, j.s)
	}
}

// LayerNormBackward is the gradient of LayerNormForward. dx [rows, n] is
// overwritten, or added to with addDX; dx may be dy unless addDX. dgamma and
// dbeta [n] are overwritten; nil means not wanted.
func LayerNormBackward(p *Pool, rows, n int, x, gamma, dy, stats, dx, dgamma, dbeta []float32, addDX bool) {
	needRows("LayerNormBackward", rows, n, x, dy, dx)
	needRows("LayerNormBackward: stats", rows, 2, stats)
	for _, g := range [...][]float32{gamma, dgamma, dbeta} {
		if g != nil {
			need("LayerNormBackward: gamma, dgamma or dbeta", len(g), n)
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
	j := rowsJob{op: normGradRange, rows: rows, n: n, per: normRows, a: x, b: p.orConstant(gamma, n, 1), c: dy, d: dx, e: stats, flag: addDX}
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
		x, dy := j.a[r*n:(r+1)*n], j.c[r*n:(r+1)*n]
		if dgamma != nil {
			j.t.normGradGain(dgamma, dbeta, x, dy, j.e[2*r], j.e[2*r+1])
		}
		j.t.normGrad(j.d[r*n:(r+1)*n], x, gamma, dy, j.e[2*r], j.e[2*r+1], j.flag)
	}
}

// gainTreeRange adds the partial gain gradients of columns [lo,hi) of the pair
// dgamma, dbeta.
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
