package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lane0 is the lowest lane of r.
func lane0(r Register) Register { return r.(VecVirtual).AsX() }

// genRows writes the kernels of softmax and layer normalization, one row each.
func genRows() {
	genSoftmaxRow()
	genNorm()
	genNormGrad()
	genNormGradGain()
}

func genSoftmaxRow() {
	sum := func(x Register, over string, put func(i at, e vec)) {
		scale, shift := scalar("scale"), scalar("shift")
		acc := zeros(2)
		each(length(over), 2, func(i at) {
			v := i.load(x)
			VFMSUB213PS(shift, scale, v)
			e := i.keep(exp(v))
			VADDPS(e, acc[i.lane], acc[i.lane])
			put(i, e)
		})
		Store(lane0(sumLanes(sumVecs(acc))), ReturnIndex(0))
		end()
	}
	function("expSum", "func(y, x []float32, scale, shift float32) float32", "is y[i] = exp(scale*x[i] - shift) for every i; it returns Σ y[i].")
	y, x := slice("y"), slice("x")
	sum(x, "y", func(i at, e vec) { i.store(e, y) })

	function("expSumOnly", "func(x []float32, scale, shift float32) float32", "returns Σ exp(scale*x[i] - shift).")
	sum(slice("x"), "x", func(at, vec) {})

	function("softmaxGrad", "func(ds, p, dp []float32, delta, scale float32)", "is ds[i] = p[i]*(dp[i] - delta)*scale for every i.")
	ds, p, dp := slice("ds"), slice("p"), slice("dp")
	delta, factor := scalar("delta"), scalar("scale")
	each(length("ds"), 2, func(i at) {
		i.store(mul(mul(i.load(p), sub(i.load(dp), delta)), factor), ds)
	})
	end()
}

func genNorm() {
	function("norm", "func(y, x, gamma, beta []float32, eps float32) (mean, rstd float32)",
		"is y[i] = (x[i] - mean)*rstd*gamma[i] + beta[i] for every i, with rstd = 1/√(variance + eps), mean and variance in two passes.")
	y, x := slice("y"), slice("x")
	n := length("x")
	count := XMM()
	VXORPS(count, count, count)
	VCVTSI2SSQ(n, count, count)
	acc := zeros(4)
	each(n, 4, func(i at) { VADDPS(i.load(x), acc[i.lane], acc[i.lane]) })
	mx := XMM()
	VDIVSS(count, lane0(sumLanes(sumVecs(acc))), mx)
	mean := broadcast(mx)
	acc = zeros(4)
	each(n, 4, func(i at) {
		d := i.keep(sub(i.load(x), mean))
		fma(d, d, acc[i.lane])
	})
	vx, one := XMM(), XMM()
	VDIVSS(count, lane0(sumLanes(sumVecs(acc))), vx)
	VADDSS(param("eps"), vx, vx)
	VSQRTSS(vx, vx, vx)
	VMOVSS(constant(1), one)
	VDIVSS(vx, one, vx)
	Store(mx, ReturnIndex(0))
	Store(vx, ReturnIndex(1))
	rstd := broadcast(vx)
	gamma, beta := slice("gamma"), slice("beta")
	each(n, 4, func(i at) {
		v := mul(sub(i.load(x), mean), rstd)
		b := i.load(beta)
		fma(i.load(gamma), v, b)
		i.store(b, y)
	})
	end()
}

func genNormGrad() {
	function("normGrad", "func(dx, x, gamma, dy []float32, mean, rstd float32, add bool)",
		"is dx[i] (+)= rstd*(g[i] - mean(g) - x̂[i]*mean(g*x̂)) for every i, with g[i] = dy[i]*gamma[i] and x̂[i] = (x[i] - mean)*rstd.")
	dx, x, gamma, dy := slice("dx"), slice("x"), slice("gamma"), slice("dy")
	n := length("x")
	mean, rstd := scalar("mean"), scalar("rstd")
	s1, s2 := zeros(2), zeros(2)
	each(n, 2, func(i at) {
		g := mul(i.load(dy), i.load(gamma))
		xh := mul(sub(i.load(x), mean), rstd)
		VADDPS(g, s1[i.lane], s1[i.lane])
		fma(g, xh, s2[i.lane])
	})
	count := XMM()
	VXORPS(count, count, count)
	VCVTSI2SSQ(n, count, count)
	m1, m2 := XMM(), XMM()
	VDIVSS(count, lane0(sumLanes(sumVecs(s1))), m1)
	VDIVSS(count, lane0(sumLanes(sumVecs(s2))), m2)
	mean1, mean2 := broadcast(m1), broadcast(m2)
	grad := func(i at) vec {
		g := mul(i.load(dy), i.load(gamma))
		xh := mul(sub(i.load(x), mean), rstd)
		VSUBPS(mean1, g, g)
		VFNMADD231PS(mean2, xh, g)
		return mul(g, rstd)
	}
	flag := Load(Param("add"), GP8())
	fresh := label("fresh")
	TESTB(flag, flag)
	JZ(LabelRef(fresh))
	each(n, 2, func(i at) { i.store(add(grad(i), i.load(dx)), dx) })
	end()
	Label(fresh)
	each(n, 2, func(i at) { i.store(grad(i), dx) })
	end()
}

func genNormGradGain() {
	function("normGradGain", "func(dgamma, dbeta, x, dy []float32, mean, rstd float32)", "is dgamma[i] += dy[i]*(x[i] - mean)*rstd, dbeta[i] += dy[i] for every i.")
	dgamma, dbeta, x, dy := slice("dgamma"), slice("dbeta"), slice("x"), slice("dy")
	mean, rstd := scalar("mean"), scalar("rstd")
	each(length("x"), 2, func(i at) {
		d := i.load(dy)
		xh := mul(sub(i.load(x), mean), rstd)
		dg := i.load(dgamma)
		fma(d, xh, dg)
		i.store(dg, dgamma)
		i.store(add(i.load(dbeta), d), dbeta)
	})
	end()
}
