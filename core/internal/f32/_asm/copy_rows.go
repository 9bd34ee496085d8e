package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// genCopyRows writes the gathering of patches and the scattering of their gradients. A row that is
// no multiple of a vector ends with a vector that overlaps the one before.
func genCopyRows() {
	function("copyRows", "func(rows, n int, src *float32, ldsrc int, dst *float32, lddst int)",
		"is dst[i*lddst+j] = src[i*ldsrc+j] for i < rows and j < n.")
	rows, n, src, ldsrc, dst, lddst := arg("rows"), arg("n"), arg("src"), stride("ldsrc"), arg("dst"), stride("lddst")
	vector := int32(w * 4)
	SHLQ(Imm(2), n)
	short, row, loop, rest, next := label("short"), label("row"), label("loop"), label("rest"), label("next")
	CMPQ(n, I32(vector))
	JLT(LabelRef(short))
	last, whole := GP64(), GP64()
	MOVQ(n, last)
	SUBQ(I32(vector), last)
	MOVQ(n, whole)
	SUBQ(I32(4*vector), whole)
	at := GP64()
	Label(row)
	XORQ(at, at)
	CMPQ(at, whole)
	JGT(LabelRef(rest))
	Label(loop)
	var v [4]vec
	for i := range v {
		v[i] = load(Mem{Base: src, Index: at, Scale: 1, Disp: i * w * 4})
	}
	for i := range v {
		VMOVUPS(v[i], Mem{Base: dst, Index: at, Scale: 1, Disp: i * w * 4})
	}
	ADDQ(I32(4*vector), at)
	CMPQ(at, whole)
	JLE(LabelRef(loop))
	Label(rest)
	single, tail := label("single"), label("tail")
	Label(single)
	CMPQ(at, last)
	JGE(LabelRef(tail))
	VMOVUPS(Mem{Base: src, Index: at, Scale: 1}, v[0])
	VMOVUPS(v[0], Mem{Base: dst, Index: at, Scale: 1})
	ADDQ(I32(vector), at)
	JMP(LabelRef(single))
	Label(tail)
	CMPQ(at, n)
	JGE(LabelRef(next))
	VMOVUPS(Mem{Base: src, Index: last, Scale: 1}, v[0])
	VMOVUPS(v[0], Mem{Base: dst, Index: last, Scale: 1})
	Label(next)
	ADDQ(ldsrc, src)
	ADDQ(lddst, dst)
	DECQ(rows)
	JNZ(LabelRef(row))
	end()
	Label(short)
	mask := tailMask(n)
	row = label("row")
	Label(row)
	write(read(Mem{Base: src}, mask), Mem{Base: dst}, mask)
	ADDQ(ldsrc, src)
	ADDQ(lddst, dst)
	DECQ(rows)
	JNZ(LabelRef(row))
	end()
}
