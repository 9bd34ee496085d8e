package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fraction is x*c/65536 of 16-bit values, rounded half up.
func fraction(x VecVirtual, c Mem) VecVirtual {
	hi, lo := YMM(), YMM()
	VPMULHW(c, x, hi)
	VPMULLW(c, x, lo)
	VPSRLW(U8(15), lo, lo)
	VPADDW(lo, hi, hi)
	return hi
}

// spreads returns the shuffles that spread color c of 16 pixels over three registers of RGB.
func spreads() (spread [3][3]Mem) {
	for c := range 3 {
		for part := range 3 {
			values := make([]int, 16)
			for i := range values {
				values[i] = -1
				if at := 16*part + i; at%3 == c {
					values[i] = at / 3
				}
			}
			spread[c][part] = bytesOf("spread"+string(rune('0'+c))+string(rune('0'+part)), values...)
		}
	}
	return spread
}

// storeColors interleaves the colors of 16 pixels and writes them.
func storeColors(color [3]VecVirtual, spread [3][3]Mem, out Register) {
	for part := range 3 {
		var sum VecVirtual
		for c := range 3 {
			x := XMM()
			VPSHUFB(spread[c][part], color[c], x)
			if c == 0 {
				sum = x
			} else {
				VPOR(x, sum, sum)
			}
		}
		VMOVDQU(sum, Mem{Base: out, Disp: 16 * part})
	}
}

// genRGB writes the conversion of 16 pixels at a time. Whole multiples are taken out of the
// factors, so that products stay within 16 bits:
//
//	R = Y + Cr + 26345/65536 Cr
//	G = Y - Cr + (18734 Cr - 22554 Cb)/65536
//	B = Y + 2 Cb - 14942/65536 Cb
func genRGB() {
	TEXT("rgbAVX2", NOSPLIT, "func(out, luma, cb, cr *uint8, n int)")
	Pragma("noescape")
	Doc("rgbAVX2 is RGB for n pixels, a multiple of 16.")
	out, luma, cb, cr, n := arg("out"), arg("luma"), arg("cb"), arg("cr"), arg("n")

	red, blue := pair("redOfCr", 26345, 26345), pair("blueOfCb", -14942, -14942)
	green := pair("greenOfCbCr", -22554, 18734)
	center, half := pair("center", 128, 128), all("halfColor", 1<<15)
	spread := spreads()

	Label("pixels")
	y, b, r := YMM(), YMM(), YMM()
	VPMOVZXBW(Mem{Base: luma}, y)
	VPMOVZXBW(Mem{Base: cb}, b)
	VPMOVZXBW(Mem{Base: cr}, r)
	VPSUBW(center, b, b)
	VPSUBW(center, r, r)

	lo, hi := YMM(), YMM()
	VPUNPCKLWD(r, b, lo)
	VPUNPCKHWD(r, b, hi)
	for _, v := range []VecVirtual{lo, hi} {
		VPMADDWD(green, v, v)
		VPADDD(half, v, v)
		VPSRAD(U8(16), v, v)
	}
	g := YMM()
	VPACKSSDW(hi, lo, g)
	VPADDW(y, g, g)
	VPSUBW(r, g, g)

	rr := addW(addW(fraction(r, red), r), y)
	bb := addW(fraction(b, blue), y)
	VPADDW(b, bb, bb)
	VPADDW(b, bb, bb)

	var color [3]VecVirtual
	for i, v := range []VecVirtual{rr, g, bb} {
		x := XMM()
		VEXTRACTI128(U8(1), v, x)
		color[i] = XMM()
		VPACKUSWB(x, v.AsX(), color[i])
	}
	storeColors(color, spread, out)
	ADDQ(U8(16), luma)
	ADDQ(U8(16), cb)
	ADDQ(U8(16), cr)
	ADDQ(U8(48), out)
	SUBQ(U8(16), n)
	JNZ(LabelRef("pixels"))
	end()
}

// genInterpolate writes the inner part of a doubled row, 16 samples at a time; near and far point
// at the first sample with both neighbors.
func genInterpolate(name string, vertical bool) {
	doc := "dst[2*i] = (3*s[i]+s[i-1]+1)/4, dst[2*i+1] = (3*s[i]+s[i+1]+2)/4, s = near,"
	if vertical {
		doc = "dst[2*i] = (3*s[i]+s[i-1]+8)/16, dst[2*i+1] = (3*s[i]+s[i+1]+7)/16, s = 3*near+far,"
	}
	TEXT(name, NOSPLIT, "func(dst, near, far *uint8, n int)")
	Pragma("noescape")
	Doc(name+" is "+doc, "for i < n, a multiple of 16; s[-1] and s[n] must be readable.")
	dst, near, far, n := arg("dst"), arg("near"), arg("far"), arg("n")
	var down, up Mem
	shift := uint8(2)
	if vertical {
		down, up, shift = pair("roundEven8", 8, 8), pair("roundOdd7", 7, 7), 4
	} else {
		down, up = pair("roundEven1", 1, 1), pair("roundOdd2", 2, 2)
	}
	label := "samples" + name
	Label(label)
	at := func(d int) VecVirtual {
		v := YMM()
		VPMOVZXBW(Mem{Base: near, Disp: d}, v)
		if vertical {
			f := YMM()
			VPMOVZXBW(Mem{Base: far, Disp: d}, f)
			t := addW(v, v)
			VPADDW(v, t, t)
			VPADDW(f, t, t)
			return t
		}
		return v
	}
	last, this, next := at(-1), at(0), at(1)
	t := addW(this, this)
	VPADDW(this, t, t)
	even, odd := addW(addW(last, t), down), addW(addW(next, t), up)
	VPSRLW(U8(shift), even, even)
	VPSRLW(U8(shift), odd, odd)
	VPSLLW(U8(8), odd, odd)
	VPOR(odd, even, even)
	VMOVDQU(even, Mem{Base: dst})
	ADDQ(U8(16), near)
	ADDQ(U8(16), far)
	ADDQ(U8(32), dst)
	SUBQ(U8(16), n)
	JNZ(LabelRef(label))
	end()
}
