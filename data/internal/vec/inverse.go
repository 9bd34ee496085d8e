package vec

// Constants of the inverse cosine transform by Loeffler, Ligtenberg and Moschytz ("Practical fast
// 1-D DCT algorithms with 11 multiplications", 1989) in fixed point, as in libjpeg's accurate
// integer method: 13 fraction bits, and 2 that the first pass leaves for the second.
const (
	constBits = 13
	passBits  = 2

	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

// Inverse is the inverse cosine transform of the dequantized coefficients coef [8, 8] into samples
// 0..255, dst[y*stride+x] for y < 8, x < 8 and stride ≥ 8.
func Inverse(dst []uint8, stride int, coef *[64]int16) {
	_ = dst[7*stride+7]
	if assembly {
		inverseAVX2(&dst[0], stride, coef)
		return
	}
	inverse(dst, stride, coef)
}

// butterfly is one pass over eight values; its results have constBits more fraction bits.
func butterfly(i0, i1, i2, i3, i4, i5, i6, i7 int32) (o0, o1, o2, o3, o4, o5, o6, o7 int32) {
	z1 := (i2 + i6) * fix0541
	t2 := z1 - i6*fix1847
	t3 := z1 + i2*fix0765
	t0 := (i0 + i4) << constBits
	t1 := (i0 - i4) << constBits
	e0, e3 := t0+t3, t0-t3
	e1, e2 := t1+t2, t1-t2

	z5 := (i7 + i3 + i5 + i1) * fix1175
	z1 = -(i7 + i1) * fix0899
	z2 := -(i5 + i3) * fix2562
	z3 := z5 - (i7+i3)*fix1961
	z4 := z5 - (i5+i1)*fix0390
	t0 = i7*fix0298 + z1 + z3
	t1 = i5*fix2053 + z2 + z4
	t2 = i3*fix3072 + z2 + z3
	t3 = i1*fix1501 + z1 + z4
	return e0 + t3, e1 + t2, e2 + t1, e3 + t0, e3 - t0, e2 - t1, e1 - t2, e0 - t3
}

func inverse(dst []uint8, stride int, coef *[64]int16) {
	var work [64]int32
	for x := range 8 {
		i0 := int32(coef[x])
		i1, i2, i3, i4 := int32(coef[8+x]), int32(coef[16+x]), int32(coef[24+x]), int32(coef[32+x])
		i5, i6, i7 := int32(coef[40+x]), int32(coef[48+x]), int32(coef[56+x])
		if i1|i2|i3|i4|i5|i6|i7 == 0 {
			v := i0 << passBits
			for y := 0; y < 64; y += 8 {
				work[y+x] = v
			}
			continue
		}
		o0, o1, o2, o3, o4, o5, o6, o7 := butterfly(i0, i1, i2, i3, i4, i5, i6, i7)
		const s, half = constBits - passBits, 1 << (constBits - passBits - 1)
		work[x], work[8+x] = (o0+half)>>s, (o1+half)>>s
		work[16+x], work[24+x] = (o2+half)>>s, (o3+half)>>s
		work[32+x], work[40+x] = (o4+half)>>s, (o5+half)>>s
		work[48+x], work[56+x] = (o6+half)>>s, (o7+half)>>s
	}
	for y := range 8 {
		w := work[8*y : 8*y+8 : 8*y+8]
		o0, o1, o2, o3, o4, o5, o6, o7 := butterfly(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7])
		out := dst[y*stride:][:8:8]
		out[0], out[1], out[2], out[3] = sample(o0), sample(o1), sample(o2), sample(o3)
		out[4], out[5], out[6], out[7] = sample(o4), sample(o5), sample(o6), sample(o7)
	}
}

// sample rounds a result of the second pass and moves it to 0..255.
func sample(v int32) uint8 {
	const s = constBits + passBits + 3
	return Clamp((v+1<<(s-1))>>s + 128)
}

// Flat is Inverse for a block whose only coefficient is the first.
func Flat(dst []uint8, stride int, dc int16) {
	v := Clamp((int32(dc)+4)>>3 + 128)
	for y := range 8 {
		out := dst[y*stride:][:8:8]
		for x := range out {
			out[x] = v
		}
	}
}
