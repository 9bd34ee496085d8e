package f32

import "fmt"

// rowsJob applies op to chunks of per whole rows of n values; a to f are its operands.
type rowsJob struct {
	t          *table
	op         func(j *rowsJob, w *worker, lo, hi int)
	rows, per  int
	n          int
	a, b, c, d []float32
	e, f       []float32
	index      []int32
	s          float32
	flag       bool
}

// row returns row r of the [rows, n] operand x.
func (j *rowsJob) row(x []float32, r int) []float32 { return x[r*j.n : (r+1)*j.n] }

func (j *rowsJob) run(w *worker, i int) { j.op(j, w, i*j.per, min(j.rows, (i+1)*j.per)) }

// rowwise runs j over its rows in chunks of about elementChunk values.
func (p *Pool) rowwise(j rowsJob) {
	if j.rows == 0 || j.n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rowwiseLocked(j)
}

func (p *Pool) rowwiseLocked(j rowsJob) {
	j.t = kernels()
	if j.per == 0 {
		j.per = max(1, elementChunk/j.n)
	}
	p.jobs.rows = j
	p.run(ceilDiv(j.rows, j.per), &p.jobs.rows)
	p.jobs.rows = rowsJob{}
}

// AddRow is y[i][j] = x[i][j] + row[j] for x and y [rows, n] and row [n]; y may be x.
func AddRow(p *Pool, rows, n int, x, row, y []float32) {
	needRows("AddRow", rows, n, x, y)
	need("AddRow", "row", len(row), n)
	p.rowwise(rowsJob{op: addRowRange, rows: rows, n: n, a: x, b: row, c: y})
}

func addRowRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.t.add(j.row(j.c, r), j.row(j.a, r), j.b[:j.n])
	}
}

// MulRow is y[i][j] = x[i][j] * row[j] for x and y [rows, n] and row [n]; y may be x.
func MulRow(p *Pool, rows, n int, x, row, y []float32) {
	needRows("MulRow", rows, n, x, y)
	need("MulRow", "row", len(row), n)
	p.rowwise(rowsJob{op: mulRowRange, rows: rows, n: n, a: x, b: row, c: y})
}

func mulRowRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.t.mul(j.row(j.c, r), j.row(j.a, r), j.b[:j.n])
	}
}

// ScaleRows is y[i][j] = factor[i/rowsPer] * x[i][j] for x and y [rows, n] and factor
// [rows/rowsPer]; y may be x.
func ScaleRows(p *Pool, rows, n int, x, factor []float32, rowsPer int, y []float32) {
	needRows("ScaleRows", rows, n, x, y)
	need("ScaleRows", "factor", len(factor), ceilDiv(rows, rowsPer))
	p.rowwise(rowsJob{op: scaleRowsRange, rows: rows, n: n, a: x, b: factor, c: y, s: float32(rowsPer)})
}

func scaleRowsRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.t.scale(j.row(j.c, r), j.b[r/int(j.s)], j.row(j.a, r))
	}
}

// GatherRows is dst[i] = src[index[i]] for the rows of dst [rows, n] and index [rows]; a negative
// index gives a row of zeros.
func GatherRows(p *Pool, rows, n int, src []float32, index []int32, dst []float32) {
	needRows("GatherRows", rows, n, dst)
	checkIndex("GatherRows", rows, n, index, len(src))
	p.rowwise(rowsJob{op: gatherRange, rows: rows, n: n, a: src, b: dst, index: index})
}

func gatherRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		dst := j.b[r*j.n : (r+1)*j.n]
		if i := int(j.index[r]); i < 0 {
			clear(dst)
		} else {
			copy(dst, j.a[i*j.n:(i+1)*j.n])
		}
	}
}

// ScatterAddRows is dst[index[i]] += src[i] for the rows of src [rows, n] in order; several rows
// may share an index, a negative index drops the row.
func ScatterAddRows(p *Pool, rows, n int, src []float32, index []int32, dst []float32) {
	needRows("ScatterAddRows", rows, n, src)
	checkIndex("ScatterAddRows", rows, n, index, len(dst))
	// Chunks are ranges of columns: rows of one index keep their order.
	p.rowwise(rowsJob{op: scatterAddRange, rows: n, n: rows, per: max(16, ceilDiv(n, 16)), a: src, b: dst, index: index})
}

func scatterAddRange(j *rowsJob, _ *worker, lo, hi int) {
	n := j.rows
	for r, i := range j.index[:j.n] {
		if i >= 0 {
			dst := j.b[int(i)*n+lo : int(i)*n+hi]
			j.t.add(dst, dst, j.a[r*n+lo:r*n+hi])
		}
	}
}

func checkIndex(name string, rows, n int, index []int32, have int) {
	if len(index) < rows {
		panicShort(name, "index", len(index), rows)
	}
	for r, i := range index[:rows] {
		if (int(i)+1)*n > have {
			panic(fmt.Sprintf("f32.%s: index %d of row %d points outside %d values in rows of %d", name, i, r, have, n))
		}
	}
}
