package f32

// sampledRun is the number of rows that SampledSums adds up before they join the sum, which bounds
// the rounding error of long sums.
const sampledRun = 64

// SampledDots is y[i][k] = x[i]·table[index[i][k]] for x [rows, n], table [.., n], index and y
// [rows, samples].
func SampledDots(p *Pool, rows, samples, n int, x, table []float32, index []int32, y []float32) {
	needRows("SampledDots", rows, n, x)
	needRows("SampledDots", rows, samples, y)
	checkIndex("SampledDots", rows*samples, n, index, len(table))
	p.rowwise(rowsJob{op: sampledDotsRange, rows: rows, n: samples, per: 1, a: x[:rows*n], b: table, c: y, index: index})
}

func sampledDotsRange(j *rowsJob, _ *worker, lo, hi int) {
	n := len(j.a) / j.rows
	for r := lo; r < hi; r++ {
		x, y := j.a[r*n:(r+1)*n], j.row(j.c, r)
		for k, i := range j.index[r*j.n : (r+1)*j.n] {
			y[k] = float32(j.t.dot(x, j.b[int(i)*n:(int(i)+1)*n]))
		}
	}
}

// SampledSums is dx[i] = Σ_k dy[i][k]*table[index[i][k]] for dy and index [rows, samples], table
// [.., n] and dx [rows, n].
func SampledSums(p *Pool, rows, samples, n int, dy, table []float32, index []int32, dx []float32) {
	needRows("SampledSums", rows, n, dx)
	needRows("SampledSums", rows, samples, dy)
	checkIndex("SampledSums", rows*samples, n, index, len(table))
	p.rowwise(rowsJob{op: sampledSumsRange, rows: rows, n: samples, per: 1, a: dx[:rows*n], b: table, c: dy, index: index})
}

func sampledSumsRange(j *rowsJob, w *worker, lo, hi int) {
	n := len(j.a) / j.rows
	run := w.scratch(n)[:n]
	for r := lo; r < hi; r++ {
		dx, dy, index := j.a[r*n:(r+1)*n], j.row(j.c, r), j.index[r*j.n:(r+1)*j.n]
		clear(dx)
		for len(dy) > 0 {
			clear(run)
			m := min(sampledRun, len(dy))
			for k, i := range index[:m] {
				j.t.axpy(run, dy[k], j.b[int(i)*n:(int(i)+1)*n])
			}
			j.t.add(dx, dx, run)
			dy, index = dy[m:], index[m:]
		}
	}
}
