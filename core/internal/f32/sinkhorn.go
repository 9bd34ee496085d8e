package f32

// SinkhornAssign assigns samples to prototypes in equal shares, by iterations of Sinkhorn and Knopp.
// Of E[i][j] = exp((scores[i][j] - largest score)/epsilon), scores and E [rows, n], it finds factors
// u and v with
//
//	v[j] = 1/(n·Σ_i u[i]·E[i][j]),  u[i] = 1/(rows·Σ_j E[i][j]·v[j]),  u = 1 at first,
//
// and writes shares[i][j] = rows·u[i]·E[i][j]·v[j] of the last len(shares)/n rows, each of sum 1. e
// [rows, n] holds E. A prototype or a sample without any weight has a factor of 0.
func SinkhornAssign(p *Pool, rows, n int, scores []float32, epsilon float64, iterations int, e, u, v, shares []float32) {
	needRows("SinkhornAssign", rows, n, scores, e)
	need("SinkhornAssign", "u", len(u), rows)
	need("SinkhornAssign", "v", len(v), n)
	last := len(shares) / n
	need("SinkhornAssign", "shares", rows, last)
	p.mu.Lock()
	defer p.mu.Unlock()
	scale := float32(1 / epsilon)
	p.rowwiseLocked(rowsJob{op: sinkhornMaxRange, rows: rows, n: n, a: scores, b: u, s: scale})
	shift := u[0]
	for _, m := range u[1:rows] {
		shift = max(shift, m)
	}
	v[0] = shift
	p.rowwiseLocked(rowsJob{op: sinkhornExpRange, rows: rows, n: n, a: scores, b: e, c: u, s: scale, d: v})
	chunks := ceilDiv(rows, columnRows)
	p.partial = grow(p.partial, chunks*n)
	for range iterations {
		job := &p.jobs.sinkhorn
		*job = sinkhornJob{t: kernels(), rows: rows, n: n, e: e, u: u, v: v, partial: p.partial}
		p.run(chunks, job)
		job.second = true
		p.run(ceilDiv(n, columnWidth), job)
		*job = sinkhornJob{}
		p.rowwiseLocked(rowsJob{op: sinkhornRowRange, rows: rows, n: n, a: e, b: v, c: u})
	}
	first := rows - last
	p.rowwiseLocked(rowsJob{op: sinkhornShareRange, rows: last, n: n, a: e[first*n : rows*n], b: v, c: u[first:rows], d: shares, s: float32(rows)})
}

func sinkhornMaxRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.b[r] = rowShift(j.t, j.row(j.a, r), j.s)
	}
}

func sinkhornExpRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		expSum(j.t, j.row(j.b, r), j.row(j.a, r), j.s, j.d[0])
		j.c[r] = 1
	}
}

// sinkhornJob computes the factors of the prototypes, as columnJob sums columns.
type sinkhornJob struct {
	t                *table
	rows, n          int
	e, u, v, partial []float32
	second           bool
}

func (j *sinkhornJob) run(_ *worker, i int) {
	if j.second {
		lo, hi := i*columnWidth, min(j.n, (i+1)*columnWidth)
		sumTree(j.t, j.partial, ceilDiv(j.rows, columnRows), j.n, lo, hi)
		for k, s := range j.partial[lo:hi] {
			j.v[lo+k] = reciprocal(float64(s) * float64(j.n))
		}
		return
	}
	acc := j.partial[i*j.n : (i+1)*j.n]
	clear(acc)
	for r := i * columnRows; r < min(j.rows, (i+1)*columnRows); r++ {
		j.t.axpy(acc, j.u[r], j.e[r*j.n:(r+1)*j.n])
	}
}

func sinkhornRowRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.c[r] = reciprocal(j.t.dot(j.row(j.a, r), j.b[:j.n]) * float64(j.rows))
	}
}

func sinkhornShareRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		share := j.row(j.d, r)
		j.t.mul(share, j.row(j.a, r), j.b[:j.n])
		j.t.scale(share, j.s*j.c[r], share)
	}
}

// reciprocal is 1/x, and 0 for 0.
func reciprocal(x float64) float32 {
	if x == 0 {
		return 0
	}
	return float32(1 / x)
}
