package pixels

import "github.com/vittool/vittool/data/internal/vec"

// convolveRGB is convolve for three channels, by way of vec.
func (r *Resizer) convolveRGB(dst, src *Image, part Rect, tx, ty *taps) {
	n := 3 * dst.W
	rows, stride := src.Pix[3*(part.Top*src.W+part.Left):], 3*src.W
	if tx != nil {
		r.mid = Grow(r.mid, part.H*(n+1))
		r.horizontal(rows, stride, part, n, tx.rgb)
		rows, stride = r.mid, n+1
	}
	if ty == nil {
		for y := range dst.H {
			copy(dst.Row(y), rows[y*stride:])
		}
		return
	}
	for o := range dst.H {
		vec.Vertical(dst.Row(o), rows[int(ty.lo[o])*stride:], stride, ty.weight4[o*ty.width:][:ty.n[o]])
	}
}

// horizontal filters the rows of part, two at a time, into r.mid. vec reads past its input, so rows
// that end with the source's memory are copied.
func (r *Resizer) horizontal(rows []uint8, stride int, part Rect, n int, t *vec.Taps) {
	need := max(int(t.First[len(t.First)-1])+t.Reach(), 3*part.W)
	r.pad = Grow(r.pad, 2*need)
	for y := 0; y < part.H; y += 2 {
		z := min(y+1, part.H-1)
		a, b := rows[y*stride:], rows[z*stride:]
		if len(b) < need {
			for i, row := range [][]uint8{a, b} {
				copy(r.pad[i*need:(i+1)*need], row[:3*part.W])
			}
			a, b = r.pad[:need], r.pad[need:]
		}
		vec.Horizontal(r.mid[y*(n+1):][:n+1], r.mid[z*(n+1):][:n+1], a, b, t)
	}
}
