package f32

import (
	"math"
	"runtime"
)

// genericTable is the portable level, the reference for all others.
var genericTable = table{
	level: Generic,
	mr:    genericMR, nr: genericNR, kc: 512, mc: 64, panelsFrom: 512,
	rowsA: genericTiles(inRows), packedA: genericTiles(inPanels),
	packCopy: genericPackCopy, packTranspose: genericPackTranspose, packRows: genericPackRows,
	runRows: genericRun(inRows), runPacked: genericRun(inPanels),
	tileAdd: genericTileAdd, tileBias: genericTileBias, tileGelu: genericTileGelu,
	tileTimes: genericTileTimes, tilePrefetch: func(int, *float32, int) {}, tileResidual: genericTileResidual,

	add: genericAdd, sub: genericSub, mul: genericMul, mulAdd: genericMulAdd,
	axpy: genericAxpy, scale: genericScale, lerp: genericLerp,
	relu: genericRelu, reluGrad: genericReluGrad, gelu: genericGelu, geluGrad: genericGeluGrad,
	quickGelu: genericQuickGelu, quickGeluGrad: genericQuickGeluGrad,
	adamW: genericAdamW, momentum: genericMomentum,

	sum: genericSum, dot: genericDot, dot32: genericDot32, max: genericMax, finite: genericFinite,
	addRows: genericAddRows, addRowsMul: genericAddRowsMul,

	expSum: genericExpSum, expSumOnly: genericExpSumOnly, softmaxGrad: genericSoftmaxGrad,
	norm: genericNorm, normGrad: genericNormGrad, normGradGain: genericNormGradGain,

	attend: genericAttention,

	peak: genericPeak, peakFlops: 16,
}

func genericAdd(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func genericSub(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func genericMul(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func genericMulAdd(dst, a, b []float32) {
	for i := range dst {
		dst[i] += float32(a[i] * b[i])
	}
}

func genericAxpy(dst []float32, alpha float32, x []float32) {
	for i := range dst {
		dst[i] += float32(alpha * x[i])
	}
}

func genericScale(dst []float32, alpha float32, x []float32) {
	for i := range dst {
		dst[i] = alpha * x[i]
	}
}

func genericLerp(dst, src []float32, keep, take float32) {
	for i, v := range src {
		dst[i] = float32(keep*dst[i]) + float32(take*v)
	}
}

func genericRelu(y, x []float32) {
	for i, v := range x {
		y[i] = max(v, 0)
	}
}

func genericReluGrad(dx, x, dy []float32) {
	for i, v := range x {
		if v > 0 {
			dx[i] = dy[i]
		} else {
			dx[i] = 0
		}
	}
}

func genericGelu(y, x []float32) {
	for i, v := range x {
		v := float64(v)
		y[i] = float32(v * 0.5 * math.Erfc(-v*math.Sqrt2/2))
	}
}

func genericGeluGrad(dx, x, dy []float32) {
	for i, v := range x {
		dx[i] = dy[i] * genericGeluSlope(float64(v))
	}
}

func genericGeluSlope(v float64) float32 {
	return float32(0.5*math.Erfc(-v*math.Sqrt2/2) + float64(v*math.Exp(-0.5*v*v)/math.Sqrt(2*math.Pi)))
}

const quickGeluSlope = 1.702

func genericQuickGelu(y, x []float32) {
	for i, v := range x {
		y[i] = float32(float64(v) / (1 + math.Exp(-quickGeluSlope*float64(v))))
	}
}

func genericQuickGeluGrad(dx, x, dy []float32) {
	for i, v := range x {
		s := 1 / (1 + math.Exp(-quickGeluSlope*float64(v)))
		dx[i] = dy[i] * float32(s*(1+float64(quickGeluSlope*float64(v)*(1-s))))
	}
}

func genericAdamW(param, grad, m, v []float32, c *[8]float32) {
	beta1, take1, beta2, take2, decay, step, rootScale, eps := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	for i, g := range grad {
		m[i] = float32(beta1*m[i]) + float32(take1*g)
		v[i] = float32(beta2*v[i]) + float32(take2*float32(g*g))
		root := float32(rootScale*float32(math.Sqrt(float64(v[i])))) + eps
		param[i] = float32(decay*param[i]) - float32(step*m[i])/root
	}
}

func genericMomentum(param, grad, buf []float32, c *[8]float32) {
	decay, gradScale, momentum, dampen, lr, ofGrad, ofBuf := c[0], c[1], c[2], c[3], c[4], c[5], c[6]
	for i, g := range grad {
		g = gradScale * (g + float32(decay*param[i]))
		buf[i] = float32(momentum*buf[i]) + float32(dampen*g)
		d := float32(ofGrad*g) + float32(ofBuf*buf[i])
		param[i] -= float32(lr * d)
	}
}

func genericSum(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v)
	}
	return s
}

func genericDot(x, y []float32) float64 {
	var s float64
	for i, v := range x {
		s += float64(float64(v) * float64(y[i]))
	}
	return s
}

func genericDot32(x, y []float32) float32 { return float32(genericDot(x, y)) }

func genericMax(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

func genericFinite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

func genericAddRows(rows, n int, x *float32, ld int, acc *float32) {
	a := sliceAt(acc, n)
	for r := range rows {
		genericAdd(a, a, sliceAt(offset(x, r*ld), n))
	}
}

func genericAddRowsMul(rows, n int, x *float32, ldx int, y *float32, ldy int, acc *float32) {
	a := sliceAt(acc, n)
	for r := range rows {
		genericMulAdd(a, sliceAt(offset(x, r*ldx), n), sliceAt(offset(y, r*ldy), n))
	}
}

func genericExpSum(y, x []float32, scale, shift float32) float32 {
	var s float64
	for i, v := range x {
		e := math.Exp(float64(float64(scale)*float64(v)) - float64(shift))
		s += e
		y[i] = float32(e)
	}
	return float32(s)
}

func genericExpSumOnly(x []float32, scale, shift float32) float32 {
	var s float64
	for _, v := range x {
		s += math.Exp(float64(float64(scale)*float64(v)) - float64(shift))
	}
	return float32(s)
}

func genericSoftmaxGrad(ds, p, dp []float32, delta, scale float32) {
	for i, v := range p {
		ds[i] = float32(v*(dp[i]-delta)) * scale
	}
}

func genericNorm(y, x, gamma, beta []float32, eps float32) (mean, rstd float32) {
	n := float64(len(x))
	mu := genericSum(x) / n
	var variance float64
	for _, v := range x {
		d := float64(v) - mu
		variance += float64(d * d)
	}
	mean, rstd = float32(mu), float32(1/math.Sqrt(variance/n+float64(eps)))
	for i, v := range x {
		y[i] = float32(gamma[i]*((v-mean)*rstd)) + beta[i]
	}
	return mean, rstd
}

func genericNormGrad(dx, x, gamma, dy []float32, mean, rstd float32, add bool) {
	var s1, s2 float64
	for i, v := range x {
		d := float32(dy[i] * gamma[i])
		s1 += float64(d)
		s2 += float64(float64(d) * float64((v-mean)*rstd))
	}
	m1, m2 := float32(s1/float64(len(x))), float32(s2/float64(len(x)))
	for i, v := range x {
		d := float32(dy[i] * gamma[i])
		d = float32(rstd * (d - m1 - float32((v-mean)*rstd*m2)))
		if add {
			d += dx[i]
		}
		dx[i] = d
	}
}

func genericNormGradGain(dgamma, dbeta, x, dy []float32, mean, rstd float32) {
	for i, v := range x {
		dgamma[i] += float32(dy[i] * float32((v-mean)*rstd))
		dbeta[i] += dy[i]
	}
}

func genericPeak(n int) {
	a, b, c, d, e, f, g, h := float32(1), float32(2), float32(3), float32(4), float32(5), float32(6), float32(7), float32(8)
	for range n {
		a, b, c, d = a*0.5+1, b*0.5+1, c*0.5+1, d*0.5+1
		e, f, g, h = e*0.5+1, f*0.5+1, g*0.5+1, h*0.5+1
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h) // or the compiler would leave the loop out
}
