package pixels

import "github.com/vittool/vittool/data/internal/vec"

// Resizer scales images as Pillow does: horizontal pass first, rounded to 8 bits, then the vertical
// pass; a pass whose size does not change is left out. It holds scratch memory, so one per
// goroutine; the zero value is ready.
//
// Where there is assembly, RGB goes through it. Otherwise two pixels share each 64-bit integer (low
// and high half, as signed sums), so one multiply serves both: the horizontal pass pairs two rows,
// the vertical pass pairs the left and the right half of a row.
type Resizer struct {
	// ShorterFirst lets the vertical pass come first where an image loses more than twice as many
	// rows as columns, as in Pillow 13. In Pillow 9.4 it never does.
	ShorterFirst bool

	across, down taps // of sizes that are not in the cache

	short Image // (oh, w) after a vertical pass that came first

	mid []uint8 // (h, ow*3+1) filtered rows, for the assembly
	pad []uint8 // (2, w*3 and more) rows at the end of the source's memory

	pair  []int64 // (W*C) two source rows side by side in each element
	row   []uint8 // (2, ow*C) the two rows just filtered
	lanes []int64 // (h, half) filtered rows, halves paired
	acc   []int64 // (half)
	index []int   // (ow) source columns of Nearest
}

// bias is one half in fixed point, in both lanes.
const bias = 1<<(precision-1) | 1<<(precision-1+32)

// Resize scales box of src to ow x oh pixels and stores the result in dst, whose memory is reused.
// Pixels outside the box never enter: the box is cropped first. dst must not be src.
func (r *Resizer) Resize(dst, src *Image, box Rect, ow, oh int, f Filter) {
	r.Part(dst, src, box, ow, oh, Rect{W: ow, H: oh}, f)
}

// Source returns the part of a w x h image that the box out of it, scaled to ow x oh pixels, is
// made of.
func Source(w, h, ow, oh int, out Rect, f Filter) Rect {
	var s Rect
	s.Left, s.W = span{w, ow, out.Left, out.W}.source(f)
	s.Top, s.H = span{h, oh, out.Top, out.H}.source(f)
	return s
}

// MaxScratch bounds the samples, in bytes, between the two passes, where that is more than the
// image has: a high and narrow one is scaled a few columns at a time.
const MaxScratch = 32 << 20

// Part is Resize for the box out of its result alone. Time and memory are those of the box and of
// the pixels that it is made of, however large the whole would be; box may leave src where out
// doesn't need it (see Source).
func (r *Resizer) Part(dst, src *Image, box Rect, ow, oh int, out Rect, f Filter) {
	if ow <= 0 || oh <= 0 || !out.In(ow, oh) {
		panic("pixels: resize to an empty image")
	}
	part := Source(box.W, box.H, ow, oh, out, f)
	part.Left, part.Top = part.Left+box.Left, part.Top+box.Top
	mustContain(src, part)
	if box.W == ow && box.H == oh {
		Crop(dst, src, part)
		return
	}
	dst.Reset(out.W, out.H, src.C)
	across, down := span{box.W, ow, out.Left, out.W}, span{box.H, oh, out.Top, out.H}
	if f == Nearest {
		r.nearest(dst, src, box, across, down)
		return
	}
	if r.ShorterFirst && box.H > oh && box.H-oh > 2*(box.W-ow) && box.W != ow {
		r.downFirst(dst, src, box, ow, oh, out, f)
		return
	}
	if across.in != across.out && out.W > 1 && part.H > MaxScratch/(out.W*src.C) {
		r.strips(dst, src, box, ow, oh, out, max(MaxScratch/(part.H*src.C), 1), f)
		return
	}
	var tx, ty *taps // nil where a size stays
	if across.in != across.out {
		tx = tapsFor(across, f, &r.across)
	}
	if down.in != down.out {
		ty = tapsFor(down, f, &r.down)
	}
	if src.C == 3 && vec.Assembly() {
		r.convolveRGB(dst, src, part, tx, ty)
	} else {
		r.convolve(dst, src, part, tx, ty)
	}
}

// downFirst is Part with the vertical pass in front of the horizontal one.
func (r *Resizer) downFirst(dst, src *Image, box Rect, ow, oh int, out Rect, f Filter) {
	columns := Source(box.W, box.H, ow, oh, out, f)
	r.Part(&r.short, src, box, box.W, oh, Rect{Top: out.Top, Left: columns.Left, W: columns.W, H: out.H}, f)
	r.Part(dst, &r.short, Rect{Left: -columns.Left, W: box.W, H: out.H}, ow, out.H, Rect{Left: out.Left, W: out.W, H: out.H}, f)
}

// strips makes columns of the result, n at a time.
func (r *Resizer) strips(dst, src *Image, box Rect, ow, oh int, out Rect, n int, f Filter) {
	var strip Image
	for left := 0; left < out.W; left += n {
		part := Rect{Top: out.Top, Left: out.Left + left, W: min(n, out.W-left), H: out.H}
		r.Part(&strip, src, box, ow, oh, part, f)
		for y := range out.H {
			copy(dst.Row(y)[left*src.C:], strip.Row(y))
		}
	}
}

// nearest copies pixels of the box.
func (r *Resizer) nearest(dst, src *Image, box Rect, across, down span) {
	r.index = Grow(r.index, dst.W)
	index := r.index
	for o, x := range across.walk() {
		index[o] = (box.Left + x) * src.C
	}
	for o, y := range down.walk() {
		from := src.Row(box.Top + y)
		to := dst.Row(o)
		for x, i := range index {
			copy(to[x*src.C:(x+1)*src.C], from[i:])
		}
	}
}

// convolve filters the rows of part with tx, then the columns with ty.
func (r *Resizer) convolve(dst, src *Image, part Rect, tx, ty *taps) {
	n := dst.W * dst.C // bytes of an output row
	half := (n + 1) / 2
	if ty != nil {
		r.lanes = Grow(r.lanes, part.H*half)
	}
	if tx == nil {
		for y := range part.H {
			from := ((part.Top+y)*src.W + part.Left) * src.C
			pairHalves(r.lanes[y*half:(y+1)*half], src.Pix[from:from+n])
		}
	} else {
		r.across2(dst, src, part, tx, ty != nil)
	}
	if ty == nil {
		return
	}
	r.acc = Grow(r.acc, half)
	for o := range dst.H {
		w := ty.weight[o*ty.width : o*ty.width+int(ty.n[o])]
		verticalRow(dst.Row(o), r.acc, r.lanes[int(ty.lo[o])*half:], w)
	}
}

// across2 filters the rows of part, two at a time, into r.lanes, or into dst where no vertical pass
// follows.
func (r *Resizer) across2(dst, src *Image, part Rect, tx *taps, vertical bool) {
	n := dst.W * dst.C
	half := (n + 1) / 2
	width := part.W * src.C
	r.pair = Grow(r.pair, width)
	r.row = Grow(r.row, 2*n)
	for y := 0; y < part.H; y += 2 {
		from := ((part.Top+y)*src.W + part.Left) * src.C
		a := src.Pix[from : from+width]
		b := a
		if y+1 < part.H {
			from += src.W * src.C
			b = src.Pix[from : from+width]
		}
		pairRows(r.pair, a, b)
		outA, outB := r.row[:n], r.row[n:2*n]
		if !vertical {
			outA = dst.Row(y)
			if y+1 < part.H {
				outB = dst.Row(y + 1)
			}
		}
		if src.C == 3 {
			horizontal3(outA, outB, r.pair, tx)
		} else {
			horizontalN(outA, outB, r.pair, tx, src.C)
		}
		if vertical {
			pairHalves(r.lanes[y*half:(y+1)*half], outA)
			if y+1 < part.H {
				pairHalves(r.lanes[(y+1)*half:(y+2)*half], outB)
			}
		}
	}
}

// pairRows interleaves two rows: row a in the low lane, row b in the high.
func pairRows(p []int64, a, b []uint8) {
	a, b = a[:len(p)], b[:len(p)]
	for i := range p {
		p[i] = int64(a[i]) | int64(b[i])<<32
	}
}

// pairHalves puts the first half of a row into the low lanes and the second half into the high
// ones; an odd row leaves the last high lane zero.
func pairHalves(p []int64, row []uint8) {
	hi := row[len(p):]
	lo := row[:len(p)]
	p = p[:len(lo)]
	for i, v := range hi {
		p[i] = int64(lo[i]) | int64(v)<<32
	}
	for i := len(hi); i < len(lo); i++ {
		p[i] = int64(lo[i])
	}
}

// horizontal3 filters two paired rows of three channels.
func horizontal3(outA, outB []uint8, p []int64, t *taps) {
	for o, n := range t.n {
		w := t.weight[o*t.width:][:n]
		q := p[3*int(t.lo[o]):][:3*n]
		var red, green, blue int64 = bias, bias, bias
		for _, k := range w {
			if len(q) < 3 { // never: keeps the bounds checks out of the loop
				break
			}
			red += k * q[0]
			green += k * q[1]
			blue += k * q[2]
			q = q[3:]
		}
		a, b := outA[3*o:3*o+3:3*o+3], outB[3*o:3*o+3:3*o+3]
		a[0], b[0] = split(red)
		a[1], b[1] = split(green)
		a[2], b[2] = split(blue)
	}
}

func horizontalN(outA, outB []uint8, p []int64, t *taps, c int) {
	for o, n := range t.n {
		w := t.weight[o*t.width:][:n]
		q := p[c*int(t.lo[o]):][:c*int(n)]
		for ch := range c {
			sum := int64(bias)
			for i, k := range w {
				sum += k * q[i*c+ch]
			}
			outA[o*c+ch], outB[o*c+ch] = split(sum)
		}
	}
}

// verticalRow sums len(w) paired rows, half elements apart, into one row of bytes.
func verticalRow(out []uint8, acc, rows, w []int64) {
	half := len(acc)
	lo, hi := out[:half], out[half:]
	row := func(i int) []int64 { return rows[i*half:][:half] }
	var last [4]int64 // the final group of up to four taps
	full := max((len(w)-1)/4*4, 0)
	copy(last[:], w[full:])
	tail := len(w) - full
	r0 := row(full)
	r1, r2, r3 := r0, r0, r0
	if tail > 1 {
		r1 = row(full + 1)
	}
	if tail > 2 {
		r2 = row(full + 2)
	}
	if tail > 3 {
		r3 = row(full + 3)
	}
	k0, k1, k2, k3 := last[0], last[1], last[2], last[3]
	if full == 0 {
		for j := range hi {
			lo[j], hi[j] = split(bias + k0*r0[j] + k1*r1[j] + k2*r2[j] + k3*r3[j])
		}
		for j := len(hi); j < half; j++ {
			lo[j], _ = split(bias + k0*r0[j] + k1*r1[j] + k2*r2[j] + k3*r3[j])
		}
		return
	}
	for i := 0; i < full; i += 4 {
		g0, g1, g2, g3 := w[i], w[i+1], w[i+2], w[i+3]
		s0, s1, s2, s3 := row(i), row(i+1), row(i+2), row(i+3)
		if i == 0 {
			for j := range acc {
				acc[j] = bias + g0*s0[j] + g1*s1[j] + g2*s2[j] + g3*s3[j]
			}
			continue
		}
		for j := range acc {
			acc[j] += g0*s0[j] + g1*s1[j] + g2*s2[j] + g3*s3[j]
		}
	}
	for j := range hi {
		lo[j], hi[j] = split(acc[j] + k0*r0[j] + k1*r1[j] + k2*r2[j] + k3*r3[j])
	}
	for j := len(hi); j < half; j++ {
		lo[j], _ = split(acc[j] + k0*r0[j] + k1*r1[j] + k2*r2[j] + k3*r3[j])
	}
}

// split separates the two signed sums of v and rounds each to a byte.
func split(v int64) (lo, hi uint8) {
	l := int32(v)
	h := int32((v - int64(l)) >> 32)
	return vec.Clamp(l >> precision), vec.Clamp(h >> precision)
}
