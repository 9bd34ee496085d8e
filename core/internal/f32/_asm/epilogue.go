package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// matrix is an operand of an epilogue that advances by ld bytes per row.
type matrix struct{ p, ld Register }

func argMatrix(name string) matrix { return matrix{arg(name), stride("ld" + name)} }

// tileLoop runs body over a tile of n ≤ nv·w columns, row by row; before each row it runs start.
func tileLoop(nv int, matrices []matrix, start func(), body func(a at)) {
	tileLoops(nv, matrices, start, func(as []at) {
		for _, a := range as {
			body(a)
		}
	})
}

// tileLoops is tileLoop for a body that takes all whole vectors of a row at once.
func tileLoops(nv int, matrices []matrix, start func(), body func(as []at)) {
	rows, n := arg("rows"), arg("n")
	partial := label("partial")
	whole := make([]at, nv)
	for j := range whole {
		whole[j].disp = j * w * 4
	}
	loop := func(body func()) {
		countdown("row", rows, func() {
			start()
			body()
			for _, m := range matrices {
				ADDQ(m.ld, m.p)
			}
		})
		end()
	}
	CMPQ(n, Imm(uint64(nv*w)))
	JNE(LabelRef(partial))
	loop(func() { body(whole) })
	Label(partial)
	loop(func() { each(n, 1, func(a at) { body([]at{a}) }) })
}

func nothing() {}

// tileRange ends the formula of an epilogue.
const tileRange = " for i < rows and j < n."

// genEpilogues writes the epilogues of a tile of C.
func genEpilogues(nv int) {
	function("tileAdd", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int)", "is c[i*ldc+j] += acc[i*ldacc+j]"+tileRange)
	acc, c := argMatrix("acc"), argMatrix("c")
	tileLoop(nv, []matrix{acc, c}, nothing, func(a at) {
		a.store(add(a.load(c.p), a.load(acc.p)), c.p)
	})

	function("tileBias", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias *float32)", "is c[i*ldc+j] = acc[i*ldacc+j] + bias[j]"+tileRange)
	acc, c = argMatrix("acc"), argMatrix("c")
	bias := arg("bias")
	tileLoop(nv, []matrix{acc, c}, nothing, func(a at) {
		a.store(add(a.load(acc.p), a.load(bias)), c.p)
	})

	function("tileGelu", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, slope *float32, ldslope int)",
		"is, with x = acc[i*ldacc+j] + bias[j], c[i*ldc+j] = gelu(x), slope[i*ldslope+j] = gelu'(x)"+tileRange)
	acc, c = argMatrix("acc"), argMatrix("c")
	bias = arg("bias")
	slope := argMatrix("slope")
	tileLoops(nv, []matrix{acc, c, slope}, nothing, func(as []at) {
		x := make([]vec, len(as))
		for i, a := range as {
			x[i] = add(a.load(acc.p), a.load(bias))
		}
		y, dy := gelusAndSlopes(x)
		for i, a := range as {
			a.store(y[i], c.p)
			a.store(dy[i], slope.p)
		}
	})

	function("tileTimes", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, factor *float32, ldfactor int)",
		"is c[i*ldc+j] = acc[i*ldacc+j] * factor[i*ldfactor+j]"+tileRange)
	acc, c = argMatrix("acc"), argMatrix("c")
	factor := argMatrix("factor")
	tileLoop(nv, []matrix{acc, c, factor}, nothing, func(a at) {
		a.store(mul(a.load(factor.p), a.load(acc.p)), c.p)
	})

	function("tileResidual", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, gamma, rowScale, residual *float32, ldres int)",
		"is c[i*ldc+j] = residual[i*ldres+j] + rowScale[i]*gamma[j]*(acc[i*ldacc+j]+bias[j])"+tileRange)
	acc, c = argMatrix("acc"), argMatrix("c")
	bias = arg("bias")
	gamma, rowScale := arg("gamma"), arg("rowScale")
	residual := matrix{arg("residual"), stride("ldres")}
	s := newVec()
	tileLoop(nv, []matrix{acc, c, residual}, func() {
		VBROADCASTSS(Mem{Base: rowScale}, s)
		ADDQ(Imm(4), rowScale)
	}, func(a at) {
		x := add(a.load(acc.p), a.load(bias))
		r := a.load(residual.p)
		fma(mul(s, a.load(gamma)), x, r)
		a.store(r, c.p)
	})
}
