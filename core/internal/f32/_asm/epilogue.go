package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// matrix is an operand of an epilogue that advances by ld bytes per row.
type matrix struct{ p, ld Register }

func argMatrix(name string) matrix { return matrix{arg(name), stride("ld" + name)} }

// genRowsOf runs body over a tile of n ≤ nv·w columns, row by row; before each
// row it runs start.
func tileLoop(nv int, matrices []matrix, start func(), body func(a at)) {
	rows, n := arg("rows"), arg("n")
	loop, partial, next := label("row"), label("partial"), label("next")
	Label(loop)
	start()
	CMPQ(n, Imm(uint64(nv*w)))
	JNE(LabelRef(partial))
	for j := 0; j < nv; j++ {
		body(at{disp: j * w * 4})
	}
	JMP(LabelRef(next))
	Label(partial)
	each(n, 1, body)
	Label(next)
	for _, m := range matrices {
		ADDQ(m.ld, m.p)
	}
	DECQ(rows)
	JNZ(LabelRef(loop))
	end()
}

func nothing() {}

// genEpilogues writes what happens to a finished tile of C.
func genEpilogues(nv int) {
	function("tileAdd", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int)", "is c += acc.")
	acc, c := argMatrix("acc"), argMatrix("c")
	tileLoop(nv, []matrix{acc, c}, nothing, func(a at) {
		a.store(add(a.load(c.p), a.load(acc.p)), c.p)
	})

	function("tileBias", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias *float32)", "is c = acc + bias.")
	acc, c = argMatrix("acc"), argMatrix("c")
	bias := arg("bias")
	tileLoop(nv, []matrix{acc, c}, nothing, func(a at) {
		a.store(add(a.load(acc.p), a.load(bias)), c.p)
	})

	function("tileGelu", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, slope *float32, ldslope int)",
		"is c = gelu(acc + bias), slope = gelu'(acc + bias).")
	acc, c = argMatrix("acc"), argMatrix("c")
	bias = arg("bias")
	slope := argMatrix("slope")
	// Nobody reads the slope before the backward pass: whole aligned lines of it go
	// straight to memory, which neither reads what they replace nor drives the
	// output out of the cache. The atomic operation with which a worker leaves a
	// region makes them visible.
	plain, address := label("plain"), GP64()
	CMPQ(arg("n"), Imm(uint64(nv*w)))
	JNE(LabelRef(plain))
	MOVQ(slope.p, address)
	ORQ(slope.ld, address)
	TESTQ(U32(uint32(w*4-1)), address)
	JNZ(LabelRef(plain))
	for _, stream := range []bool{true, false} {
		tileLoop(nv, []matrix{acc, c, slope}, nothing, func(a at) {
			y, dy := geluAndSlope(add(a.load(acc.p), a.load(bias)))
			a.store(y, c.p)
			if stream && !a.tail {
				VMOVNTPS(dy, a.mem(slope.p))
			} else {
				a.store(dy, slope.p)
			}
		})
		if stream {
			Label(plain)
		}
	}

	function("tileTimes", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, factor *float32, ldfactor int)",
		"is c = acc * factor.")
	acc, c = argMatrix("acc"), argMatrix("c")
	factor := argMatrix("factor")
	tileLoop(nv, []matrix{acc, c, factor}, nothing, func(a at) {
		a.store(mul(a.load(factor.p), a.load(acc.p)), c.p)
	})

	function("tileResidual", "func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, gamma, rowScale, residual *float32, ldres int)",
		"is c[i] = residual[i] + rowScale[i]*gamma*(acc[i]+bias).")
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
