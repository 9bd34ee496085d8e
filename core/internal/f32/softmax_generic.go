package f32

import "math"

// softmaxKernels are the loops of softmax over one row [n]; i runs over its elements.
type softmaxKernels struct {
	// expSum is y[i] = exp(scale*x[i] - shift); it returns Σ y[i].
	expSum func(y, x []float32, scale, shift float32) float32
	// expSumOnly returns Σ exp(scale*x[i] - shift).
	expSumOnly func(x []float32, scale, shift float32) float32
	// softmaxGrad is ds[i] = p[i]*(dp[i] - delta)*scale.
	softmaxGrad func(ds, p, dp []float32, delta, scale float32)
}

var genericSoftmax = softmaxKernels{expSum: genericExpSum, expSumOnly: genericExpSumOnly, softmaxGrad: genericSoftmaxGrad}

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
