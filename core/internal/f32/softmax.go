package f32

import "math"

// SoftmaxRows is y[i] = softmax(scale*x[i]) for x and y [rows, n] and i < rows; y may be x.
func SoftmaxRows(p *Pool, rows, n int, x, y []float32, scale float32) {
	needRows("SoftmaxRows", rows, n, x, y)
	p.rowwise(rowsJob{op: softmaxRange, rows: rows, n: n, a: x, b: y, s: scale})
}

func softmaxRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		softmaxRow(j.t, j.row(j.b, r), j.row(j.a, r), j.s)
	}
}

// softmaxRow is y = softmax(scale*x) for x and y [n].
func softmaxRow(t *table, y, x []float32, scale float32) {
	shift := rowShift(t, x, scale)
	sum := expSum(t, y, x, scale, shift)
	t.scale(y, float32(1/sum), y)
}

// expRun is the longest run of exponentials that is summed in float32.
const expRun = 1024

// expSum is y[i] = exp(scale*x[i] - shift) for x and y [n]; it returns Σ y[i]. With y nil it only
// returns the sum.
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

// SoftmaxRowsBackward is dx[i][j] = scale*y[i][j]*(dy[i][j] - Σ_l y[i][l]*dy[i][l]) for y, the
// result of SoftmaxRows, dy and dx [rows, n]; dx may be dy.
func SoftmaxRowsBackward(p *Pool, rows, n int, y, dy, dx []float32, scale float32) {
	needRows("SoftmaxRowsBackward", rows, n, y, dy, dx)
	p.rowwise(rowsJob{op: softmaxGradRange, rows: rows, n: n, a: y, b: dy, c: dx, s: scale})
}

func softmaxGradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		y, dy, dx := j.row(j.a, r), j.row(j.b, r), j.row(j.c, r)
		j.t.softmaxGrad(dx, y, dy, float32(j.t.dot(y, dy)), j.s)
	}
}

// LogSoftmaxRows is y[i][j] = scale*x[i][j] - log Σ_l exp(scale*x[i][l]) for x and y [rows, n]; y
// may be x.
func LogSoftmaxRows(p *Pool, rows, n int, x, y []float32, scale float32) {
	needRows("LogSoftmaxRows", rows, n, x, y)
	p.rowwise(rowsJob{op: logSoftmaxRange, rows: rows, n: n, a: x, b: y, s: scale})
}

func logSoftmaxRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x, y := j.row(j.a, r), j.row(j.b, r)
		shift := rowShift(j.t, x, j.s)
		lse := float64(shift) + math.Log(expSum(j.t, nil, x, j.s, shift))
		for i, v := range x {
			y[i] = float32(float64(float64(j.s)*float64(v)) - lse)
		}
	}
}

// LogSoftmaxRowsBackward is dx[i][j] = scale*(dy[i][j] - exp(y[i][j])*Σ_l dy[i][l]) for y, the
// result of LogSoftmaxRows, dy and dx [rows, n]; dx may be dy.
func LogSoftmaxRowsBackward(p *Pool, rows, n int, y, dy, dx []float32, scale float32) {
	needRows("LogSoftmaxRowsBackward", rows, n, y, dy, dx)
	p.rowwise(rowsJob{op: logSoftmaxGradRange, rows: rows, n: n, a: y, b: dy, c: dx, s: scale})
}

func logSoftmaxGradRange(j *rowsJob, w *worker, lo, hi int) {
	e := w.scratch(j.n)[:j.n]
	for r := lo; r < hi; r++ {
		y, dy, dx := j.row(j.a, r), j.row(j.b, r), j.row(j.c, r)
		sum := float32(j.t.sum(dy))
		j.t.expSum(e, y, 1, 0)
		for i, v := range dy {
			dx[i] = j.s * (v - float32(e[i]*sum))
		}
	}
}
