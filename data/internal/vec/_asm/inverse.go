package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// idct holds the constants of the inverse transform.
type idct struct {
	fix map[int32]Mem
}

// mul is a*c.
func (k *idct) mul(a VecVirtual, c int32, name string) VecVirtual {
	m, ok := k.fix[c]
	if !ok {
		m = all("fix"+name, c)
		k.fix[c] = m
	}
	return mulD(a, m)
}

// pass transforms eight registers of eight values each, rounds and shifts.
func (k *idct) pass(i [8]VecVirtual, half Mem, shift uint8) [8]VecVirtual {
	z := k.mul(addD(i[2], i[6]), 4433, "0541")
	t3 := addD(z, k.mul(i[2], 6270, "0765"))
	t2 := addD(z, k.mul(i[6], -15137, "m1847"))
	t0, t1 := addD(i[0], i[4]), subD(i[0], i[4])
	VPSLLD(U8(13), t0, t0)
	VPSLLD(U8(13), t1, t1)
	t0, t1 = addD(t0, half), addD(t1, half) // rounding, once for all eight
	e := [4]VecVirtual{addD(t0, t3), addD(t1, t2), subD(t1, t2), subD(t0, t3)}

	s73, s51 := addD(i[7], i[3]), addD(i[5], i[1])
	z5 := k.mul(addD(s73, s51), 9633, "1175")
	z3 := addD(z5, k.mul(s73, -16069, "m1961"))
	z4 := addD(z5, k.mul(s51, -3196, "m0390"))
	z1 := k.mul(addD(i[7], i[1]), -7373, "m0899")
	z2 := k.mul(addD(i[5], i[3]), -20995, "m2562")
	odd := func(in VecVirtual, c int32, name string, a, b VecVirtual) VecVirtual {
		return addD(addD(k.mul(in, c, name), a), b)
	}
	o := [4]VecVirtual{
		odd(i[1], 12299, "1501", z1, z4),
		odd(i[3], 25172, "3072", z2, z3),
		odd(i[5], 16819, "2053", z2, z4),
		odd(i[7], 2446, "0298", z1, z3),
	}
	var out [8]VecVirtual
	for j := range 4 {
		out[j], out[7-j] = addD(e[j], o[j]), subD(e[j], o[j])
		VPSRAD(U8(shift), out[j], out[j])
		VPSRAD(U8(shift), out[7-j], out[7-j])
	}
	return out
}

// transpose8 transposes an 8x8 matrix of 32-bit values.
func transpose8(a [8]VecVirtual) (out [8]VecVirtual) {
	var b, c [8]VecVirtual
	for i := 0; i < 8; i += 2 {
		b[i], b[i+1] = YMM(), YMM()
		VPUNPCKLDQ(a[i+1], a[i], b[i])
		VPUNPCKHDQ(a[i+1], a[i], b[i+1])
	}
	for i := 0; i < 8; i += 4 { // c[i+j]: column j (low half) and j+4 (high half) of rows i..i+3
		for j := range 2 {
			c[i+2*j], c[i+2*j+1] = YMM(), YMM()
			VPUNPCKLQDQ(b[i+2+j], b[i+j], c[i+2*j])
			VPUNPCKHQDQ(b[i+2+j], b[i+j], c[i+2*j+1])
		}
	}
	for j := range 4 {
		out[j], out[j+4] = YMM(), YMM()
		VPERM2I128(U8(0x20), c[4+j], c[j], out[j])
		VPERM2I128(U8(0x31), c[4+j], c[j], out[j+4])
	}
	return out
}

// genInverse writes the inverse transform: two passes of columns with a transpose between.
func genInverse() {
	TEXT("inverseAVX2", NOSPLIT, "func(dst *uint8, stride int, coef *[64]int16)")
	Pragma("noescape")
	Doc("inverseAVX2 is the inverse cosine transform of coef [8, 8] into dst[y*stride+x], y < 8 and x < 8.")
	dst, stride, coef := arg("dst"), arg("stride"), arg("coef")
	half1, half2 := all("half1", 1<<10), all("half2", 1<<17)
	offset := all("offset", -0x7f7f7f80) // 0x80 in every byte
	k := &idct{fix: map[int32]Mem{}}

	var v [8]VecVirtual
	for i := range v {
		v[i] = YMM()
		VPMOVSXWD(Mem{Base: coef, Disp: 16 * i}, v[i])
	}
	v = transpose8(k.pass(v, half1, 11))
	v = k.pass(v, half2, 18)

	// v[x] holds column x. Pack to bytes: in each half, four columns of four rows, which a shuffle
	// turns into four rows of four columns.
	shuffle := bytesOf("rowsOfColumns",
		0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
		0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
	var q [2]VecVirtual
	for i := range q {
		a, b := YMM(), YMM()
		VPACKSSDW(v[4*i+1], v[4*i], a)
		VPACKSSDW(v[4*i+3], v[4*i+2], b)
		q[i] = YMM()
		VPACKSSWB(b, a, q[i])
		VPADDB(offset, q[i], q[i])
		VPSHUFB(shuffle, q[i], q[i])
	}
	lo, hi := YMM(), YMM() // rows 0, 1, 4, 5 and 2, 3, 6, 7
	VPUNPCKLDQ(q[1], q[0], lo)
	VPUNPCKHDQ(q[1], q[0], hi)
	store := func(from VecVirtual) {
		VMOVQ(from, Mem{Base: dst})
		ADDQ(stride, dst)
		VPEXTRQ(U8(1), from, Mem{Base: dst})
		ADDQ(stride, dst)
	}
	store(lo.AsX().(VecVirtual))
	store(hi.AsX().(VecVirtual))
	for _, r := range []VecVirtual{lo, hi} {
		x := XMM()
		VEXTRACTI128(U8(1), r, x)
		store(x)
	}
	end()
}
