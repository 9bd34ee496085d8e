package f32

import (
	"math"
	"unsafe"
)

// attentionKernels are the inner loops of attention. Each does a whole block of
// queries by keys in one call; rows and n are at least 1.
type attentionKernels struct {
	// strided is c[i][j] (+)= Σ_l a[i·rowA+l·colA]·b[j/nr·panelB+l·rowB+j%nr].
	strided func(m, n, k int, a *float32, rowA, colA int, b *float32, rowB, panelB int, c *float32, ldc int, accumulate int)
	// transposeRows packs n rows of k floats as columns of panels [n/nr][k][nr];
	// what the last panel has beyond n is undefined.
	transposeRows func(n, k int, src *float32, ld int, dst *float32)
	// softmax is s = exp(x - peak) row by row with x = scale·s + bias (nil: none),
	// 0 for keys that a row does not see: row i sees the first seen + i·seenStep.
	// peak and sum are those of x and its exponentials over all blocks of keys so
	// far, of which this is the first or a later one; keep is what sums of earlier
	// blocks are to be multiplied by. Rows have room for whole vectors.
	softmax func(rows, n int, s *float32, ld int, scale float32, bias *float32, ldbias int, seen, seenStep int, peak, sum, keep *float32, first int)
	// gradient is, row by row, s = p = exp(scale·s + bias - peak)·inverse and
	// dp = scale·p·(dp - delta), both 0 for keys that a row does not see. bias may
	// be nil; so may dbias, to which p·(dp - delta) is added.
	gradient func(rows, n int, s, dp *float32, ld int, scale float32, bias *float32, ldbias int, dbias *float32, lddbias int, seen, seenStep int, peak, inverse, delta *float32)
	// rowDots is out[i] = Σ_j x[i][j]·y[i][j].
	rowDots func(rows, n int, x *float32, ldx int, y *float32, ldy int, out *float32)
	// scaleRows is c[i][j] *= factor[i].
	scaleRows func(rows, n int, c *float32, ldc int, factor *float32)
}

var genericAttention = attentionKernels{
	strided: genericStrided, transposeRows: genericTransposeRows, softmax: genericAttentionSoftmax,
	gradient: genericAttentionGrad, rowDots: genericRowDots, scaleRows: genericScaleRows,
}

func genericStrided(m, n, k int, a *float32, rowA, colA int, b *float32, rowB, panelB int, c *float32, ldc int, accumulate int) {
	as := unsafe.Slice(a, (m-1)*rowA+(k-1)*colA+1)
	for j := 0; j < n; j += genericNR {
		width := min(genericNR, n-j)
		bs := unsafe.Slice(offset(b, j/genericNR*panelB), (k-1)*rowB+width)
		for i := range m {
			var acc [genericNR]float32
			at, row := i*rowA, 0
			if width == genericNR {
				var c0, c1, c2, c3 float32
				for range k {
					x, q := as[at], bs[row:row+genericNR:row+genericNR]
					c0 += float32(x * q[0])
					c1 += float32(x * q[1])
					c2 += float32(x * q[2])
					c3 += float32(x * q[3])
					at, row = at+colA, row+rowB
				}
				acc = [genericNR]float32{c0, c1, c2, c3}
			} else {
				for range k {
					for x, q := range bs[row : row+width] {
						acc[x] += float32(as[at] * q)
					}
					at, row = at+colA, row+rowB
				}
			}
			out := unsafe.Slice(offset(c, i*ldc+j), width)
			for x, v := range acc[:width] {
				if accumulate != 0 {
					v += out[x]
				}
				out[x] = v
			}
		}
	}
}

func genericTransposeRows(n, k int, src *float32, ld int, dst *float32) {
	transposeInto(genericNR, n, k, src, ld, dst)
}

// transposeInto is transposeRows for panels of nr columns.
func transposeInto(nr, n, k int, src *float32, ld int, dst *float32) {
	d := unsafe.Slice(dst, ceilDiv(n, nr)*k*nr)
	for r := range n {
		at := r/nr*k*nr + r%nr
		for l, v := range unsafe.Slice(offset(src, r*ld), k) {
			d[at+l*nr] = v
		}
	}
}

// biasedScores is s = scale·s + bias; bias may be nil.
func biasedScores(s []float32, scale float32, bias *float32) {
	genericScale(s, scale, s)
	if bias != nil {
		genericAdd(s, s, unsafe.Slice(bias, len(s)))
	}
}

func rowOf(p *float32, i, ld, n int) []float32 { return unsafe.Slice(offset(p, i*ld), n) }

func biasRow(bias *float32, i, ld int) *float32 {
	if bias == nil {
		return nil
	}
	return offset(bias, i*ld)
}

func genericAttentionSoftmax(rows, n int, s *float32, ld int, scale float32, bias *float32, ldbias int, seen, seenStep int, peak, sum, keep *float32, first int) {
	peaks, sums, keeps := unsafe.Slice(peak, rows), unsafe.Slice(sum, rows), unsafe.Slice(keep, rows)
	for i := range rows {
		row := rowOf(s, i, ld, n)
		c := min(n, max(0, seen+i*seenStep))
		clear(row[c:])
		if row = row[:c]; c == 0 {
			keeps[i] = 1
			continue
		}
		biasedScores(row, scale, biasRow(bias, i, ldbias))
		shift, before := genericMax(row), float32(0)
		if first == 0 {
			shift = max(shift, peaks[i])
			keeps[i] = float32(math.Exp(float64(peaks[i]) - float64(shift)))
			before = sums[i] * keeps[i]
		}
		peaks[i], sums[i] = shift, before+genericExpSum(row, row, 1, shift)
	}
}

func genericAttentionGrad(rows, n int, s, dp *float32, ld int, scale float32, bias *float32, ldbias int, dbias *float32, lddbias int, seen, seenStep int, peak, inverse, delta *float32) {
	peaks, inverses, deltas := unsafe.Slice(peak, rows), unsafe.Slice(inverse, rows), unsafe.Slice(delta, rows)
	for i := range rows {
		p, d := rowOf(s, i, ld, n), rowOf(dp, i, ld, n)
		c := min(n, max(0, seen+i*seenStep))
		clear(p[c:])
		clear(d[c:])
		if p, d = p[:c], d[:c]; c == 0 {
			continue
		}
		biasedScores(p, scale, biasRow(bias, i, ldbias))
		genericExpSum(p, p, 1, peaks[i])
		genericScale(p, inverses[i], p)
		genericSoftmaxGrad(d, p, d, deltas[i], 1)
		if dbias != nil {
			into := rowOf(dbias, i, lddbias, c)
			genericAdd(into, into, d)
		}
		genericScale(d, scale, d)
	}
}

func genericRowDots(rows, n int, x *float32, ldx int, y *float32, ldy int, out *float32) {
	for i := range rows {
		*offset(out, i) = genericDot32(rowOf(x, i, ldx, n), rowOf(y, i, ldy, n))
	}
}

func genericScaleRows(rows, n int, c *float32, ldc int, factor *float32) {
	for i := range rows {
		row := rowOf(c, i, ldc, n)
		genericScale(row, *offset(factor, i), row)
	}
}
