package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// genVertical writes the vertical pass: 32 columns at a time, all their rows.
func genVertical() {
	TEXT("verticalAVX2", NOSPLIT, "func(out, rows *uint8, stride int, weights *int32, taps, n int)")
	Pragma("noescape")
	Doc("verticalAVX2 is out[x] = Σ_i weights[i]*rows[i*stride+x] / 2^22 for x < n, a multiple of 32, and",
		"i < taps, at least 1; rounded and limited to 0..255.")
	out, rows, stride, weights, taps, n := arg("out"), arg("rows"), arg("stride"), arg("weights"), arg("taps"), arg("n")
	half := all("halfWeight", 1<<21)
	order := words("byteOrder", 0, 4, 1, 5, 2, 6, 3, 7)

	Label("columns")
	var acc [4]VecVirtual
	for i := range acc {
		acc[i] = YMM()
		VMOVDQU(half, acc[i])
	}
	p, q, k := GP64(), GP64(), GP64()
	MOVQ(rows, p)
	MOVQ(weights, q)
	MOVQ(taps, k)
	Label("taps")
	w := YMM()
	VPBROADCASTD(Mem{Base: q}, w)
	for i := range acc {
		v := YMM()
		VPMOVZXBD(Mem{Base: p, Disp: 8 * i}, v)
		VPMULLD(w, v, v)
		VPADDD(v, acc[i], acc[i])
	}
	ADDQ(stride, p)
	ADDQ(U8(4), q)
	DECQ(k)
	JNZ(LabelRef("taps"))
	for i := range acc {
		VPSRAD(U8(22), acc[i], acc[i])
	}
	a, b := YMM(), YMM()
	VPACKSSDW(acc[1], acc[0], a)
	VPACKSSDW(acc[3], acc[2], b)
	VPACKUSWB(b, a, a)
	o := YMM()
	VMOVDQU(order, o)
	VPERMD(a, o, a)
	VMOVDQU(a, Mem{Base: out})
	ADDQ(U8(32), rows)
	ADDQ(U8(32), out)
	SUBQ(U8(32), n)
	JNZ(LabelRef("columns"))
	end()
}

// genHorizontal writes the horizontal pass over two rows of RGB, four taps at a time. A weight of
// 23 bits is split into its low 15 bits and the rest, for the 16-bit multiply-add; the sums are
// joined at the end.
func genHorizontal() {
	TEXT("horizontalAVX2", NOSPLIT, "func(outA, outB, a, b *uint8, first *int32, low, high *int16, groups, n int)")
	Pragma("noescape")
	Doc("horizontalAVX2 is outA[3*o+c] = Σ_i weight[o][i]*a[first[o]+3*i+c] / 2^22 for o < n, c < 3 and",
		"i < 4*groups, outB from b alike; rounded and limited to 0..255. weight is",
		"high[o*4*groups+i]<<15 + low[o*4*groups+i]. One byte beyond the result is written.")
	outA, outB, a, b, first, low, high, groups, n := arg("outA"), arg("outB"), arg("a"), arg("b"), arg("first"), arg("low"), arg("high"), arg("groups"), arg("n")
	// Bytes of four pixels as 16-bit pairs: red 0 1, red 2 3, green 0 1, green 2 3 in the low half,
	// blue 0 1, blue 2 3 in the high one.
	z := -1
	spread := bytesOf("fourPixels",
		0, z, 3, z, 6, z, 9, z, 1, z, 4, z, 7, z, 10, z,
		2, z, 5, z, 8, z, 11, z, z, z, z, z, z, z, z, z)
	half := all("halfPixel", 1<<21)
	s := YMM()
	VMOVDQU(spread, s)

	Label("outputs")
	var lo, hi [2]VecVirtual
	for i := range lo {
		lo[i], hi[i] = YMM(), YMM()
		VPXOR(lo[i], lo[i], lo[i])
		VPXOR(hi[i], hi[i], hi[i])
	}
	at, k := GP64(), GP64()
	MOVLQSX(Mem{Base: first}, at)
	MOVQ(groups, k)
	Label("groups")
	wl, wh := YMM(), YMM()
	VPBROADCASTQ(Mem{Base: low}, wl)
	VPBROADCASTQ(Mem{Base: high}, wh)
	for i, row := range []GPVirtual{a.(GPVirtual), b.(GPVirtual)} {
		v, t := YMM(), YMM()
		VBROADCASTI128(Mem{Base: row, Index: at, Scale: 1}, v)
		VPSHUFB(s, v, v)
		VPMADDWD(wl, v, t)
		VPMADDWD(wh, v, v)
		VPADDD(t, lo[i], lo[i])
		VPADDD(v, hi[i], hi[i])
	}
	ADDQ(U8(8), low)
	ADDQ(U8(8), high)
	ADDQ(U8(12), at)
	DECQ(k)
	JNZ(LabelRef("groups"))
	for i := range lo {
		VPSLLD(U8(15), hi[i], hi[i])
		VPADDD(hi[i], lo[i], lo[i])
	}
	sum, top := YMM(), XMM()
	VPHADDD(lo[1], lo[0], sum) // redA greenA redB greenB | blueA - blueB -
	VPADDD(half, sum, sum)
	VPSRAD(U8(22), sum, sum)
	VEXTRACTI128(U8(1), sum, top)
	x := sum.AsX().(VecVirtual)
	VPUNPCKLQDQ(top, x, lo[0].AsX()) // redA greenA blueA -
	VPUNPCKHQDQ(top, x, lo[1].AsX())
	VPACKSSDW(lo[1].AsX(), lo[0].AsX(), x)
	VPACKUSWB(x, x, x)
	VMOVD(x, Mem{Base: outA})
	VPEXTRD(U8(1), x, Mem{Base: outB})
	ADDQ(U8(3), outA)
	ADDQ(U8(3), outB)
	ADDQ(U8(4), first)
	DECQ(n)
	JNZ(LabelRef("outputs"))
	end()
}
