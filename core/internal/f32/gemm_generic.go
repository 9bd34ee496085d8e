package f32

// gemmKernels are the inner loops of the matrix product of one level. A tile, computed by a
// micro-kernel, is mr×nr elements of C; panels of A are [k][mr], panels of B [k][nr].
type gemmKernels struct {
	mr, nr int
	kc     int // longest run of k summed in registers
	mc     int // rows of A that stay in cache during the loop over the panels of B
	// panelsFrom is the number of columns of B from which on panels of A repay their packing.
	panelsFrom int

	rowsA, packedA     []tileFunc // by number of rows, 1..mr: A read in place, or from a panel
	runRows, runPacked runFunc
	packTranspose      packFunc // panel from rows: dst[l*width+r] = src[r*ld+l], r < n, l < k
	packCopy           packFunc // panel from columns: dst[l*width+r] = src[l*ld+r], r < n, l < k
	packRows           packRowsFunc

	// tilePrefetch reads ahead rows×nr values at p, the operand of an epilogue.
	tilePrefetch func(rows int, p *float32, ld int)
	// The epilogues of a tile: acc [rows, n] are the sums, c [rows, n] receives the result; vectors
	// over columns are [n], rowScale is [rows], other matrices are [rows, n].
	tileAdd      tileAddFunc
	tileBias     tileBiasFunc
	tileGelu     tileGeluFunc
	tileTimes    tileTimesFunc
	tileResidual tileResidualFunc
}

type (
	// tileFunc is the micro-kernel, for m rows of A, at a + i*lda in rowsA, at a + i in the panel
	// of packedA (lda is ignored), and a panel b:
	//
	//	for i := range m {
	//		for j := range nr {
	//			c[i*ldc+j] (+)= Σ_l a[i][l] * b[l*nr+j]
	//		}
	//	}
	//
	// It adds to c unless accumulate is 0. It reads ahead from next, which points into a panel, a
	// cache line every four products.
	tileFunc func(k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, next *float32)
	// runFunc is tileFunc for strips whole tiles below each other, mr rows each. In runPacked lda
	// is the stride between their panels.
	runFunc func(strips, k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, next *float32)
	// packFunc packs n ≤ width columns into the panel dst [k][width]; columns from n on become
	// zero.
	packFunc func(k, width, n int, src *float32, ld int, dst *float32)
	// packRowsFunc packs panels·width columns of rows into panels [rows][width], panelStride floats
	// from one to the next: dst[p*panelStride+l*width+r] = src[l*ld+p*width+r].
	packRowsFunc func(rows, panels, width int, src *float32, ld int, dst *float32, panelStride int)

	// tileAddFunc is c[i][j] += acc[i][j].
	tileAddFunc func(rows, n int, acc *float32, ldacc int, c *float32, ldc int)
	// tileBiasFunc is c[i][j] = acc[i][j] + bias[j].
	tileBiasFunc func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias *float32)
	// tileGeluFunc is, with x = acc[i][j] + bias[j], c[i][j] = gelu(x), slope[i][j] = gelu'(x).
	tileGeluFunc func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, slope *float32, ldslope int)
	// tileTimesFunc is c[i][j] = acc[i][j] * factor[i][j].
	tileTimesFunc func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, factor *float32, ldfactor int)
	// tileResidualFunc is c[i][j] = residual[i][j] + rowScale[i]*gamma[j]*(acc[i][j]+bias[j]).
	tileResidualFunc func(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, gamma, rowScale, residual *float32, ldres int)
)

// Products are rounded before they are added (no fused multiply-add): the generic level gives the
// same bits on every processor.

const (
	genericMR = 4
	genericNR = 4
)

var genericGemm = gemmKernels{
	mr: genericMR, nr: genericNR, kc: 512, mc: 64, panelsFrom: 512,
	rowsA: genericTiles(inRows), packedA: genericTiles(inPanels),
	runRows: genericRun(inRows), runPacked: genericRun(inPanels),
	packCopy: genericPackCopy, packTranspose: genericPackTranspose, packRows: genericPackRows,
	tilePrefetch: func(int, *float32, int) {}, tileAdd: genericTileAdd, tileBias: genericTileBias,
	tileGelu: genericTileGelu, tileTimes: genericTileTimes, tileResidual: genericTileResidual,
}

// genericTiles returns the micro-kernels of 1..genericMR rows.
func genericTiles(layout operandLayout) []tileFunc {
	tiles := make([]tileFunc, genericMR+1)
	for m := 1; m <= genericMR; m++ {
		tiles[m] = func(k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, _ *float32) {
			var acc [genericMR][genericNR]float32
			bs := sliceAt(b, k*genericNR)
			row, col := lda, 1
			if layout == inPanels {
				row, col = 1, genericMR
			}
			as := sliceAt(a, (m-1)*row+(k-1)*col+1)
			for r := 0; r < m; r++ {
				var c0, c1, c2, c3 float32
				at := r * row
				for l := 0; l < len(bs); l += genericNR {
					x := as[at]
					at += col
					q := bs[l : l+genericNR : l+genericNR]
					c0 += float32(x * q[0])
					c1 += float32(x * q[1])
					c2 += float32(x * q[2])
					c3 += float32(x * q[3])
				}
				acc[r] = [genericNR]float32{c0, c1, c2, c3}
			}
			for r := 0; r < m; r++ {
				out := sliceAt(offset(c, r*ldc), genericNR)
				for j, v := range acc[r] {
					if accumulate != 0 {
						v += out[j]
					}
					out[j] = v
				}
			}
		}
	}
	return tiles
}

// genericRun returns the loop over whole tiles below each other.
func genericRun(layout operandLayout) runFunc {
	tile := genericTiles(layout)[genericMR]
	return func(strips, k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, next *float32) {
		step := genericMR
		if layout == inRows {
			step *= lda
		} else {
			step = lda
		}
		for s := range strips {
			tile(k, offset(a, s*step), lda, b, offset(c, s*genericMR*ldc), ldc, accumulate, next)
		}
	}
}

func genericPackCopy(k, width, n int, src *float32, ld int, dst *float32) {
	for l := range k {
		d := sliceAt(offset(dst, l*width), width)
		copy(d, sliceAt(offset(src, l*ld), n))
		clear(d[n:])
	}
}

func genericPackRows(rows, panels, width int, src *float32, ld int, dst *float32, panelStride int) {
	for i := range panels {
		genericPackCopy(rows, width, width, offset(src, i*width), ld, offset(dst, i*panelStride))
	}
}

func genericPackTranspose(k, width, n int, src *float32, ld int, dst *float32) {
	d := sliceAt(dst, k*width)
	for r := range n {
		for l, v := range sliceAt(offset(src, r*ld), k) {
			d[l*width+r] = v
		}
	}
	for r := n; r < width; r++ {
		for l := range k {
			d[l*width+r] = 0
		}
	}
}

func genericTileAdd(rows, n int, acc *float32, ldacc int, c *float32, ldc int) {
	for r := range rows {
		genericAdd(mat{c, ldc}.row(r, n), mat{c, ldc}.row(r, n), mat{acc, ldacc}.row(r, n))
	}
}

func genericTileBias(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias *float32) {
	for r := range rows {
		genericAdd(mat{c, ldc}.row(r, n), mat{acc, ldacc}.row(r, n), sliceAt(bias, n))
	}
}

func genericTileGelu(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, slope *float32, ldslope int) {
	for r := range rows {
		y, dy := mat{c, ldc}.row(r, n), mat{slope, ldslope}.row(r, n)
		genericAdd(y, mat{acc, ldacc}.row(r, n), sliceAt(bias, n))
		for i, v := range y {
			dy[i] = genericGeluSlope(float64(v))
		}
		genericGelu(y, y)
	}
}

func genericTileTimes(rows, n int, acc *float32, ldacc int, c *float32, ldc int, factor *float32, ldfactor int) {
	for r := range rows {
		genericMul(mat{c, ldc}.row(r, n), mat{acc, ldacc}.row(r, n), mat{factor, ldfactor}.row(r, n))
	}
}

func genericTileResidual(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, gamma, rowScale, residual *float32, ldres int) {
	b, g, s := sliceAt(bias, n), sliceAt(gamma, n), sliceAt(rowScale, rows)
	for r := range rows {
		x, y := mat{acc, ldacc}.row(r, n), mat{c, ldc}.row(r, n)
		res := mat{residual, ldres}.row(r, n)
		for i, v := range x {
			y[i] = res[i] + float32(float32(s[r]*g[i])*(v+b[i]))
		}
	}
}
