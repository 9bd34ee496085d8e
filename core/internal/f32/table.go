package f32

// table holds the inner loops of one level. The drivers around them are the
// same Go code at every level.
//
// Slices given to one entry have equal length unless stated; destination and
// source may be the same slice, never partly overlapping ones.
type table struct {
	level Level

	// Matrix product. A tile is mr×nr of C; panels of B are [k][nr], panels of A
	// [k][mr]. kc is the longest run of k summed in registers, mc the rows of A
	// that stay in cache while the panels of B go by. From panelsFrom columns of B on, panels
	// of A repay what it costs to make them.
	mr, nr, kc, mc int
	panelsFrom     int
	// Tiles by number of rows, 1..mr: A read in place, or from panels.
	rowsA, packedA []tileFunc
	// The same for several whole tiles below each other.
	runRows, runPacked runFunc
	packTranspose      func(k, width, n int, src *float32, ld int, dst *float32)
	// Rows of the last panel, which is not whole, and of several whole panels that lie apart
	// floats behind each other.
	packCopy func(k, width, n int, src *float32, ld int, dst *float32)
	packRows func(rows, panels, width int, src *float32, ld int, dst *float32, apart int)

	// Reading ahead of rows×nr values that an epilogue is about to use.
	tilePrefetch func(rows int, p *float32, ld int)
	// Epilogues of a tile of rows×n: source acc, destination c.
	tileAdd      func(rows, n int, acc *float32, ldacc int, c *float32, ldc int) // c += acc
	tileBias     func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias *float32)
	tileGelu     func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, slope *float32, ldslope int)
	tileTimes    func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, factor *float32, ldfactor int)
	tileResidual func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, gamma, rowScale, residual *float32, ldres int)

	// Elementwise.
	add           func(dst, a, b []float32)
	sub           func(dst, a, b []float32)
	mul           func(dst, a, b []float32)
	mulAdd        func(dst, a, b []float32) // dst += a*b
	axpy          func(dst []float32, alpha float32, x []float32)
	scale         func(dst []float32, alpha float32, x []float32)
	lerp          func(dst, src []float32, keep, take float32) // dst = keep*dst + take*src
	relu          func(y, x []float32)
	reluGrad      func(dx, x, dy []float32)
	gelu          func(y, x []float32)
	geluGrad      func(dx, x, dy []float32)
	quickGelu     func(y, x []float32)
	quickGeluGrad func(dx, x, dy []float32)
	adamW         func(param, grad, m, v []float32, c *[8]float32) // constants as in AdamW
	momentum      func(param, grad, buf []float32, c *[8]float32)  // constants as in MomentumStep

	// Reductions over one slice.
	sum        func(x []float32) float64
	dot        func(x, y []float32) float64
	dot32      func(x, y []float32) float32
	max        func(x []float32) float32
	finite     func(x []float32) bool
	addRows    func(rows, n int, x *float32, ld int, acc *float32)                       // acc += column sums
	addRowsMul func(rows, n int, x *float32, ldx int, y *float32, ldy int, acc *float32) // acc += column sums of x*y

	// Rows.
	expSum       func(y, x []float32, scale, shift float32) float32 // y = exp(scale*x - shift), returns its sum
	expSumOnly   func(x []float32, scale, shift float32) float32
	softmaxGrad  func(ds, p, dp []float32, delta, scale float32) // ds = p*(dp-delta)*scale
	norm         func(y, x, gamma, beta []float32, eps float32) (mean, rstd float32)
	normGrad     func(dx, x, gamma, dy []float32, mean, rstd float32, add bool)
	normGradGain func(dgamma, dbeta, x, dy []float32, mean, rstd float32)

	attend attentionKernels

	peak func(n int) // n rounds of peakFlops floating-point operations
	// peakFlops is what one round of peak performs.
	peakFlops int
}

// tileFunc computes c (+)= a·b for one tile. With rowsA, a lies in a matrix with leading
// dimension lda; with packedA it is a panel and lda is ignored. next is read ahead into
// cache, a line for every four products, and must point into a packed panel.
type tileFunc func(k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, next *float32)

// runFunc is a tileFunc for strips whole tiles, each mr rows below the one
// before. With runPacked, lda is the distance between their panels.
type runFunc func(strips, k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, next *float32)
