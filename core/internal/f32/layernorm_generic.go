package f32

import "math"

// layerNormKernels are the loops of layer normalization over one row [n]. x̂[i] = (x[i]-mean)*rstd.
type layerNormKernels struct {
	// norm is y[i] = x̂[i]*gamma[i] + beta[i] with rstd = 1/√(variance + eps), mean and variance in
	// two passes.
	norm func(y, x, gamma, beta []float32, eps float32) (mean, rstd float32)
	// normGrad is dx[i] (+)= rstd*(g[i] - mean(g) - x̂[i]*mean(g·x̂)) with g[i] = dy[i]*gamma[i].
	normGrad func(dx, x, gamma, dy []float32, mean, rstd float32, add bool)
	// normGradGain is dgamma[i] += dy[i]*x̂[i], dbeta[i] += dy[i].
	normGradGain func(dgamma, dbeta, x, dy []float32, mean, rstd float32)
}

var genericLayerNorm = layerNormKernels{norm: genericNorm, normGrad: genericNormGrad, normGradGain: genericNormGradGain}

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
