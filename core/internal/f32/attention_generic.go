package f32

import "math"

// attentionKernels are the inner loops of attention of one level. Each does a whole block of
// queries by keys in one call; rows and n are at least 1. In the formulas i runs over rows, j over
// columns.
type attentionKernels struct {
	strided stridedFunc
	// transposeRows packs n rows of k floats as columns of panels [n/nr][k][nr],
	// dst[i/nr*k*nr+l*nr+i%nr] = src[i*ld+l]; columns of the last panel beyond n are undefined.
	transposeRows func(n, k int, src *float32, ld int, dst *float32)
	softmax       attentionSoftmaxFunc
	gradient      attentionGradFunc
	// rowDots is out[i] = Σ_j x[i*ldx+j]*y[i*ldy+j].
	rowDots func(rows, n int, x *float32, ldx int, y *float32, ldy int, out *float32)
	// scaleRows is c[i*ldc+j] *= factor[i].
	scaleRows func(rows, n int, c *float32, ldc int, factor *float32)
}

type (
	// stridedFunc is the product of small matrices, the left one at any strides:
	//
	//	for i := range m {
	//		for j := range n {
	//			c[i*ldc+j] (+)= Σ_l a[i*rowA+l*colA] * b[j/nr*panelB+l*rowB+j%nr]
	//		}
	//	}
	stridedFunc func(m, n, k int, a *float32, rowA, colA int, b *float32, rowB, panelB int, c *float32, ldc int, accumulate int)
	// attentionSoftmaxFunc is the online softmax of a block of scores s [rows, n], one block of
	// keys after the other:
	//
	//	for i := range rows {
	//		x := scale*s[i] + bias[i] // first seen+i*seenStep elements only; bias nil: none
	//		top := max(x), and peak[i] unless this is the first block
	//		keep[i] = exp(peak[i] - top) // factor of the sums of earlier blocks
	//		s[i] = exp(x - top), 0 for the elements not seen
	//		sum[i] = keep[i]*sum[i] + Σ_j s[i][j]
	//		peak[i] = top
	//	}
	//
	// Rows of s have space for whole vectors.
	attentionSoftmaxFunc func(rows, n int, s *float32, ld int, scale float32, bias *float32, ldbias int, seen, seenStep int, peak, sum, keep *float32, first int)
	// attentionGradFunc is the gradient of the softmax of a block of scores s [rows, n], given that
	// of the weights in dp [rows, n]:
	//
	//	for i := range rows {
	//		s[i] = exp(scale*s[i] + bias[i] - peak[i]) * inverse[i] // 0 for the elements not seen
	//		g := s[i] * (dp[i] - delta[i])
	//		dbias[i] += g // unless nil
	//		dp[i] = scale * g
	//	}
	attentionGradFunc func(rows, n int, s, dp *float32, ld int, scale float32, bias *float32, ldbias int, dbias *float32, lddbias int, seen, seenStep int, peak, inverse, delta *float32)
)

// blockSoftmax calls softmax on the scores s of block b.
func (k *attentionKernels) blockSoftmax(b *scoreBlock, s, peak, sum, keep *float32, first bool) {
	k.softmax(b.rows, b.n, s, b.ld, b.scale, b.bias.p, b.bias.ld, b.seen, b.seenStep, peak, sum, keep, btoi(first))
}

// blockGradient calls gradient on the scores s of block b.
func (k *attentionKernels) blockGradient(b *scoreBlock, s, dp *float32, dbias mat, peak, inverse, delta *float32) {
	k.gradient(b.rows, b.n, s, dp, b.ld, b.scale, b.bias.p, b.bias.ld, dbias.p, dbias.ld, b.seen, b.seenStep, peak, inverse, delta)
}

var genericAttention = attentionKernels{
	strided: genericStrided, transposeRows: genericTransposeRows, softmax: genericAttentionSoftmax,
	gradient: genericAttentionGrad, rowDots: genericRowDots, scaleRows: genericScaleRows,
}

func genericStrided(m, n, k int, a *float32, rowA, colA int, b *float32, rowB, panelB int, c *float32, ldc int, accumulate int) {
	as := sliceAt(a, (m-1)*rowA+(k-1)*colA+1)
	for j := 0; j < n; j += genericNR {
		width := min(genericNR, n-j)
		bs := sliceAt(offset(b, j/genericNR*panelB), (k-1)*rowB+width)
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
			out := sliceAt(offset(c, i*ldc+j), width)
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
	d := sliceAt(dst, ceilDiv(n, nr)*k*nr)
	for r := range n {
		at := r/nr*k*nr + r%nr
		for l, v := range sliceAt(offset(src, r*ld), k) {
			d[at+l*nr] = v
		}
	}
}

// biasedScores is s[j] = scale*s[j] + bias[j]; bias may be nil.
func biasedScores(s []float32, scale float32, bias *float32) {
	genericScale(s, scale, s)
	if bias != nil {
		genericAdd(s, s, sliceAt(bias, len(s)))
	}
}

func biasRow(bias *float32, i, ld int) *float32 {
	if bias == nil {
		return nil
	}
	return offset(bias, i*ld)
}

func genericAttentionSoftmax(rows, n int, s *float32, ld int, scale float32, bias *float32, ldbias int, seen, seenStep int, peak, sum, keep *float32, first int) {
	peaks, sums, keeps := sliceAt(peak, rows), sliceAt(sum, rows), sliceAt(keep, rows)
	for i := range rows {
		row := mat{s, ld}.row(i, n)
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
	peaks, inverses, deltas := sliceAt(peak, rows), sliceAt(inverse, rows), sliceAt(delta, rows)
	for i := range rows {
		p, d := mat{s, ld}.row(i, n), mat{dp, ld}.row(i, n)
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
			into := mat{dbias, lddbias}.row(i, c)
			genericAdd(into, into, d)
		}
		genericScale(d, scale, d)
	}
}

func genericRowDots(rows, n int, x *float32, ldx int, y *float32, ldy int, out *float32) {
	for i := range rows {
		*offset(out, i) = genericDot32(mat{x, ldx}.row(i, n), mat{y, ldy}.row(i, n))
	}
}

func genericScaleRows(rows, n int, c *float32, ldc int, factor *float32) {
	for i := range rows {
		row := mat{c, ldc}.row(i, n)
		genericScale(row, *offset(factor, i), row)
	}
}
