package f32

import "math"

// optimizerKernels are the updates of one level: of a parameter [n] with its gradient [n] and its
// state, of n values each.
type optimizerKernels struct {
	// adamW, with c = {β₁, 1-β₁, β₂, 1-β₂, decay, step, rootScale, eps}, is, for every i,
	//
	//	m[i] = β₁*m[i] + (1-β₁)*grad[i]
	//	v[i] = β₂*v[i] + (1-β₂)*grad[i]²
	//	param[i] = decay*param[i] - step*m[i]/(rootScale*√v[i] + eps)
	adamW func(param, grad, m, v []float32, c *[8]float32)
	// momentum, with c = {decay, gradScale, momentum, dampen, lr, ofGrad, ofBuf}, is, for every i,
	//
	//	g := gradScale*(grad[i] + decay*param[i])
	//	buf[i] = momentum*buf[i] + dampen*g
	//	param[i] -= lr*(ofGrad*g + ofBuf*buf[i])
	momentum func(param, grad, buf []float32, c *[8]float32)
}

var genericOptimizer = optimizerKernels{adamW: genericAdamW, momentum: genericMomentum}

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
