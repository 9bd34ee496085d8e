package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// smallest is the least argument of exp: below it the result is exactly 0. exp(-64) is far below
// the last bit of a float32 sum with terms near 1, and far above the denormal numbers, which would
// slow down later multiplications.
const smallest = -64

// exp returns e^x for x ≤ 88, 0 below smallest; NaN stays NaN. Range reduction by ln 2 in two
// parts, then the polynomial of Cephes' expf (error ≤ 1 ulp).
func exp(x vec) vec { return exps([]vec{x})[0] }

// exps is exp of several vectors side by side.
func exps(xs []vec) []vec {
	d := newVecs(len(xs))
	var chains []chain
	for i, x := range xs {
		chains = append(chains, expSteps(x, d[i]))
	}
	interleave(chains...)
	return d
}

// A chain is a sequence of instructions, each of which waits for the one before.
type chain []func()

// interleave writes independent chains side by side. A processor looks a limited number of
// instructions ahead, half as many when its core is shared; one polynomial is longer.
func interleave(chains ...chain) {
	for i, more := 0, true; more; i++ {
		more = false
		for _, c := range chains {
			if i < len(c) {
				c[i]()
				more = true
			}
		}
	}
}

// expSteps is exp, into d.
func expSteps(x, d vec) chain {
	t, n, nf, r, p := newVec(), newVec(), newVec(), newVec(), newVec()
	c := chain{
		func() { VMULPS(constant(math.Log2E), x, t) },
		func() { VCVTPS2DQ(t, n) },
		func() { VCVTDQ2PS(n, nf) },
		func() { VMOVAPS(x, r) },
		func() { VFNMADD231PS(constant(0.693359375), nf, r) },
		func() { VFNMADD231PS(constant(-2.12194440e-4), nf, r) },
	}
	c = append(c, hornerSteps(r, p, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1, 1)...)
	c = append(c, func() { VPSLLD(Imm(23), n, n) }, func() { VPADDD(n, p, p) })
	if w == 16 {
		k := K()
		return append(c,
			func() { VCMPPS(Imm(5), constant(smallest), x, k) }, // not less than
			func() { VMOVAPS_Z(p, k, d) })
	}
	m := newVec()
	return append(c,
		func() { VCMPPS(Imm(5), constant(smallest), x, m) },
		func() { VANDPS(m, p, d) })
}

// hornerSteps evaluates the polynomial with the coefficients c, highest power first, into p.
func hornerSteps(x, p vec, c ...float64) chain {
	s := chain{func() { VMOVUPS(constant(c[0]), p) }}
	for _, f := range c[1:] {
		s = append(s, func() { VFMADD213PS(constant(f), x, p) })
	}
	return s
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

// gauss returns Φ(x), the Gaussian integral, and exp(-x²/2). With t = |x|, Φ(-t) = exp(-t²/2)·q(t),
// where q is smooth: a polynomial of degree 9 in (t-4)/(t+4), fitted by Chebyshev interpolation on
// [0, 11.5] to 1e-9 (beyond, the exponential is 0).
func gauss(x vec) (phi, e vec) {
	ps, es := gausses([]vec{x})
	return ps[0], es[0]
}

// gausses is gauss of several vectors side by side.
func gausses(xs []vec) (phi, e []vec) {
	phi, e = make([]vec, len(xs)), newVecs(len(xs))
	q := newVecs(len(xs))
	var chains []chain
	for i, x := range xs {
		t := abs(x)
		chains = append(chains, expSteps(mul(mul(t, constant(-0.5)), t), e[i]))
		u := div(sub(t, constant(4)), add(t, constant(4)))
		chains = append(chains, hornerSteps(u, q[i], -7.648053452586305e-05, -0.0001898679743125162, 0.0006521617415658628,
			0.0005131735738573415, -0.008493557150569679, 0.030863745564960784, -0.07170740010317277,
			0.12437931306228797, -0.17039771923323905, 0.09441064080200845))
	}
	interleave(chains...)
	for i, x := range xs {
		lower := mul(q[i], e[i])
		phi[i] = choose(x, lower, sub(load(constant(1)), lower))
	}
	return phi, e
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

// gelusAndSlopes are gelu and geluSlope of several vectors side by side; both share the Gaussian
// integral.
func gelusAndSlopes(xs []vec) (y, slope []vec) {
	phi, e := gausses(xs)
	y = make([]vec, len(xs))
	for i, x := range xs {
		y[i] = mul(x, phi[i])
		fma(mul(x, constant(1/math.Sqrt(2*math.Pi))), e[i], phi[i])
	}
	return y, phi
}

// sigmoid is 1/(1+e^-x) without overflow.
func sigmoid(x vec) vec {
	e := exp(or(x, bits(0x80000000)))
	one := load(constant(1))
	return div(choose(x, e, one), add(e, one))
}
