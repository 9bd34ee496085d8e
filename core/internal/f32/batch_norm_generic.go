package f32

import "unsafe"

// batchNormKernels are the inner loops of batch normalization of one level, on dense matrices
// [rows, n] and vectors [n]. With d = x[i][j] - mean[j], v is d*gain[j] + shift[j]; i < rows, j <
// n. Sums over the rows of one call are made in float32 and added to those in float64, which hold a
// multiple of 16 columns.
type batchNormKernels struct {
	// batchMoments adds Σ_i e to sum[j], Σ_i e² to square[j] with e = x[i][j] - pivot[j].
	batchMoments func(rows, n int, x, pivot *float32, sum, square *float64)
	// batchNorm is y[i][j] = max(v, floor), batchNormAdd y[i][j] = max(v + residual[i][j], floor).
	batchNorm    func(rows, n int, x, y, mean, gain, shift *float32, floor float32)
	batchNormAdd func(rows, n int, x, residual, y, mean, gain, shift *float32, floor float32)
	// batchNormSums is, with g = dy[i][j] where v > floor, else 0, adds Σ_i g to sum[j], Σ_i g*d to
	// dot[j].
	batchNormSums func(rows, n int, x, dy, mean, gain, shift *float32, floor float32, sum, dot *float64)
	// batchNormAddSums is batchNormSums with y in the place of v; it writes g[i][j].
	batchNormAddSums func(rows, n int, x, dy, y, g, mean *float32, floor float32, sum, dot *float64)
	// batchNormGrad is, with the g of batchNormSums, dx[i][j] = gain[j]*g + slope[j]*d + offset[j].
	batchNormGrad func(rows, n int, x, dy, dx, mean, gain, shift *float32, floor float32, slope, offset *float32)
}

var genericBatchNorm = batchNormKernels{
	batchMoments: genericBatchMoments, batchNorm: genericBatchNormForward, batchNormAdd: genericBatchNormAdd,
	batchNormSums: genericBatchNormSums, batchNormAddSums: genericBatchNormAddSums, batchNormGrad: genericBatchNormGrad,
}

func genericBatchMoments(rows, n int, x, pivot *float32, sum, square *float64) {
	for j, p := range sliceAt(pivot, n) {
		var s, q float32
		for r := range rows {
			d := *offset(x, r*n+j) - p
			s += d
			q += float32(d * d)
		}
		addSums(j, s, q, sum, square)
	}
}

// addSums adds two sums of column j.
func addSums(j int, s, q float32, sum, square *float64) {
	unsafe.Slice(sum, j+1)[j] += float64(s)
	unsafe.Slice(square, j+1)[j] += float64(q)
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

func genericBatchNormSums(rows, n int, x, dy, mean, gain, shift *float32, floor float32, sum, dot *float64) {
	m, g, s := sliceAt(mean, n), sliceAt(gain, n), sliceAt(shift, n)
	for j := range n {
		var total, along float32
		for r := range rows {
			v, grad := *offset(x, r*n+j), *offset(dy, r*n+j)
			if normalized(v, m[j], g[j], s[j]) > floor {
				total += grad
				along += float32(grad * (v - m[j]))
			}
		}
		addSums(j, total, along, sum, dot)
	}
}

func genericBatchNormAddSums(rows, n int, x, dy, y, g, mean *float32, floor float32, sum, dot *float64) {
	for j, m := range sliceAt(mean, n) {
		var total, along float32
		for r := range rows {
			at := r*n + j
			passed := float32(0)
			if *offset(y, at) > floor {
				passed = *offset(dy, at)
			}
			*offset(g, at) = passed
			total += passed
			along += float32(passed * (*offset(x, at) - m))
		}
		addSums(j, total, along, sum, dot)
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
