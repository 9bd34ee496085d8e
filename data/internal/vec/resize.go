package vec

// Precision is the number of fraction bits of a weight, as in Pillow's resizing. Sums are 32 bits
// wide and start at one half.
const Precision = 22

// lowBits is the number of bits in the low part of a weight, for the horizontal pass.
const lowBits = 15

// Vertical is the vertical pass of a resize,
//
//	out[x] = Σ_i weights[i] * rows[i*stride+x] / 2^Precision
//
// for x < len(out) and i < len(weights), which is at least 1; rounded and limited to 0..255.
func Vertical(out, rows []uint8, stride int, weights []int32) {
	n := len(out)
	_ = rows[(len(weights)-1)*stride+n-1]
	if !assembly || n < 32 {
		vertical(out, rows, stride, weights)
		return
	}
	verticalAVX2(&out[0], &rows[0], stride, &weights[0], len(weights), n&^31)
	if n&31 != 0 { // the last 32, some of them twice
		i := n - 32
		verticalAVX2(&out[i], &rows[i], stride, &weights[0], len(weights), 32)
	}
}

func vertical(out, rows []uint8, stride int, weights []int32) {
	for x := range out {
		sum := int32(1 << (Precision - 1))
		for i, w := range weights {
			sum += w * int32(rows[i*stride+x])
		}
		out[x] = Clamp(sum >> Precision)
	}
}

// Taps are the weights of the horizontal pass over rows of RGB: output pixel o is the weighted sum
// of 4*Groups input pixels from byte First[o] on. Unused weights are zero.
type Taps struct {
	Groups    int
	First     []int32 // [outputs]
	Low, High []int16 // [outputs, 4*Groups], the lowest 15 bits of the weights, and the rest
}

// Reset prepares t for outputs pixels of at most width weights each.
func (t *Taps) Reset(outputs, width int) {
	t.Groups = (width + 3) / 4
	n := 4 * t.Groups * outputs
	if cap(t.First) < outputs {
		t.First = make([]int32, outputs)
	}
	if cap(t.Low) < n {
		t.Low, t.High = make([]int16, n), make([]int16, n)
	}
	t.First, t.Low, t.High = t.First[:outputs], t.Low[:n], t.High[:n]
	clear(t.Low)
	clear(t.High)
}

// Set gives output o the weights of the input pixels from first on.
func (t *Taps) Set(o, first int, weights []int64) {
	t.First[o] = int32(3 * first)
	for i, w := range weights {
		t.Low[4*t.Groups*o+i] = int16(w & (1<<lowBits - 1))
		t.High[4*t.Groups*o+i] = int16(w >> lowBits)
	}
}

// Reach is the number of bytes from First on that are read for an output.
func (t *Taps) Reach() int { return 12*t.Groups + 4 }

// Horizontal is the horizontal pass over two rows a and b of RGB: for o < len(t.First) and c < 3,
//
//	outA[3*o+c] = Σ_i weight[o][i] * a[t.First[o]+3*i+c] / 2^Precision
//
// rounded and limited to 0..255, outB from b alike. a and b must be readable for Reach bytes from
// every First on; outA and outB are a byte longer than the result.
func Horizontal(outA, outB, a, b []uint8, t *Taps) {
	n := len(t.First)
	if n == 0 {
		return
	}
	last := int(t.First[n-1]) + t.Reach() - 1
	_, _, _, _ = outA[3*n], outB[3*n], a[last], b[last]
	if assembly {
		horizontalAVX2(&outA[0], &outB[0], &a[0], &b[0], &t.First[0], &t.Low[0], &t.High[0], t.Groups, n)
		return
	}
	horizontal(outA, a, t)
	horizontal(outB, b, t)
}

func horizontal(out, row []uint8, t *Taps) {
	for o, first := range t.First {
		low, high := t.Low[4*t.Groups*o:][:4*t.Groups], t.High[4*t.Groups*o:][:4*t.Groups]
		for c := range 3 {
			sum := int32(1 << (Precision - 1))
			for i := range low {
				sum += (int32(high[i])<<lowBits + int32(low[i])) * int32(row[int(first)+3*i+c])
			}
			out[3*o+c] = Clamp(sum >> Precision)
		}
	}
}
