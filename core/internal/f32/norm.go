package f32

import "math"

// L2NormalizeRows is y[i] = x[i] / max(‖x[i]‖, eps) for x and y [rows, n]; norms [rows] receives
// the denominators. y may be x.
func L2NormalizeRows(p *Pool, rows, n int, x, y, norms []float32, eps float32) {
	needRows("L2NormalizeRows", rows, n, x, y)
	need("L2NormalizeRows", "norms", len(norms), rows)
	p.rowwise(rowsJob{op: l2Range, rows: rows, n: n, a: x, b: y, c: norms, s: eps})
}

func l2Range(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x := j.row(j.a, r)
		norm := max(math.Sqrt(j.t.dot(x, x)), float64(j.s))
		j.c[r] = float32(norm)
		j.t.scale(j.row(j.b, r), float32(1/norm), x)
	}
}

// L2NormalizeRowsBackward is the gradient of L2NormalizeRows, given its result y and norms: dx[i] =
// (dy[i] - y[i]*Σ_j y[i][j]*dy[i][j])/norms[i], or dy[i]/eps where the norm was below eps. dx may
// be dy.
func L2NormalizeRowsBackward(p *Pool, rows, n int, y, norms, dy, dx []float32, eps float32) {
	needRows("L2NormalizeRowsBackward", rows, n, y, dy, dx)
	need("L2NormalizeRowsBackward", "norms", len(norms), rows)
	p.rowwise(rowsJob{op: l2GradRange, rows: rows, n: n, a: y, b: dy, c: dx, d: norms, s: eps})
}

func l2GradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		y, dy, dx := j.row(j.a, r), j.row(j.b, r), j.row(j.c, r)
		inv := 1 / j.d[r]
		dot := float32(j.t.dot(y, dy))
		if j.d[r] <= j.s {
			dot = 0
		}
		j.t.scale(dx, inv, dy)
		j.t.axpy(dx, -dot*inv, y)
	}
}

// unitTolerance is the distance of a length from 1 at which UnitRows leaves a row as it is. The
// rounding of its own result is below it.
const unitTolerance = 1.0 / (1 << 22)

// UnitRows is x[i] /= max(‖x[i]‖, eps) for x [rows, n]. A second call changes nothing: rows whose
// length is 1 but for rounding stay.
func UnitRows(p *Pool, rows, n int, x []float32, eps float32) {
	needRows("UnitRows", rows, n, x)
	p.rowwise(rowsJob{op: unitRange, rows: rows, n: n, a: x, s: eps})
}

func unitRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		x := j.row(j.a, r)
		norm := max(math.Sqrt(j.t.dot(x, x)), float64(j.s))
		if math.Abs(norm-1) > unitTolerance {
			j.t.scale(x, float32(1/norm), x)
		}
	}
}

// WeightNorm is weight normalization of rows, w[i] = Gain[i]*V[i]/‖V[i]‖. Without Gain (nil) the
// rows get length one.
type WeightNorm struct {
	Rows, N int
	V       []float32 // [Rows, N]
	Gain    []float32 // [Rows], or nil
	Norms   []float32 // [Rows], ‖V[i]‖, written by WeightNormForward
}

// WeightNormForward computes w [Rows, N], and n.Norms for WeightNormBackward.
func WeightNormForward(p *Pool, n WeightNorm, w []float32) {
	n.check("WeightNormForward")
	need("WeightNormForward", "w", len(w), n.Rows*n.N)
	p.rowwise(rowsJob{op: weightNormRange, rows: n.Rows, n: n.N, a: n.V, b: n.Gain, c: w, d: n.Norms})
}

// WeightNormBackward is the gradient of WeightNormForward, given dw [Rows, N]. With u =
// V[i]/‖V[i]‖,
//
//	dgain[i] = Σ_j u[j]*dw[i][j]
//	dv[i] = Gain[i]/‖V[i]‖ * (dw[i] - u*dgain[i])
//
// dv [Rows, N] and dgain [Rows] may be nil.
func WeightNormBackward(p *Pool, n WeightNorm, dw, dv, dgain []float32) {
	n.check("WeightNormBackward")
	need("WeightNormBackward", "dw", len(dw), n.Rows*n.N)
	if dv != nil {
		need("WeightNormBackward", "dv", len(dv), n.Rows*n.N)
	}
	if dgain != nil {
		need("WeightNormBackward", "dgain", len(dgain), n.Rows)
	}
	p.rowwise(rowsJob{op: weightNormGradRange, rows: n.Rows, n: n.N, a: n.V, b: n.Gain, c: dw, d: n.Norms, e: dv, f: dgain})
}

func (n *WeightNorm) check(kernel string) {
	need(kernel, "V", len(n.V), n.Rows*n.N)
	need(kernel, "Norms", len(n.Norms), n.Rows)
	if n.Gain != nil {
		need(kernel, "Gain", len(n.Gain), n.Rows)
	}
}

func weightNormRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		v := j.row(j.a, r)
		norm, k := math.Sqrt(j.t.dot(v, v)), 1.0
		if j.b != nil {
			k = float64(j.b[r])
		}
		j.d[r] = float32(norm)
		j.t.scale(j.row(j.c, r), float32(k/norm), v)
	}
}

func weightNormGradRange(j *rowsJob, _ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		v, dw := j.row(j.a, r), j.row(j.c, r)
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
		dv := j.row(j.e, r)
		j.t.scale(dv, float32(k/norm), dw)
		j.t.axpy(dv, float32(-k*along/(norm*norm)), v)
	}
}
