package f32

// table holds the inner loops of one level. The drivers around them are the same Go code at every
// level. Slices given to one kernel have equal length unless stated; the destination may be one of
// the sources but must not partly overlap one. Kernels that take addresses do so for the assembler:
// a matrix is then its first element p and its leading dimension ld. Assembly dictates that the
// arguments of these functions are positional; the drivers, which others call, take structs.
type table struct {
	level Level
	gemmKernels
	elementKernels
	optimizerKernels
	reduceKernels
	softmaxKernels
	layerNormKernels
	convKernels
	batchNormKernels
	maxPoolKernels
	attend attentionKernels
	peakKernels
}

// genericTable is the portable level, the reference for all others.
var genericTable = table{
	level: Generic, gemmKernels: genericGemm, elementKernels: genericElement, optimizerKernels: genericOptimizer,
	reduceKernels: genericReduce, softmaxKernels: genericSoftmax, layerNormKernels: genericLayerNorm, convKernels: genericConv,
	batchNormKernels: genericBatchNorm, maxPoolKernels: genericMaxPool,
	attend: genericAttention, peakKernels: peakKernels{peak: genericPeak, peakFlops: 16},
}
