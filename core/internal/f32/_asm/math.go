package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// smallest is where exp ends: below, the result is exactly 0. exp(-64) is far
// below anything that a float32 sum with terms near 1 can see, and far above
// the denormal numbers that would slow down whatever multiplies the result.
const smallest = -64

// exp returns e^x for x ≤ 88, 0 below smallest; NaN stays NaN. Range reduction
// by ln 2 in two parts, then the polynomial of Cephes' expf (error ≤ 1 ulp).
func exp(x vec) vec {
	n, nf, r := newVec(), newVec(), newVec()
	t := mul(x, constant(math.Log2E))
	VCVTPS2DQ(t, n)
	VCVTDQ2PS(n, nf)
	VMOVAPS(x, r)
	VFNMADD231PS(constant(0.693359375), nf, r)
	VFNMADD231PS(constant(-2.12194440e-4), nf, r)
	p := horner(r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1, 1)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, p, p)
	d := newVec()
	if w == 16 {
		k := K()
		VCMPPS(Imm(5), constant(smallest), x, k) // not less than
		VMOVAPS_Z(p, k, d)
	} else {
		m := newVec()
		VCMPPS(Imm(5), constant(smallest), x, m)
		VANDPS(m, p, d)
	}
	return d
}

func abs(x vec) vec { return and(x, bits(0x7fffffff)) }

// choose returns a where x is negative (by sign bit), else b.
func choose(x, a, b vec) vec {
	d := newVec()
	if w == 16 {
		k := K()
		VPMOVD2M(x, k)
		VBLENDMPS(a, b, k, d)
	} else {
		VBLENDVPS(x, a, b, d)
	}
	return d
}

// gauss returns Φ(x), the Gaussian integral, and exp(-x²/2). With t = |x|,
// Φ(-t) = exp(-t²/2)·q(t), where q is smooth: a polynomial of degree 9 in
// (t-4)/(t+4), fitted by Chebyshev interpolation on [0, 11.5] to 1e-9 (beyond,
// the exponential is 0).
func gauss(x vec) (phi, e vec) {
	t := abs(x)
	e = exp(mul(mul(t, constant(-0.5)), t))
	u := div(sub(t, constant(4)), add(t, constant(4)))
	q := horner(u, -7.648053452586305e-05, -0.0001898679743125162, 0.0006521617415658628,
		0.0005131735738573415, -0.008493557150569679, 0.030863745564960784, -0.07170740010317277,
		0.12437931306228797, -0.17039771923923305, 0.09441064080200845)
	lower := mul(q, e)
	return choose(x, lower, sub(load(constant(1)), lower)), e
}

func gelu(x vec) vec {
	phi, _ := gauss(x)
	return mul(x, phi)
}

// geluSlope is Φ(x) + x·φ(x).
func geluSlope(x vec) vec {
	phi, e := gauss(x)
	fma(mul(x, constant(1/math.Sqrt(2*math.Pi))), e, phi)
	return phi
}

// geluAndSlope shares the Gaussian integral between both.
func geluAndSlope(x vec) (y, slope vec) {
	phi, e := gauss(x)
	y = mul(x, phi)
	fma(mul(x, constant(1/math.Sqrt(2*math.Pi))), e, phi)
	return y, phi
}

// sigmoid is 1/(1+e^-x) without overflow.
func sigmoid(x vec) vec {
	e := exp(or(x, bits(0x80000000)))
	one := load(constant(1))
	return div(choose(x, e, one), add(e, one))
}

func or(a vec, b Op) vec { d := newVec(); VORPS(b, a, d); return d }
