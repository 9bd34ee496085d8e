package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// downColumns runs body for every row of blocks of unroll vectors of columns, then of single ones:
// start loads the values that a block keeps in registers, finish stores them. Matrices are dense, of n columns.
func downColumns(unroll int, matrices []Register, start func(a at), body func(a at, p []Register), finish func(a at)) {
	n := arg("n")
	ld := GP64()
	MOVQ(n, ld)
	SHLQ(Imm(2), ld)
	eachTogether(n, unroll, func(as []at) {
		for _, a := range as {
			start(a)
		}
		rows := arg("rows")
		p := make([]Register, len(matrices))
		for i, m := range matrices {
			p[i] = GP64()
			MOVQ(m, p[i])
		}
		row := label("row")
		Label(row)
		for _, a := range as {
			body(a, p)
		}
		for _, r := range p {
			ADDQ(ld, r)
		}
		DECQ(rows)
		JNZ(LabelRef(row))
		for _, a := range as {
			finish(a)
		}
	})
	end()
}

// above keeps the lanes of g where v is above floor, and clears the others.
func above(v, floor, g vec) vec {
	d := newVec()
	if w == 16 {
		k := K()
		VCMPPS(Imm(0x1e), floor, v, k) // greater, quiet
		VMOVAPS_Z(g, k, d)
	} else {
		VCMPPS(Imm(0x1e), floor, v, d)
		VANDPS(g, d, d)
	}
	return d
}

// inDoubles ends the formula of a kernel that sums over rows.
var inDoubles = " Sums of rows are made in float32 and added in float64, whole vectors of them: both hold a multiple of 16 columns."

// addDoubles adds the floats of v to the float64 values of p at this step.
func addDoubles(i at, v vec, p Register) {
	high := YMM()
	low, wide := newVec(), newVec()
	if w == 16 {
		VEXTRACTF64X4(Imm(1), v, high)
		VCVTPS2PD(v.AsY(), low)
		VCVTPS2PD(high, wide)
	} else {
		VEXTRACTF128(Imm(1), v, high.AsX())
		VCVTPS2PD(v.AsX(), low)
		VCVTPS2PD(high.AsX(), wide)
	}
	m := Mem{Base: p, Index: i.index, Scale: 2, Disp: 2 * i.disp}
	for _, half := range []vec{low, wide} {
		VADDPD(m, half, half)
		VMOVUPD(half, m)
		m = m.Offset(w * 4)
	}
}

// genBatchNorm writes the kernels of batch normalization, on the columns of rows.
func genBatchNorm() {
	function("batchMoments", "func(rows, n int, x, pivot *float32, sum, square *float64)",
		"adds Σ_i d to sum[j], Σ_i d² to square[j] with d = x[i*n+j] - pivot[j] for i < rows and j < n."+inDoubles)
	const most = 4
	var a, b, c [most]vec
	downColumns(most, []Register{arg("x")}, func(i at) {
		a[i.lane] = i.load(arg("pivot"))
		b[i.lane], c[i.lane] = zero(newVec()), zero(newVec())
	}, func(i at, p []Register) {
		d := i.load(p[0])
		VSUBPS(a[i.lane], d, d)
		VADDPS(d, b[i.lane], b[i.lane])
		fma(d, d, c[i.lane])
	}, func(i at) {
		addDoubles(i, b[i.lane], arg("sum"))
		addDoubles(i, c[i.lane], arg("square"))
	})

	genBatchNormForward(false)
	genBatchNormForward(true)
	genBatchNormSums()
	genBatchNormAddSums()

	function("batchNormGrad", "func(rows, n int, x, dy, dx, mean, gain, shift *float32, floor float32, slope, offset *float32)",
		"is, with d = x[i*n+j] - mean[j] and g = dy[i*n+j] where d*gain[j] + shift[j] > floor, else 0, dx[i*n+j] = gain[j]*g + slope[j]*d + offset[j] for i < rows and j < n.")
	floor := scalar("floor")
	byRows([]string{"x", "dy", "dx"}, func(i at, p []Register) {
		d := sub(i.load(p[0]), i.load(arg("mean")))
		gain, v := i.load(arg("gain")), i.load(arg("shift"))
		fma(gain, d, v)
		g := above(v, floor, i.load(p[1]))
		y := i.load(arg("offset"))
		fma(i.load(arg("slope")), d, y)
		fma(gain, g, y)
		i.store(y, p[2])
	})
}

// byRows runs body along every row of dense matrices of n columns.
func byRows(names []string, body func(i at, p []Register)) {
	var p []Register
	for _, name := range names {
		p = append(p, arg(name))
	}
	left := AllocLocal(8)
	rows := arg("rows")
	MOVQ(rows, left)
	row := label("row")
	Label(row)
	each(arg("n"), 2, func(i at) { body(i, p) })
	ld := stride("n")
	for _, r := range p {
		ADDQ(ld, r)
	}
	DECQ(left)
	JNZ(LabelRef(row))
	end()
}

func genBatchNormForward(adds bool) {
	name, signature, more := "batchNorm", "x, y", ""
	names := []string{"x", "y"}
	if adds {
		name, signature, more = "batchNormAdd", "x, residual, y", " + residual[i*n+j]"
		names = []string{"x", "y", "residual"}
	}
	function(name, "func(rows, n int, "+signature+", mean, gain, shift *float32, floor float32)",
		"is y[i*n+j] = max((x[i*n+j] - mean[j])*gain[j] + shift[j]"+more+", floor) for i < rows and j < n.")
	floor := scalar("floor")
	byRows(names, func(i at, p []Register) {
		d := sub(i.load(p[0]), i.load(arg("mean")))
		v := i.load(arg("shift"))
		fma(i.load(arg("gain")), d, v)
		if adds {
			VADDPS(i.load(p[2]), v, v)
		}
		VMAXPS(v, floor, v) // a NaN in v stays
		i.store(v, p[1])
	})
}

func genBatchNormSums() {
	function("batchNormSums", "func(rows, n int, x, dy, mean, gain, shift *float32, floor float32, sum, dot *float64)",
		"with d = x[i*n+j] - mean[j] and g = dy[i*n+j] where d*gain[j] + shift[j] > floor, else 0, adds Σ_i g to sum[j], Σ_i g*d to dot[j] for i < rows and j < n."+inDoubles)
	floor := scalar("floor")
	var mean, gain, shift, sum, dot [2]vec
	downColumns(2, []Register{arg("x"), arg("dy")}, func(i at) {
		mean[i.lane], gain[i.lane], shift[i.lane] = i.load(arg("mean")), i.load(arg("gain")), i.load(arg("shift"))
		sum[i.lane], dot[i.lane] = zero(newVec()), zero(newVec())
	}, func(i at, p []Register) {
		d := sub(i.load(p[0]), mean[i.lane])
		v := move(shift[i.lane])
		fma(gain[i.lane], d, v)
		g := above(v, floor, i.load(p[1]))
		VADDPS(g, sum[i.lane], sum[i.lane])
		fma(g, d, dot[i.lane])
	}, func(i at) {
		addDoubles(i, sum[i.lane], arg("sum"))
		addDoubles(i, dot[i.lane], arg("dot"))
	})
}

func genBatchNormAddSums() {
	function("batchNormAddSums", "func(rows, n int, x, dy, y, passed, mean *float32, floor float32, sum, dot *float64)",
		"is passed[i*n+j] = dy[i*n+j] where y[i*n+j] > floor, else 0, and adds Σ_i passed[i*n+j] to sum[j], Σ_i passed[i*n+j]*(x[i*n+j] - mean[j]) to dot[j] for i < rows and j < n."+inDoubles)
	floor := scalar("floor")
	var mean, sum, dot [2]vec
	downColumns(2, []Register{arg("x"), arg("dy"), arg("y"), arg("passed")}, func(i at) {
		mean[i.lane] = i.load(arg("mean"))
		sum[i.lane], dot[i.lane] = zero(newVec()), zero(newVec())
	}, func(i at, p []Register) {
		g := above(i.load(p[2]), floor, i.load(p[1]))
		i.store(g, p[3])
		VADDPS(g, sum[i.lane], sum[i.lane])
		fma(g, sub(i.load(p[0]), mean[i.lane]), dot[i.lane])
	}, func(i at) {
		addDoubles(i, sum[i.lane], arg("sum"))
		addDoubles(i, dot[i.lane], arg("dot"))
	})
}

// genMaxPool writes maximum pooling of windows of pixels.
func genMaxPool() {
	function("maxPool", "func(c, rows, cols int, x *float32, ld int, y, place *float32, first, skip float32)",
		"is, for c channels, y[j] = max x[r*ld+s*c+j] for r < rows and s < cols, and place[j] the number of the first such maximum, or of the last NaN: numbers go from first on by one, and by skip more after each row.")
	one := load(constant(1))
	pixel, ld := stride("c"), stride("ld")
	each(arg("c"), 1, func(i at) {
		best, place, number := newVec(), scalar("first"), scalar("first")
		VBROADCASTSS(bits(0xff800000), best)
		windows(pixel, ld, "x", func(p Register) {
			v := i.load(p)
			if w == 16 {
				greater, nan := K(), K()
				VCMPPS(Imm(0x1e), best, v, greater)
				VCMPPS(Imm(3), v, v, nan)
				KORW(greater, nan, nan)
				VMOVAPS(v, nan, best)
				VMOVAPS(number, nan, place)
			} else {
				greater, nan := newVec(), newVec()
				VCMPPS(Imm(0x1e), best, v, greater)
				VCMPPS(Imm(3), v, v, nan)
				VORPS(greater, nan, nan)
				VBLENDVPS(nan, v, best, best)
				VBLENDVPS(nan, number, place, place)
			}
			VADDPS(one, number, number)
		}, func() { VADDPS(scalar("skip"), number, number) })
		i.store(best, arg("y"))
		i.store(place, arg("place"))
	})
	end()

	function("maxPoolGrad", "func(c, rows, cols int, dx *float32, ld int, dy, place *float32, first, skip float32)",
		"adds, for c channels, dy[j] to dx[r*ld+s*c+j] for the r < rows and s < cols whose number is place[j]; numbers are those of maxPool.")
	one = load(constant(1))
	pixel, ld = stride("c"), stride("ld")
	each(arg("c"), 1, func(i at) {
		number := scalar("first")
		dy, place := i.load(arg("dy")), i.load(arg("place"))
		windows(pixel, ld, "dx", func(p Register) {
			d := newVec()
			if w == 16 {
				k := K()
				VCMPPS(Imm(0), number, place, k)
				VMOVAPS_Z(dy, k, d)
			} else {
				VCMPPS(Imm(0), number, place, d)
				VANDPS(dy, d, d)
			}
			i.store(add(d, i.load(p)), p)
			VADDPS(one, number, number)
		}, func() { VADDPS(scalar("skip"), number, number) })
	})
	end()
}

// windows runs body for the pixels of a window; after is run after each row.
func windows(pixel, ld Register, name string, body func(p Register), after func()) {
	line, rows := arg(name), arg("rows")
	row, col := label("row"), label("col")
	Label(row)
	p, cols := GP64(), arg("cols")
	MOVQ(line, p)
	Label(col)
	body(p)
	ADDQ(pixel, p)
	DECQ(cols)
	JNZ(LabelRef(col))
	after()
	ADDQ(ld, line)
	DECQ(rows)
	JNZ(LabelRef(row))
}
