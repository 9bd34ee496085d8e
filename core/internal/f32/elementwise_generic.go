package f32

import "math"

// elementKernels are the loops over elements of one level. In every formula i runs over all n
// elements; operands are [n]. The destination may be one of the sources.
type elementKernels struct {
	add    func(dst, a, b []float32)                       // dst[i] = a[i] + b[i]
	sub    func(dst, a, b []float32)                       // dst[i] = a[i] - b[i]
	mul    func(dst, a, b []float32)                       // dst[i] = a[i] * b[i]
	mulAdd func(dst, a, b []float32)                       // dst[i] += a[i] * b[i]
	axpy   func(dst []float32, alpha float32, x []float32) // dst[i] += alpha * x[i]
	scale  func(dst []float32, alpha float32, x []float32) // dst[i] = alpha * x[i]
	lerp   func(dst, src []float32, keep, take float32)    // dst[i] = keep*dst[i] + take*src[i]

	relu          func(y, x []float32)      // y[i] = max(x[i], 0)
	reluGrad      func(dx, x, dy []float32) // dx[i] = dy[i] if x[i] > 0, else 0
	gelu          func(y, x []float32)      // y[i] = x[i]·Φ(x[i])
	geluGrad      func(dx, x, dy []float32) // dx[i] = dy[i]·(Φ(x[i]) + x[i]·φ(x[i]))
	quickGelu     func(y, x []float32)      // y[i] = x[i]·sigmoid(1.702·x[i])
	quickGeluGrad func(dx, x, dy []float32) // dx[i] = dy[i]·s·(1 + z·(1-s)), z = 1.702·x[i], s = sigmoid(z)
}

var genericElement = elementKernels{
	add: genericAdd, sub: genericSub, mul: genericMul, mulAdd: genericMulAdd,
	axpy: genericAxpy, scale: genericScale, lerp: genericLerp,
	relu: genericRelu, reluGrad: genericReluGrad, gelu: genericGelu, geluGrad: genericGeluGrad,
	quickGelu: genericQuickGelu, quickGeluGrad: genericQuickGeluGrad,
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
