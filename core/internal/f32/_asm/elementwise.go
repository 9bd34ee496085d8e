package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// binary writes dst[i] = f(a[i], b[i]).
func binary(name, doc string, f func(a, b vec) vec) {
	function(name, "func(dst, a, b []float32)", doc)
	dst, a, b := slice("dst"), slice("a"), slice("b")
	each(length("dst"), 4, func(i at) { i.store(f(i.load(a), i.load(b)), dst) })
	end()
}

// unary writes y[i] = f(x[i]).
func unary(name, doc string, unroll int, f func(x vec) vec) {
	function(name, "func(y, x []float32)", doc)
	y, x := slice("y"), slice("x")
	each(length("y"), unroll, func(i at) { i.store(f(i.load(x)), y) })
	end()
}

// gradient writes dx[i] = f(x[i], dy[i]).
func gradient(name, doc string, unroll int, f func(x, dy vec) vec) {
	function(name, "func(dx, x, dy []float32)", doc)
	dx, x, dy := slice("dx"), slice("x"), slice("dy")
	each(length("dx"), unroll, func(i at) { i.store(f(i.load(x), i.load(dy)), dx) })
	end()
}

const quickSlope = 1.702

func genElementwise() {
	genArithmetic()
	genActivations()
	genOptimizers()
}

func genArithmetic() {
	binary("add", "is dst[i] = a[i] + b[i] for every i.", func(a, b vec) vec { return add(a, b) })
	binary("sub", "is dst[i] = a[i] - b[i] for every i.", func(a, b vec) vec { return sub(a, b) })
	binary("mul", "is dst[i] = a[i] * b[i] for every i.", func(a, b vec) vec { return mul(a, b) })

	function("mulAdd", "func(dst, a, b []float32)", "is dst[i] += a[i] * b[i] for every i.")
	dst, a, b := slice("dst"), slice("a"), slice("b")
	each(length("dst"), 4, func(i at) {
		d := i.load(dst)
		fma(i.load(a), i.load(b), d)
		i.store(d, dst)
	})
	end()

	function("axpy", "func(dst []float32, alpha float32, x []float32)", "is dst[i] += alpha * x[i] for every i.")
	dst = slice("dst")
	alpha := scalar("alpha")
	x := slice("x")
	each(length("dst"), 4, func(i at) {
		d := i.load(dst)
		fma(alpha, i.load(x), d)
		i.store(d, dst)
	})
	end()

	function("scale", "func(dst []float32, alpha float32, x []float32)", "is dst[i] = alpha * x[i] for every i.")
	dst = slice("dst")
	alpha = scalar("alpha")
	x = slice("x")
	each(length("dst"), 4, func(i at) { i.store(mul(alpha, i.load(x)), dst) })
	end()

	function("lerp", "func(dst, src []float32, keep, take float32)", "is dst[i] = keep*dst[i] + take*src[i] for every i.")
	dst = slice("dst")
	src := slice("src")
	keep, take := scalar("keep"), scalar("take")
	each(length("dst"), 4, func(i at) {
		d := mul(keep, i.load(dst))
		fma(take, i.load(src), d)
		i.store(d, dst)
	})
	end()
}

func genActivations() {
	unary("relu", "is y[i] = max(x[i], 0) for every i.", 4, func(x vec) vec {
		d := zero(newVec())
		VMAXPS(x, d, d) // a NaN in x stays
		return d
	})
	gradient("reluGrad", "is dx[i] = dy[i] if x[i] > 0, else 0, for every i.", 2, func(x, dy vec) vec {
		return above(x, zero(newVec()), dy)
	})
	unary("gelu", "is y[i] = x[i]·Φ(x[i]) for every i.", 1, gelu)
	gradient("geluGrad", "is dx[i] = dy[i]·(Φ(x[i]) + x[i]·φ(x[i])) for every i.", 1, func(x, dy vec) vec { return mul(geluSlope(x), dy) })
	unary("quickGelu", "is y[i] = x[i]·sigmoid(1.702·x[i]) for every i.", 1, func(x vec) vec {
		return mul(sigmoid(mul(x, constant(quickSlope))), x)
	})
	gradient("quickGeluGrad", "is dx[i] = dy[i]·s·(1 + z·(1-s)) with z = 1.702·x[i] and s = sigmoid(z), for every i.", 1, func(x, dy vec) vec {
		z := mul(x, constant(quickSlope))
		s := sigmoid(z)
		d := load(constant(1))
		fma(z, sub(load(constant(1)), s), d)
		return mul(mul(s, d), dy)
	})
}

// flushed runs body with denormal numbers read and written as zero: moments of parameters without a
// gradient would otherwise decay into denormals and stay there, at a hundred times the cost.
func flushed(body func()) {
	save := AllocLocal(8)
	STMXCSR(save)
	r := GP32()
	MOVL(save, r)
	ORL(U32(0x8040), r)
	MOVL(r, save.Offset(4))
	LDMXCSR(save.Offset(4))
	body()
	LDMXCSR(save)
}

func field(p Register, i int) vec { return broadcast(Mem{Base: p, Disp: 4 * i}) }

const (
	adamWDoc = "is, for every i and c = {β₁, 1-β₁, β₂, 1-β₂, decay, step, rootScale, eps}, m[i] = β₁*m[i] + (1-β₁)*grad[i]; " +
		"v[i] = β₂*v[i] + (1-β₂)*grad[i]²; param[i] = decay*param[i] - step*m[i]/(rootScale*√v[i] + eps)."
	momentumDoc = "is, for every i and c = {decay, gradScale, momentum, dampen, lr, ofGrad, ofBuf}, g = gradScale*(grad[i] + decay*param[i]); " +
		"buf[i] = momentum*buf[i] + dampen*g; param[i] -= lr*(ofGrad*g + ofBuf*buf[i])."
)

func genOptimizers() {
	function("adamW", "func(param, grad, m, v []float32, c *[8]float32)", adamWDoc)
	flushed(func() {
		param, grad, m, v, c := slice("param"), slice("grad"), slice("m"), slice("v"), arg("c")
		b1, a1, b2, a2, decay, step, root, eps := field(c, 0), field(c, 1), field(c, 2), field(c, 3), field(c, 4), field(c, 5), field(c, 6), field(c, 7)
		each(length("param"), 1, func(i at) {
			g := i.load(grad)
			nm := mul(a1, g)
			fma(b1, i.load(m), nm)
			i.store(nm, m)
			nv := mul(a2, mul(g, g))
			fma(b2, i.load(v), nv)
			i.store(nv, v)
			VSQRTPS(nv, nv)
			VFMADD213PS(eps, root, nv)
			d := div(mul(step, nm), nv)
			p := i.load(param)
			VFMSUB213PS(d, decay, p)
			i.store(p, param)
		})
	})
	end()

	function("momentum", "func(param, grad, buf []float32, c *[8]float32)", momentumDoc)
	flushed(func() {
		param, grad, buf, c := slice("param"), slice("grad"), slice("buf"), arg("c")
		decay, gradScale, momentum, dampen, lr, ofGrad, ofBuf := field(c, 0), field(c, 1), field(c, 2), field(c, 3), field(c, 4), field(c, 5), field(c, 6)
		each(length("param"), 1, func(i at) {
			p, g := i.load(param), i.load(grad)
			fma(decay, p, g)
			VMULPS(gradScale, g, g)
			b := mul(dampen, g)
			fma(momentum, i.load(buf), b)
			i.store(b, buf)
			d := mul(ofBuf, b)
			fma(ofGrad, g, d)
			VFNMADD231PS(d, lr, p)
			i.store(p, param)
		})
	})
	end()
}
