package vec

// Conversion tables of libjpeg, 16 fraction bits.
var (
	redOfCr, blueOfCb    [256]int32
	greenOfCb, greenOfCr [256]int32
)

func init() {
	for i := range 256 {
		x := int32(i) - 128
		redOfCr[i] = (91881*x + 1<<15) >> 16
		blueOfCb[i] = (116130*x + 1<<15) >> 16
		greenOfCr[i] = -46802 * x
		greenOfCb[i] = -22554*x + 1<<15
	}
}

// RGB converts a row of n = len(luma) pixels to interleaved colors, as libjpeg does: with r =
// cr[i]-128, b = cb[i]-128, divisions rounded to the nearest and results limited to 0..255,
//
//	out[3*i] = luma[i] + 91881*r/65536
//	out[3*i+1] = luma[i] - (22554*b + 46802*r)/65536
//	out[3*i+2] = luma[i] + 116130*b/65536
//
// luma, cb and cr are [n], out is [n, 3] and must not overlap the others.
func RGB(out, luma, cb, cr []uint8) {
	n := len(luma)
	cb, cr, out = cb[:n], cr[:n], out[:3*n]
	if !assembly || n < 16 {
		rgb(out, luma, cb, cr)
		return
	}
	rgbAVX2(&out[0], &luma[0], &cb[0], &cr[0], n&^15)
	if n&15 != 0 { // the last 16, some of them twice
		i := n - 16
		rgbAVX2(&out[3*i], &luma[i], &cb[i], &cr[i], 16)
	}
}

func rgb(out, luma, cb, cr []uint8) {
	for i, v := range luma {
		y, b, r := int32(v), cb[i], cr[i]
		p := out[3*i : 3*i+3 : 3*i+3]
		p[0] = Clamp(y + redOfCr[r])
		p[1] = Clamp(y + (greenOfCb[b]+greenOfCr[r])>>16)
		p[2] = Clamp(y + blueOfCb[b])
	}
}

// InterpolateH doubles a row of n ≥ 2 samples, 3/4 of the near sample and 1/4 of the far one:
//
//	dst[2*i] = (3*in[i] + in[i-1] + 1) / 4
//	dst[2*i+1] = (3*in[i] + in[i+1] + 2) / 4
//
// in is [n], dst [2*n]; the first and the last sample are copied.
func InterpolateH(dst, in []uint8) {
	n := len(in)
	dst = dst[:2*n]
	dst[0] = in[0]
	dst[1] = uint8((3*int(in[0]) + int(in[1]) + 2) >> 2)
	inner := n - 2 // samples with two neighbors
	if assembly && inner >= 16 {
		interpolateHAVX2(&dst[2], &in[1], &in[1], inner&^15)
		if inner&15 != 0 {
			i := n - 1 - 16
			interpolateHAVX2(&dst[2*i], &in[i], &in[i], 16)
		}
	} else {
		interpolateH(dst, in)
	}
	dst[2*n-2] = uint8((3*int(in[n-1]) + int(in[n-2]) + 1) >> 2)
	dst[2*n-1] = in[n-1]
}

func interpolateH(dst, in []uint8) {
	for i := 1; i < len(in)-1; i++ {
		v := 3 * int(in[i])
		dst[2*i] = uint8((v + int(in[i-1]) + 1) >> 2)
		dst[2*i+1] = uint8((v + int(in[i+1]) + 2) >> 2)
	}
}

// InterpolateHV doubles the row between near and far, of n ≥ 2 samples, in both directions: with
// s[i] = 3*near[i] + far[i],
//
//	dst[2*i] = (3*s[i] + s[i-1] + 8) / 16
//	dst[2*i+1] = (3*s[i] + s[i+1] + 7) / 16
//
// near and far are [n], dst is [2*n]; at the ends s[i] stands for its missing neighbor.
func InterpolateHV(dst, near, far []uint8) {
	n := len(near)
	far, dst = far[:n], dst[:2*n]
	sum := func(i int) int { return 3*int(near[i]) + int(far[i]) }
	dst[0] = uint8((4*sum(0) + 8) >> 4)
	dst[1] = uint8((3*sum(0) + sum(1) + 7) >> 4)
	inner := n - 2
	if assembly && inner >= 16 {
		interpolateHVAVX2(&dst[2], &near[1], &far[1], inner&^15)
		if inner&15 != 0 {
			i := n - 1 - 16
			interpolateHVAVX2(&dst[2*i], &near[i], &far[i], 16)
		}
	} else {
		interpolateHV(dst, near, far)
	}
	dst[2*n-2] = uint8((3*sum(n-1) + sum(n-2) + 8) >> 4)
	dst[2*n-1] = uint8((4*sum(n-1) + 7) >> 4)
}

func interpolateHV(dst, near, far []uint8) {
	far = far[:len(near)]
	last := 3*int(near[0]) + int(far[0])
	this := 3*int(near[1]) + int(far[1])
	for i := 1; i < len(near)-1; i++ {
		next := 3*int(near[i+1]) + int(far[i+1])
		dst[2*i] = uint8((3*this + last + 8) >> 4)
		dst[2*i+1] = uint8((3*this + next + 7) >> 4)
		last, this = this, next
	}
}
