package f32

var tableAVX2 = table{
	level: AVX2,
	gemmKernels: gemmKernels{
		mr: 6, nr: 16, kc: 416, mc: 96, panelsFrom: 512,
		rowsA:   []tileFunc{nil, tileRows1xAVX2, tileRows2xAVX2, tileRows3xAVX2, tileRows4xAVX2, tileRows5xAVX2, tileRows6xAVX2},
		packedA: []tileFunc{nil, tilePacked1xAVX2, tilePacked2xAVX2, tilePacked3xAVX2, tilePacked4xAVX2, tilePacked5xAVX2, tilePacked6xAVX2},
		packCopy: func(k, width, n int, src *float32, ld int, dst *float32) {
			if width == 6 {
				packCopy6xAVX2(k, n, src, ld, dst)
			} else {
				packCopy16xAVX2(k, n, src, ld, dst)
			}
		},
		packTranspose: func(k, width, n int, src *float32, ld int, dst *float32) {
			if width == 6 && n == 6 && k >= 8 {
				transpose6xAVX2(k/8, src, ld, dst)
				if k%8 != 0 {
					transpose6xAVX2(1, offset(src, k-8), ld, offset(dst, (k-8)*6))
				}
				return
			}
			packTransposed(k, width, n, src, ld, dst, transpose8xAVX2)
		},
		packRows: func(rows, panels, width int, src *float32, ld int, dst *float32, panelStride int) {
			if width == 6 {
				packRows6xAVX2(rows, panels, src, ld, dst, panelStride)
			} else {
				packRows16xAVX2(rows, panels, src, ld, dst, panelStride)
			}
		},
		runRows: runRowsAVX2, runPacked: runPackedAVX2,
		tilePrefetch: tilePrefetchAVX2, tileAdd: tileAddAVX2, tileBias: tileBiasAVX2,
		tileGelu: tileGeluAVX2, tileTimes: tileTimesAVX2, tileResidual: tileResidualAVX2,
	},
	elementKernels: elementKernels{
		add: addAVX2, sub: subAVX2, mul: mulAVX2, mulAdd: mulAddAVX2, axpy: axpyAVX2, scale: scaleAVX2, lerp: lerpAVX2,
		relu: reluAVX2, reluGrad: reluGradAVX2, gelu: geluAVX2, geluGrad: geluGradAVX2, quickGelu: quickGeluAVX2, quickGeluGrad: quickGeluGradAVX2,
	},
	optimizerKernels: optimizerKernels{adamW: adamWAVX2, momentum: momentumAVX2},
	reduceKernels: reduceKernels{
		sum: sumAVX2, dot: dotAVX2, dot32: dot32AVX2, max: maxAVX2, finite: finiteAVX2, addRows: addRowsAVX2, addRowsMul: addRowsMulAVX2,
	},
	softmaxKernels:   softmaxKernels{expSum: expSumAVX2, expSumOnly: expSumOnlyAVX2, softmaxGrad: softmaxGradAVX2},
	layerNormKernels: layerNormKernels{norm: normAVX2, normGrad: normGradAVX2, normGradGain: normGradGainAVX2},
	convKernels: convKernels{
		copyRows: copyRowsAVX2, winogradInput: winogradInputAVX2, winogradOutput: winogradOutputAVX2, winogradOutputAdd: winogradOutputAddAVX2,
		winogradGrad: winogradGradAVX2, winogradWeight: winogradWeightAVX2, winogradWeightGrad: winogradWeightGradAVX2,
	},
	batchNormKernels: batchNormKernels{
		batchMoments: batchMomentsAVX2, batchNorm: batchNormAVX2, batchNormAdd: batchNormAddAVX2, batchNormSums: batchNormSumsAVX2,
		batchNormAddSums: batchNormAddSumsAVX2, batchNormGrad: batchNormGradAVX2,
	},
	maxPoolKernels: maxPoolKernels{maxPool: maxPoolAVX2, maxPoolGrad: maxPoolGradAVX2},
	attend:         attentionAVX2,
	peakKernels:    peakKernels{peak: peakAVX2, peakFlops: 384},
}

var tableAVX512 = table{
	level: AVX512,
	gemmKernels: gemmKernels{
		mr: 14, nr: 32, kc: 768, mc: 140, panelsFrom: 1024,
		rowsA:   []tileFunc{nil, tileRows1xAVX512, tileRows2xAVX512, tileRows3xAVX512, tileRows4xAVX512, tileRows5xAVX512, tileRows6xAVX512, tileRows7xAVX512, tileRows8xAVX512, tileRows9xAVX512, tileRows10xAVX512, tileRows11xAVX512, tileRows12xAVX512, tileRows13xAVX512, tileRows14xAVX512},
		packedA: []tileFunc{nil, tilePacked1xAVX512, tilePacked2xAVX512, tilePacked3xAVX512, tilePacked4xAVX512, tilePacked5xAVX512, tilePacked6xAVX512, tilePacked7xAVX512, tilePacked8xAVX512, tilePacked9xAVX512, tilePacked10xAVX512, tilePacked11xAVX512, tilePacked12xAVX512, tilePacked13xAVX512, tilePacked14xAVX512},
		packCopy: func(k, width, n int, src *float32, ld int, dst *float32) {
			if width == 14 {
				packCopy14xAVX512(k, n, src, ld, dst)
			} else {
				packCopy32xAVX512(k, n, src, ld, dst)
			}
		},
		packTranspose: func(k, width, n int, src *float32, ld int, dst *float32) {
			packTransposed(k, width, n, src, ld, dst, transpose8xAVX512)
		},
		packRows: func(rows, panels, width int, src *float32, ld int, dst *float32, panelStride int) {
			if width == 14 {
				packRows14xAVX512(rows, panels, src, ld, dst, panelStride)
			} else {
				packRows32xAVX512(rows, panels, src, ld, dst, panelStride)
			}
		},
		runRows: runRowsAVX512, runPacked: runPackedAVX512,
		tilePrefetch: tilePrefetchAVX512, tileAdd: tileAddAVX512, tileBias: tileBiasAVX512,
		tileGelu: tileGeluAVX512, tileTimes: tileTimesAVX512, tileResidual: tileResidualAVX512,
	},
	elementKernels: elementKernels{
		add: addAVX512, sub: subAVX512, mul: mulAVX512, mulAdd: mulAddAVX512, axpy: axpyAVX512, scale: scaleAVX512, lerp: lerpAVX512,
		relu: reluAVX512, reluGrad: reluGradAVX512, gelu: geluAVX512, geluGrad: geluGradAVX512, quickGelu: quickGeluAVX512, quickGeluGrad: quickGeluGradAVX512,
	},
	optimizerKernels: optimizerKernels{adamW: adamWAVX512, momentum: momentumAVX512},
	reduceKernels: reduceKernels{
		sum: sumAVX512, dot: dotAVX512, dot32: dot32AVX512, max: maxAVX512, finite: finiteAVX512, addRows: addRowsAVX512, addRowsMul: addRowsMulAVX512,
	},
	softmaxKernels:   softmaxKernels{expSum: expSumAVX512, expSumOnly: expSumOnlyAVX512, softmaxGrad: softmaxGradAVX512},
	layerNormKernels: layerNormKernels{norm: normAVX512, normGrad: normGradAVX512, normGradGain: normGradGainAVX512},
	convKernels: convKernels{
		copyRows: copyRowsAVX512, winogradInput: winogradInputAVX512, winogradOutput: winogradOutputAVX512, winogradOutputAdd: winogradOutputAddAVX512,
		winogradGrad: winogradGradAVX512, winogradWeight: winogradWeightAVX512, winogradWeightGrad: winogradWeightGradAVX512,
	},
	batchNormKernels: batchNormKernels{
		batchMoments: batchMomentsAVX512, batchNorm: batchNormAVX512, batchNormAdd: batchNormAddAVX512, batchNormSums: batchNormSumsAVX512,
		batchNormAddSums: batchNormAddSumsAVX512, batchNormGrad: batchNormGradAVX512,
	},
	maxPoolKernels: maxPoolKernels{maxPool: maxPoolAVX512, maxPoolGrad: maxPoolGradAVX512},
	attend:         attentionAVX512,
	peakKernels:    peakKernels{peak: peakAVX512, peakFlops: 1536},
}

// packTransposed packs n rows of k floats as the columns of dst [k][width] in blocks of 8×8:
// dst[l*width+r] = src[r*ld+l]. A remainder is covered by blocks that overlap the last whole ones.
func packTransposed(k, width, n int, src *float32, ld int, dst *float32, transpose func(blocks int, src *float32, ld int, dst *float32, width int)) {
	if n < width {
		clear(sliceAt(dst, k*width))
	}
	if n < 8 || k < 8 {
		d := sliceAt(dst, k*width)
		for r := range n {
			for l, v := range sliceAt(offset(src, r*ld), k) {
				d[l*width+r] = v
			}
		}
		return
	}
	for r := 0; r < n; r += 8 {
		r := min(r, n-8)
		transpose(k/8, offset(src, r*ld), ld, offset(dst, r), width)
		if k%8 != 0 {
			transpose(1, offset(src, r*ld+k-8), ld, offset(dst, (k-8)*width+r), width)
		}
	}
}

var attentionAVX2 = attentionKernels{
	strided: stridedAVX2, softmax: attentionSoftmaxAVX2, gradient: attentionGradAVX2, rowDots: rowDotsAVX2, scaleRows: scaleRowsAVX2,
	transposeRows: func(n, k int, src *float32, ld int, dst *float32) {
		if k < 8 {
			transposeInto(16, n, k, src, ld, dst)
		} else {
			transposeRowsAVX2(n, k, src, ld, dst)
		}
	},
}

var attentionAVX512 = attentionKernels{
	strided: stridedAVX512, softmax: attentionSoftmaxAVX512, gradient: attentionGradAVX512, rowDots: rowDotsAVX512, scaleRows: scaleRowsAVX512,
	transposeRows: func(n, k int, src *float32, ld int, dst *float32) {
		if k < 8 {
			transposeInto(32, n, k, src, ld, dst)
		} else {
			transposeRowsAVX512(n, k, src, ld, dst)
		}
	},
}
