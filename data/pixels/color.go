package pixels

// The color operations work in place on images of three channels. Each rounds to 8 bits before the
// next, as Pillow's do. On images of one channel brightness, contrast and solarize act alike and
// the others do nothing.

// luma is Pillow's conversion to gray, ITU-R 601 in 16 fraction bits.
func luma(r, g, b uint8) uint8 {
	return uint8((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
}

// Luma converts three channels to one.
func Luma(dst, src *Image) {
	dst.Reset(src.W, src.H, 1)
	for i := range dst.Pix {
		p := src.Pix[3*i : 3*i+3 : 3*i+3]
		dst.Pix[i] = luma(p[0], p[1], p[2])
	}
}

// Gray makes all three channels the luma.
func Gray(m *Image) {
	if m.C != 3 {
		return
	}
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		l := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = l, l, l
	}
}

// blend is Pillow's Image.blend of one byte: d + f (p-d) in float32, truncated towards zero and
// clipped.
func blend(d, p uint8, f float32) uint8 {
	t := float32(d) + float32(f*float32(int32(p)-int32(d)))
	if t <= 0 {
		return 0
	}
	if t >= 255 {
		return 255
	}
	return uint8(t)
}

func mapBytes(m *Image, table *[256]uint8) {
	for i, v := range m.Pix {
		m.Pix[i] = table[v]
	}
}

// Brightness scales towards black: factor 0 is black, 1 the image.
func Brightness(m *Image, factor float32) { blendConstant(m, 0, factor) }

// Contrast scales towards the mean luma: factor 0 is flat gray, 1 the image.
func Contrast(m *Image, factor float32) {
	var sum uint64
	if m.C == 3 {
		for p := m.Pix; len(p) >= 3; p = p[3:] {
			sum += uint64(luma(p[0], p[1], p[2]))
		}
	} else {
		for _, v := range m.Pix {
			sum += uint64(v)
		}
	}
	count := len(m.Pix)
	if m.C == 3 {
		count /= 3
	}
	blendConstant(m, uint8(float64(sum)/float64(count)+0.5), factor)
}

func blendConstant(m *Image, d uint8, factor float32) {
	var table [256]uint8
	for v := range table {
		table[v] = blend(d, uint8(v), factor)
	}
	mapBytes(m, &table)
}

// Saturation scales towards gray: factor 0 is gray, 1 the image.
func Saturation(m *Image, factor float32) {
	if m.C != 3 {
		return
	}
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		l := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = blend(l, p[0], factor), blend(l, p[1], factor), blend(l, p[2], factor)
	}
}

// Solarize inverts all values of threshold and above.
func Solarize(m *Image, threshold uint8) {
	for i, v := range m.Pix {
		if v >= threshold {
			m.Pix[i] = 255 - v
		}
	}
}

// JitterOp numbers the operations of ColorJitter as torchvision does.
type JitterOp uint8

const (
	JitterBrightness JitterOp = iota
	JitterContrast
	JitterSaturation
	JitterHue
)

// Jitter is one drawn color jitter: factors, and the order of application. An operation missing
// from Order is not applied.
type Jitter struct {
	Order                                 []JitterOp
	Brightness, Contrast, Saturation, Hue float64
}

// Apply runs the operations in their order.
func (j Jitter) Apply(m *Image) {
	for _, op := range j.Order {
		switch op {
		case JitterBrightness:
			Brightness(m, float32(j.Brightness))
		case JitterContrast:
			Contrast(m, float32(j.Contrast))
		case JitterSaturation:
			Saturation(m, float32(j.Saturation))
		case JitterHue:
			Hue(m, j.Hue)
		}
	}
}
