package f32

// batchNormKernels are the inner loops of batch normalization of one level, on dense matrices
// [rows, n] and vectors [n]. With d = x[i][j] - mean[j], v is d*gain[j] + shift[j]; i < rows, j < n.
type batchNormKernels struct {
	// batchMoments is sum[j] += Σ_i e, square[j] += Σ_i e² with e = x[i][j] - pivot[j].
	batchMoments func(rows, n int, x, pivot, sum, square *float32)
	// batchNorm is y[i][j] = max(v, floor), batchNormAdd y[i][j] = max(v + residual[i][j], floor).
	batchNorm    func(rows, n int, x, y, mean, gain, shift *float32, floor float32)
	batchNormAdd func(rows, n int, x, residual, y, mean, gain, shift *float32, floor float32)
	// batchNormSums is, with g = dy[i][j] where v > floor, else 0, sum[j] += Σ_i g, dot[j] += Σ_i g*d.
	batchNormSums func(rows, n int, x, dy, mean, gain, shift *float32, floor float32, sum, dot *float32)
	// batchNormAddSums is batchNormSums with y in the place of v; it writes g[i][j].
	batchNormAddSums func(rows, n int, x, dy, y, g, mean *float32, floor float32, sum, dot *float32)
	// batchNormGrad is, with the g of batchNormSums, dx[i][j] = gain[j]*g + slope[j]*d + offset[j].
	batchNormGrad func(rows, n int, x, dy, dx, mean, gain, shift *float32, floor float32, slope, offset *float32)
}

var genericBatchNorm = batchNormKernels{
	batchMoments: genericBatchMoments, batchNorm: genericBatchNormForward, batchNormAdd: genericBatchNormAdd,
	batchNormSums: genericBatchNormSums, batchNormAddSums: genericBatchNormAddSums, batchNormGrad: genericBatchNormGrad,
}

func genericBatchMoments(rows, n int, x, pivot, sum, square *float32) {
	p, s, q := sliceAt(pivot, n), sliceAt(sum, n), sliceAt(square, n)
	for r := range rows {
		for j, v := range sliceAt(offset(x, r*n), n) {
			d := v - p[j]
			s[j] += d
			q[j] += float32(d * d)
		}
	}
}

// normalized is v of the kernels.
func normalized(x, mean, gain, shift float32) float32 { return float32((x-mean)*gain) + shift }

func genericBatchNormForward(rows, n int, x, y, mean, gain, shift *float32, floor float32) {
	m, g, s := sliceAt(mean, n), sliceAt(gain, n), sliceAt(shift, n)
	for r := range rows {
		out := sliceAt(offset(y, r*n), n)
		for j, v := range sliceAt(offset(x, r*n), n) {
			out[j] = max(normalized(v, m[j], g[j], s[j]), floor)
		}
	}
}

func genericBatchNormAdd(rows, n int, x, residual, y, mean, gain, shift *float32, floor float32) {
	m, g, s := sliceAt(mean, n), sliceAt(gain, n), sliceAt(shift, n)
	for r := range rows {
		out, res := sliceAt(offset(y, r*n), n), sliceAt(offset(residual, r*n), n)
		for j, v := range sliceAt(offset(x, r*n), n) {
			out[j] = max(normalized(v, m[j], g[j], s[j])+res[j], floor)
		}
	}
}

func genericBatchNormSums(rows, n int, x, dy, mean, gain, shift *float32, floor float32, sum, dot *float32) {
	m, g, s := sliceAt(mean, n), sliceAt(gain, n), sliceAt(shift, n)
	total, along := sliceAt(sum, n), sliceAt(dot, n)
	for r := range rows {
		grad := sliceAt(offset(dy, r*n), n)
		for j, v := range sliceAt(offset(x, r*n), n) {
			if normalized(v, m[j], g[j], s[j]) > floor {
				total[j] += grad[j]
				along[j] += float32(grad[j] * (v - m[j]))
			}
		}
	}
}

func genericBatchNormAddSums(rows, n int, x, dy, y, g, mean *float32, floor float32, sum, dot *float32) {
	m, total, along := sliceAt(mean, n), sliceAt(sum, n), sliceAt(dot, n)
	for r := range rows {
		in, grad, passed := sliceAt(offset(x, r*n), n), sliceAt(offset(dy, r*n), n), sliceAt(offset(g, r*n), n)
		for j, v := range sliceAt(offset(y, r*n), n) {
			passed[j] = 0
			if v > floor {
				passed[j] = grad[j]
			}
			total[j] += passed[j]
			along[j] += float32(passed[j] * (in[j] - m[j]))
		}
	}
}

func genericBatchNormGrad(rows, n int, x, dy, dx, mean, gain, shift *float32, floor float32, slope, offsets *float32) {
	m, g, s := sliceAt(mean, n), sliceAt(gain, n), sliceAt(shift, n)
	a, b := sliceAt(slope, n), sliceAt(offsets, n)
	for r := range rows {
		grad, out := sliceAt(offset(dy, r*n), n), sliceAt(offset(dx, r*n), n)
		for j, v := range sliceAt(offset(x, r*n), n) {
			var passed float32
			if normalized(v, m[j], g[j], s[j]) > floor {
				passed = grad[j]
			}
			out[j] = float32(g[j]*passed) + float32(float32(a[j]*(v-m[j]))+b[j])
		}
	}
}
