package f32

import "math"

// reduceKernels are the reductions of one level. x and y are [n] in the first five, [rows, n] with
// leading dimensions ld, ldx, ldy in the others.
type reduceKernels struct {
	sum    func(x []float32) float64    // Σ x[i], in float64
	dot    func(x, y []float32) float64 // Σ x[i]*y[i], in float64
	dot32  func(x, y []float32) float32 // Σ x[i]*y[i], in float32: for short rows
	max    func(x []float32) float32    // max x[i], -Inf for n = 0
	finite func(x []float32) bool       // no x[i] is an infinity or NaN

	// addRows is acc[j] += Σ_i x[i*ld+j] for j < n.
	addRows func(rows, n int, x *float32, ld int, acc *float32)
	// addRowsMul is acc[j] += Σ_i x[i*ldx+j]*y[i*ldy+j] for j < n.
	addRowsMul func(rows, n int, x *float32, ldx int, y *float32, ldy int, acc *float32)
}

var genericReduce = reduceKernels{
	sum: genericSum, dot: genericDot, dot32: genericDot32, max: genericMax, finite: genericFinite,
	addRows: genericAddRows, addRowsMul: genericAddRowsMul,
}

func genericSum(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v)
	}
	return s
}

func genericDot(x, y []float32) float64 {
	var s float64
	for i, v := range x {
		s += float64(float64(v) * float64(y[i]))
	}
	return s
}

func genericDot32(x, y []float32) float32 { return float32(genericDot(x, y)) }

func genericMax(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

func genericFinite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

func genericAddRows(rows, n int, x *float32, ld int, acc *float32) {
	a := sliceAt(acc, n)
	for r := range rows {
		genericAdd(a, a, sliceAt(offset(x, r*ld), n))
	}
}

func genericAddRowsMul(rows, n int, x *float32, ldx int, y *float32, ldy int, acc *float32) {
	a := sliceAt(acc, n)
	for r := range rows {
		genericMulAdd(a, sliceAt(offset(x, r*ldx), n), sliceAt(offset(y, r*ldy), n))
	}
}
