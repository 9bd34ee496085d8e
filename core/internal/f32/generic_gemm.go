package f32

import "unsafe"

// Products are rounded before they are added (no fused multiply-add), so the
// generic level gives the same bits on every processor.

const (
	genericMR = 4
	genericNR = 4
)

// genericTiles returns the tile functions for 1..genericMR rows.
func genericTiles(layout operandLayout) []tileFunc {
	tiles := make([]tileFunc, genericMR+1)
	for m := 1; m <= genericMR; m++ {
		tiles[m] = func(k int, a *float32, lda int, b *float32, c *float32, ldc int, accumulate int, _ *float32) {
			var acc [genericMR][genericNR]float32
			bs := unsafe.Slice(b, k*genericNR)
			row, col := lda, 1
			if layout == inPanels {
				row, col = 1, genericMR
			}
			as := unsafe.Slice(a, (m-1)*row+(k-1)*col+1)
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
				out := unsafe.Slice(offset(c, r*ldc), genericNR)
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

// genericRun returns the tile function of whole tiles below each other.
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
		d := unsafe.Slice(offset(dst, l*width), width)
		copy(d, unsafe.Slice(offset(src, l*ld), n))
		clear(d[n:])
	}
}

func genericPackRows(rows, panels, width int, src *float32, ld int, dst *float32, apart int) {
	for i := range panels {
		genericPackCopy(rows, width, width, offset(src, i*width), ld, offset(dst, i*apart))
	}
}

func genericPackTranspose(k, width, n int, src *float32, ld int, dst *float32) {
	d := unsafe.Slice(dst, k*width)
	for r := range n {
		for l, v := range unsafe.Slice(offset(src, r*ld), k) {
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
		genericAdd(unsafe.Slice(offset(c, r*ldc), n), unsafe.Slice(offset(c, r*ldc), n), unsafe.Slice(offset(acc, r*ldacc), n))
	}
}

func genericTileBias(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias *float32) {
	for r := range rows {
		genericAdd(unsafe.Slice(offset(c, r*ldc), n), unsafe.Slice(offset(acc, r*ldacc), n), unsafe.Slice(bias, n))
	}
}

func genericTileGelu(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, slope *float32, ldslope int) {
	for r := range rows {
		y, dy := unsafe.Slice(offset(c, r*ldc), n), unsafe.Slice(offset(slope, r*ldslope), n)
		genericAdd(y, unsafe.Slice(offset(acc, r*ldacc), n), unsafe.Slice(bias, n))
		for i, v := range y {
			dy[i] = genericGeluSlope(float64(v))
		}
		genericGelu(y, y)
	}
}

func genericTileTimes(rows, n int, acc *float32, ldacc int, c *float32, ldc int, factor *float32, ldfactor int) {
	for r := range rows {
		genericMul(unsafe.Slice(offset(c, r*ldc), n), unsafe.Slice(offset(acc, r*ldacc), n), unsafe.Slice(offset(factor, r*ldfactor), n))
	}
}

func genericTileResidual(rows, n int, acc *float32, ldacc int, c *float32, ldc int, bias, gamma, rowScale, residual *float32, ldres int) {
	b, g, s := unsafe.Slice(bias, n), unsafe.Slice(gamma, n), unsafe.Slice(rowScale, rows)
	for r := range rows {
		x, y := unsafe.Slice(offset(acc, r*ldacc), n), unsafe.Slice(offset(c, r*ldc), n)
		res := unsafe.Slice(offset(residual, r*ldres), n)
		for i, v := range x {
			y[i] = res[i] + float32(float32(s[r]*g[i])*(v+b[i]))
		}
	}
}
