package f32

// reduceChunk is the number of values whose sum is one partial result; the partial results are
// added in order, so the tree never depends on the threads.
const reduceChunk = 16384

type reduceJob struct {
	t       *table
	op      func(j *reduceJob, lo, hi int) float64
	x, y    []float32
	partial []float64
}

func (j *reduceJob) run(_ *worker, i int) {
	j.partial[i] = j.op(j, i*reduceChunk, min(len(j.x), (i+1)*reduceChunk))
}

func (p *Pool) reduce(x, y []float32, op func(j *reduceJob, lo, hi int) float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	chunks := ceilDiv(len(x), reduceChunk)
	if cap(p.sums) < chunks {
		p.sums = make([]float64, chunks+chunks/8)
	}
	j := &p.jobs.reduce
	j.t, j.op, j.x, j.y, j.partial = kernels(), op, x, y, p.sums[:chunks]
	p.run(chunks, j)
	var s float64
	for _, v := range j.partial {
		s += v
	}
	j.x, j.y = nil, nil
	return s
}

// Sum returns Σ x[i], added in float64.
func Sum(p *Pool, x []float32) float64 { return p.reduce(x, nil, sumRange) }

func sumRange(j *reduceJob, lo, hi int) float64 { return j.t.sum(j.x[lo:hi]) }

// SumSquares returns Σ x[i]², added in float64.
func SumSquares(p *Pool, x []float32) float64 { return p.reduce(x, x, dotRange) }

// Dot returns Σ x[i]*y[i], added in float64.
func Dot(p *Pool, x, y []float32) float64 {
	need("Dot", "y", len(y), len(x))
	return p.reduce(x, y, dotRange)
}

func dotRange(j *reduceJob, lo, hi int) float64 { return j.t.dot(j.x[lo:hi], j.y[lo:hi]) }

// FirstNonFinite returns the index of the first infinity or NaN in x, -1 if there is none.
func FirstNonFinite(p *Pool, x []float32) int {
	bad := p.reduce(x, nil, nonFiniteRange)
	if bad == 0 {
		return -1
	}
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

func nonFiniteRange(j *reduceJob, lo, hi int) float64 {
	if j.t.finite(j.x[lo:hi]) {
		return 0
	}
	return 1
}

// columnRows is the number of rows summed into one partial row; columnWidth the columns that one
// chunk of the second stage adds up.
const (
	columnRows  = 64
	columnWidth = 256
)

// columnJob sums over rows in two stages: chunks of columnRows rows into partial rows, then those
// in pairs, quadruples and so on.
type columnJob struct {
	t       *table
	rows, n int
	x, y    []float32
	partial []float32
	out     []float32
	second  bool
}

func (j *columnJob) run(_ *worker, i int) {
	if j.second {
		lo, hi := i*columnWidth, min(j.n, (i+1)*columnWidth)
		sumTree(j.t, j.partial, ceilDiv(j.rows, columnRows), j.n, lo, hi)
		copy(j.out[lo:hi], j.partial[lo:hi])
		return
	}
	acc := j.partial[i*j.n : (i+1)*j.n]
	clear(acc)
	r0 := i * columnRows
	rows := min(columnRows, j.rows-r0)
	if j.y != nil {
		j.t.addRowsMul(rows, j.n, &j.x[r0*j.n], j.n, &j.y[r0*j.n], j.n, &acc[0])
	} else {
		j.t.addRows(rows, j.n, &j.x[r0*j.n], j.n, &acc[0])
	}
}

// sumTree adds the columns [lo,hi) of part [rows, n] in a balanced binary tree that depends only on
// rows; the result is left in row 0.
func sumTree(t *table, part []float32, rows, n, lo, hi int) {
	for step := 1; step < rows; step *= 2 {
		for r := 0; r+step < rows; r += 2 * step {
			dst := part[r*n+lo : r*n+hi]
			t.add(dst, dst, part[(r+step)*n+lo:(r+step)*n+hi])
		}
	}
}

// ColumnSum is out[j] = Σ_i x[i][j] for x [rows, n] and out [n].
func ColumnSum(p *Pool, rows, n int, x, out []float32) { p.columns("ColumnSum", rows, n, x, nil, out) }

// ColumnDot is out[j] = Σ_i x[i][j]*y[i][j] for x and y [rows, n] and out [n].
func ColumnDot(p *Pool, rows, n int, x, y, out []float32) {
	need("ColumnDot", "y", len(y), rows*n)
	p.columns("ColumnDot", rows, n, x, y, out)
}

func (p *Pool) columns(name string, rows, n int, x, y, out []float32) {
	needRows(name, rows, n, x)
	needRows(name, 1, n, out)
	if rows == 0 || n == 0 {
		clear(out[:n])
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	chunks := ceilDiv(rows, columnRows)
	p.partial = grow(p.partial, chunks*n)
	j := &p.jobs.columns
	*j = columnJob{t: kernels(), rows: rows, n: n, x: x, y: y, partial: p.partial, out: out}
	p.run(chunks, j)
	j.second = true
	p.run(ceilDiv(n, columnWidth), j)
	*j = columnJob{}
}
