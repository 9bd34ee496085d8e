package f32

import (
	"fmt"
	"math"
)

// rowsJob applies op to chunks of whole rows.
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

// needRows checks dense [rows, n] operands.
func needRows(name string, rows, n int, xs ...[]float32) {
	for i, x := range xs {
		if len(x) < rows*n {
			panicShort(fmt.Sprintf("%s: operand %d", name, i), len(x), rows*n)
		}
	}
}

// AddRow is y[i,:] = x[i,:] + row for x and y of shape [rows, n]; y may be x.
func AddRow(p *Pool, rows, n int, x, row, y []float32) {
	needRows("AddRow", rows, n, x, y)
	need("AddRow: row", len(row), n)
	p.rowwise(rowsJob{op: addRowRange, rows: rows, n: n, a: x, b: row, c: y})
}

func addRowRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.t.add(j.c[r*j.n:(r+1)*j.n], j.a[r*j.n:(r+1)*j.n], j.b[:j.n])
	}
}

// MulRow is y[i,:] = x[i,:] * row for x and y of shape [rows, n]; y may be x.
func MulRow(p *Pool, rows, n int, x, row, y []float32) {
	needRows("MulRow", rows, n, x, y)
	need("MulRow: row", len(row), n)
	p.rowwise(rowsJob{op: mulRowRange, rows: rows, n: n, a: x, b: row, c: y})
}

func mulRowRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.t.mul(j.c[r*j.n:(r+1)*j.n], j.a[r*j.n:(r+1)*j.n], j.b[:j.n])
	}
}

// ScaleRows is y[i,:] = factor[i/rowsPer] * x[i,:]; y may be x.
func ScaleRows(p *Pool, rows, n int, x, factor []float32, rowsPer int, y []float32) {
	needRows("ScaleRows", rows, n, x, y)
	need("ScaleRows: factor", len(factor), ceilDiv(rows, rowsPer))
	p.rowwise(rowsJob{op: scaleRowsRange, rows: rows, n: n, a: x, b: factor, c: y, s: float32(rowsPer)})
}

func scaleRowsRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		j.t.scale(j.c[r*j.n:(r+1)*j.n], j.b[r/int(j.s)], j.a[r*j.n:(r+1)*j.n])
	}
}

// SoftmaxRows is y[i,:] = softmax(scale·x[i,:]); y may be x.
func SoftmaxRows(p *Pool, rows, n int, x, y []float32, scale float32) {
	needRows("SoftmaxRows", rows, n, x, y)
	p.rowwise(rowsJob{op: softmaxRange, rows: rows, n: n, a: x, b: y, s: scale})
}

func softmaxRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		softmaxRow(j.t, j.b[r*j.n:(r+1)*j.n], j.a[r*j.n:(r+1)*j.n], j.s)
	}
}

// softmaxRow is y = softmax(scale*x); it returns log Σ exp(scale*x).
func softmaxRow(t *table, y, x []float32, scale float32) float32 {
	shift := rowShift(t, x, scale)
	sum := expSum(t, y, x, scale, shift)
	t.scale(y, float32(1/sum), y)
	return float32(float64(shift) + math.Log(sum))
}

// expRun is the longest run of exponentials that is summed in float32.
const expRun = 1024

// expSum is y = exp(scale*x - shift) and the sum of y; without y only the sum.
func expSum(t *table, y, x []float32, scale, shift float32) float64 {
	sum := 0.0
	for len(x) > 0 {
		n := min(len(x), expRun)
		if y == nil {
			sum += float64(t.expSumOnly(x[:n], scale, shift))
		} else {
			sum += float64(t.expSum(y[:n], x[:n], scale, shift))
			y = y[n:]
		}
		x = x[n:]
	}
	return sum
}

// rowShift returns the largest scale*x, which keeps the exponentials below one.
func rowShift(t *table, x []float32, scale float32) float32 {
	if scale >= 0 {
		return scale * t.max(x)
	}
	m := x[0]
	for _, v := range x {
		m = min(m, v)
	}
	return scale * m
}

// SoftmaxRowsBackward is dx = scale·y·(dy - Σ y·dy) row by row, y being the
// result of SoftmaxRows; dx may be dy.
func SoftmaxRowsBackward(p *Pool, rows, n int, y, dy, dx []float32, scale float32) {
	needRows("SoftmaxRowsBackward", rows, n, y, dy, dx)
	p.rowwise(rowsJob{op: softmaxGradRange, rows: rows, n: n, a: y, b: dy, c: dx, s: scale})
}

func softmaxGradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		y, dy, dx := j.a[r*j.n:(r+1)*j.n], j.b[r*j.n:(r+1)*j.n], j.c[r*j.n:(r+1)*j.n]
		j.t.softmaxGrad(dx, y, dy, float32(j.t.dot(y, dy)), j.s)
	}
}

// LogSoftmaxRows is y = scale·x - log Σ exp(scale·x) row by row; y may be x.
func LogSoftmaxRows(p *Pool, rows, n int, x, y []float32, scale float32) {
	needRows("LogSoftmaxRows", rows, n, x, y)
	p.rowwise(rowsJob{op: logSoftmaxRange, rows: rows, n: n, a: x, b: y, s: scale})
}

func logSoftmaxRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x, y := j.a[r*j.n:(r+1)*j.n], j.b[r*j.n:(r+1)*j.n]
		shift := rowShift(j.t, x, j.s)
		lse := float64(shift) + math.Log(expSum(j.t, nil, x, j.s, shift))
		for i, v := range x {
			y[i] = float32(float64(float64(j.s)*float64(v)) - lse)
		}
	}
}

// LogSoftmaxRowsBackward is dx = scale·(dy - exp(y)·Σ dy) row by row, y being
// the result of LogSoftmaxRows; dx may be dy.
func LogSoftmaxRowsBackward(p *Pool, rows, n int, y, dy, dx []float32, scale float32) {
	needRows("LogSoftmaxRowsBackward", rows, n, y, dy, dx)
	p.rowwise(rowsJob{op: logSoftmaxGradRange, rows: rows, n: n, a: y, b: dy, c: dx, s: scale})
}

func logSoftmaxGradRange(j *rowsJob, w *worker, lo, hi int) {
	e := w.scratch(j.n)[:j.n]
	for r := lo; r < hi; r++ {
		y, dy, dx := j.a[r*j.n:(r+1)*j.n], j.b[r*j.n:(r+1)*j.n], j.c[r*j.n:(r+1)*j.n]
		sum := float32(j.t.sum(dy))
		j.t.expSum(e, y, 1, 0)
		for i, v := range dy {
			dx[i] = j.s * (v - float32(e[i]*sum))
		}
	}
}

// CrossEntropyRows is loss[i] = -Σ_j target[i,j]·log softmax(scale·x[i,:])[j].
// The target is either labels [rows] (a negative label counts as loss 0) or the
// dense matrix target [rows, n], whose rows need not sum to one; the other is
// nil. lse [rows] receives log Σ exp(scale·x) for CrossEntropyRowsBackward.
func CrossEntropyRows(p *Pool, rows, n int, x []float32, scale float32, labels []int32, target, loss, lse []float32) {
	checkTargets("CrossEntropyRows", rows, n, labels, target)
	needRows("CrossEntropyRows", rows, n, x)
	need("CrossEntropyRows: loss", len(loss), rows)
	need("CrossEntropyRows: lse", len(lse), rows)
	p.rowwise(rowsJob{op: crossEntropyRange, rows: rows, n: n, a: x, b: target, c: loss, d: lse, index: labels, s: scale})
}

func checkTargets(name string, rows, n int, labels []int32, target []float32) {
	if (labels == nil) == (target == nil) {
		panic("f32." + name + " wants either labels or a dense target")
	}
	if labels == nil {
		needRows(name, rows, n, target)
		return
	}
	if len(labels) < rows {
		panicShort(name+": labels", len(labels), rows)
	}
	for i, l := range labels[:rows] {
		if int(l) >= n {
			panic(fmt.Sprintf("f32.%s: label %d of row %d is not below the %d classes", name, l, i, n))
		}
	}
}

func crossEntropyRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x := j.a[r*j.n : (r+1)*j.n]
		shift := rowShift(j.t, x, j.s)
		lse := float64(shift) + math.Log(expSum(j.t, nil, x, j.s, shift))
		j.d[r] = float32(lse)
		switch {
		case j.index == nil:
			target := j.b[r*j.n : (r+1)*j.n]
			j.c[r] = float32(lse*j.t.sum(target) - float64(j.s)*j.t.dot(target, x))
		case j.index[r] < 0:
			j.c[r] = 0
		default:
			j.c[r] = float32(lse - float64(j.s)*float64(x[j.index[r]]))
		}
	}
}

// CrossEntropyRowsBackward is dx[i,:] = dloss[i]·scale·(softmax·Σtarget -
// target), with the arguments and lse of CrossEntropyRows; dx may be x.
func CrossEntropyRowsBackward(p *Pool, rows, n int, x []float32, scale float32, labels []int32, target, lse, dloss, dx []float32) {
	checkTargets("CrossEntropyRowsBackward", rows, n, labels, target)
	needRows("CrossEntropyRowsBackward", rows, n, x, dx)
	need("CrossEntropyRowsBackward: lse", len(lse), rows)
	need("CrossEntropyRowsBackward: dloss", len(dloss), rows)
	p.rowwise(rowsJob{op: crossEntropyGradRange, rows: rows, n: n, a: x, b: target, c: dx, d: lse, e: dloss, index: labels, s: scale})
}

func crossEntropyGradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x, dx := j.a[r*j.n:(r+1)*j.n], j.c[r*j.n:(r+1)*j.n]
		g := j.e[r] * j.s
		if j.index == nil {
			target := j.b[r*j.n : (r+1)*j.n]
			j.t.expSum(dx, x, j.s, j.d[r])
			j.t.scale(dx, g*float32(j.t.sum(target)), dx)
			j.t.axpy(dx, -g, target)
			continue
		}
		if j.index[r] < 0 {
			clear(dx)
			continue
		}
		j.t.expSum(dx, x, j.s, j.d[r])
		j.t.scale(dx, g, dx)
		dx[j.index[r]] -= g
	}
}

// L2NormalizeRows is y[i,:] = x[i,:] / max(‖x[i,:]‖, eps); norms [rows] receives
// the denominators. y may be x.
func L2NormalizeRows(p *Pool, rows, n int, x, y, norms []float32, eps float32) {
	needRows("L2NormalizeRows", rows, n, x, y)
	need("L2NormalizeRows: norms", len(norms), rows)
	p.rowwise(rowsJob{op: l2Range, rows: rows, n: n, a: x, b: y, c: norms, s: eps})
}

func l2Range(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x := j.a[r*j.n : (r+1)*j.n]
		norm := max(math.Sqrt(j.t.dot(x, x)), float64(j.s))
		j.c[r] = float32(norm)
		j.t.scale(j.b[r*j.n:(r+1)*j.n], float32(1/norm), x)
	}
}

// L2NormalizeRowsBackward is the gradient of L2NormalizeRows given its result y
// and norms: dx = (dy - y·Σ y·dy)/norm, or dy/eps where the norm was below eps.
// dx may be dy.
func L2NormalizeRowsBackward(p *Pool, rows, n int, y, norms, dy, dx []float32, eps float32) {
	needRows("L2NormalizeRowsBackward", rows, n, y, dy, dx)
	need("L2NormalizeRowsBackward: norms", len(norms), rows)
	p.rowwise(rowsJob{op: l2GradRange, rows: rows, n: n, a: y, b: dy, c: dx, d: norms, s: eps})
}

func l2GradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		y, dy, dx := j.a[r*j.n:(r+1)*j.n], j.b[r*j.n:(r+1)*j.n], j.c[r*j.n:(r+1)*j.n]
		inv := 1 / j.d[r]
		dot := float32(j.t.dot(y, dy))
		if j.d[r] <= j.s {
			dot = 0
		}
		j.t.scale(dx, inv, dy)
		j.t.axpy(dx, -dot*inv, y)
	}
}

// GatherRows is dst[i,:] = src[index[i],:] for dst of shape [rows, n]; a
// negative index gives a row of zeros.
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

// ScatterAddRows is dst[index[i],:] += src[i,:] for i in order, so that several
// rows may go to one place; a negative index drops the row.
func ScatterAddRows(p *Pool, rows, n int, src []float32, index []int32, dst []float32) {
	needRows("ScatterAddRows", rows, n, src)
	checkIndex("ScatterAddRows", rows, n, index, len(dst))
	// Chunks are ranges of columns: rows that meet in one place keep their order.
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
		panicShort(name+": index", len(index), rows)
	}
	for r, i := range index[:rows] {
		if (int(i)+1)*n > have {
			panic(fmt.Sprintf("f32.%s: index %d of row %d points outside %d values in rows of %d", name, i, r, have, n))
		}
	}
}

// WeightNormRows is w[i,:] = gain[i]·v[i,:]/‖v[i,:]‖ for v and w of shape [rows,
// n]; without gain (nil) the rows get length one. norms [rows] receives the
// lengths of v's rows.
func WeightNormRows(p *Pool, rows, n int, v, gain, w, norms []float32) {
	needRows("WeightNormRows", rows, n, v, w)
	needGain("WeightNormRows", rows, gain)
	need("WeightNormRows: norms", len(norms), rows)
	p.rowwise(rowsJob{op: weightNormRange, rows: rows, n: n, a: v, b: gain, c: w, d: norms})
}

func needGain(name string, rows int, gain []float32) {
	if gain != nil {
		need(name+": gain", len(gain), rows)
	}
}

func weightNormRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		v := j.a[r*j.n : (r+1)*j.n]
		norm, k := math.Sqrt(j.t.dot(v, v)), 1.0
		if j.b != nil {
			k = float64(j.b[r])
		}
		j.d[r] = float32(norm)
		j.t.scale(j.c[r*j.n:(r+1)*j.n], float32(k/norm), v)
	}
}

// WeightNormRowsBackward is the gradient of WeightNormRows given its norms: with
// u = v/‖v‖, dgain = u·dw and dv = gain/‖v‖·(dw - u·(u·dw)). Either may be nil.
func WeightNormRowsBackward(p *Pool, rows, n int, v, gain, norms, dw, dv, dgain []float32) {
	needRows("WeightNormRowsBackward", rows, n, v, dw)
	if dv != nil {
		needRows("WeightNormRowsBackward: dv", rows, n, dv)
	}
	needGain("WeightNormRowsBackward", rows, gain)
	needGain("WeightNormRowsBackward: dgain", rows, dgain)
	need("WeightNormRowsBackward: norms", len(norms), rows)
	p.rowwise(rowsJob{op: weightNormGradRange, rows: rows, n: n, a: v, b: gain, c: dw, d: norms, e: dv, f: dgain})
}

func weightNormGradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		v, dw := j.a[r*j.n:(r+1)*j.n], j.c[r*j.n:(r+1)*j.n]
		norm, k := float64(j.d[r]), 1.0
		if j.b != nil {
			k = float64(j.b[r])
		}
		along := j.t.dot(v, dw) / norm
		if j.f != nil {
			j.f[r] = float32(along)
		}
		if j.e == nil {
			continue
		}
		dv := j.e[r*j.n : (r+1)*j.n]
		j.t.scale(dv, float32(k/norm), dw)
		j.t.axpy(dv, float32(-k*along/(norm*norm)), v)
	}
}
