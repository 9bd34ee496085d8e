package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// doubles returns the two halves of p at this step as float64.
func doubles(i at, p Register) (low, high vec) {
	low, high = newVec(), newVec()
	if !i.tail {
		m := i.mem(p)
		VCVTPS2PD(m, low)
		VCVTPS2PD(m.Offset(w*2), high)
		return low, high
	}
	v := i.load(p)
	if w == 16 {
		t := YMM()
		VEXTRACTF64X4(Imm(1), v, t)
		VCVTPS2PD(v.AsY(), low)
		VCVTPS2PD(t, high)
	} else {
		t := XMM()
		VEXTRACTF128(Imm(1), v, t)
		VCVTPS2PD(v.AsX(), low)
		VCVTPS2PD(t, high)
	}
	return low, high
}

// returnDoubles adds the accumulators and their lanes in a fixed tree.
func returnDoubles(acc []vec) {
	for step := 1; step < len(acc); step *= 2 {
		for i := 0; i+step < len(acc); i += 2 * step {
			VADDPD(acc[i+step], acc[i], acc[i])
		}
	}
	y := acc[0]
	if w == 16 {
		y = YMM()
		VEXTRACTF64X4(Imm(1), acc[0], y)
		VADDPD(y, acc[0].AsY(), y)
	}
	t, x := XMM(), XMM()
	VEXTRACTF128(Imm(1), y, t)
	VADDPD(t, y.AsX(), x)
	VPERMILPD(Imm(1), x, t)
	VADDSD(t, x, x)
	Store(x, ReturnIndex(0))
	end()
}

func genReductions() {
	function("sum", "func(x []float32) float64", "returns Σ x[i], in float64.")
	x := slice("x")
	acc := zeros(4)
	each(length("x"), 2, func(i at) {
		low, high := doubles(i, x)
		VADDPD(low, acc[2*i.lane], acc[2*i.lane])
		VADDPD(high, acc[2*i.lane+1], acc[2*i.lane+1])
	})
	returnDoubles(acc)

	function("dot", "func(x, y []float32) float64", "returns Σ x[i]*y[i], in float64.")
	x = slice("x")
	y := slice("y")
	acc = zeros(4)
	each(length("x"), 2, func(i at) {
		xl, xh := doubles(i, x)
		yl, yh := doubles(i, y)
		VFMADD231PD(xl, yl, acc[2*i.lane])
		VFMADD231PD(xh, yh, acc[2*i.lane+1])
	})
	returnDoubles(acc)

	function("dot32", "func(x, y []float32) float32", "returns Σ x[i]*y[i], in float32: for short rows.")
	x = slice("x")
	y = slice("y")
	acc = zeros(4)
	each(length("x"), 4, func(i at) { fma(i.load(x), i.load(y), acc[i.lane]) })
	Store(sumLanes(sumVecs(acc)).(VecVirtual).AsX(), ReturnIndex(0))
	end()

	function("max", "func(x []float32) float32", "returns max x[i], -Inf for an empty x.")
	x = slice("x")
	most := []vec{load(constant(math.Inf(-1))), load(constant(math.Inf(-1)))}
	each(length("x"), 2, func(i at) { i.maximum(i.load(x), most[i.lane]) })
	VMAXPS(most[1], most[0], most[0])
	Store(reduce(most[0], func(a, b, d Op) { VMAXPS(a, b, d) }).(VecVirtual).AsX(), ReturnIndex(0))
	end()

	function("finite", "func(x []float32) bool", "reports that no x[i] is an infinity or NaN.")
	x = slice("x")
	acc = zeros(4)
	each(length("x"), 4, func(i at) {
		v := i.load(x)
		d := sub(v, v) // 0, or NaN
		VORPS(d, acc[i.lane], acc[i.lane])
	})
	bad := or(or(acc[0], acc[1]), or(acc[2], acc[3]))
	lanes := reduce(bad, func(a, b, d Op) { VORPS(a, b, d) })
	r := GP32()
	VMOVD(lanes.(VecVirtual).AsX(), r)
	TESTL(r, r)
	ok := GP8()
	SETEQ(ok)
	Store(ok, ReturnIndex(0))
	end()

	genAddRows()
}

// genAddRows writes column sums over a few rows: four (or two products) at a time, so that the
// accumulator is read and written less often.
func genAddRows() {
	function("addRows", "func(rows, n int, x *float32, ld int, acc *float32)", "is acc[j] += Σ_i x[i*ld+j] for i < rows and j < n.")
	rows, n, x, ld, acc := arg("rows"), arg("n"), arg("x"), stride("ld"), arg("acc")
	four, one, done := label("four"), label("one"), label("done")
	Label(four)
	CMPQ(rows, Imm(4))
	JLT(LabelRef(one))
	x1, x2, x3 := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: x, Index: ld, Scale: 1}, x1)
	LEAQ(Mem{Base: x1, Index: ld, Scale: 1}, x2)
	LEAQ(Mem{Base: x2, Index: ld, Scale: 1}, x3)
	each(n, 1, func(i at) {
		s := add(add(i.load(x), i.load(x1)), add(i.load(x2), i.load(x3)))
		i.store(add(i.load(acc), s), acc)
	})
	LEAQ(Mem{Base: x, Index: ld, Scale: 4}, x)
	SUBQ(Imm(4), rows)
	JMP(LabelRef(four))
	Label(one)
	TESTQ(rows, rows)
	JZ(LabelRef(done))
	each(n, 1, func(i at) { i.store(add(i.load(acc), i.load(x)), acc) })
	ADDQ(ld, x)
	DECQ(rows)
	JMP(LabelRef(one))
	Label(done)
	end()

	function("addRowsMul", "func(rows, n int, x *float32, ldx int, y *float32, ldy int, acc *float32)", "is acc[j] += Σ_i x[i*ldx+j]*y[i*ldy+j] for i < rows and j < n.")
	rows, n = arg("rows"), arg("n")
	x = arg("x")
	ldx := stride("ldx")
	y := arg("y")
	ldy := stride("ldy")
	acc = arg("acc")
	two, last, out := label("two"), label("last"), label("out")
	Label(two)
	CMPQ(rows, Imm(2))
	JLT(LabelRef(last))
	x1, y1 := GP64(), GP64()
	LEAQ(Mem{Base: x, Index: ldx, Scale: 1}, x1)
	LEAQ(Mem{Base: y, Index: ldy, Scale: 1}, y1)
	each(n, 1, func(i at) {
		s := mul(i.load(x), i.load(y))
		fma(i.load(x1), i.load(y1), s)
		i.store(add(i.load(acc), s), acc)
	})
	LEAQ(Mem{Base: x, Index: ldx, Scale: 2}, x)
	LEAQ(Mem{Base: y, Index: ldy, Scale: 2}, y)
	SUBQ(Imm(2), rows)
	JMP(LabelRef(two))
	Label(last)
	TESTQ(rows, rows)
	JZ(LabelRef(out))
	each(n, 1, func(i at) { i.store(add(i.load(acc), mul(i.load(x), i.load(y))), acc) })
	Label(out)
	end()
}
