package f32

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
