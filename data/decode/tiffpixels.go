package decode

import (
	"math"

	"github.com/vittool/vittool/data/pixels"
)

// copyRow makes n pixels of 8-bit samples: of unsigned numbers the highest 8 bits, of signed and
// floating-point ones the value within 0..255, as Pillow has them.
func (l *tiffLayout) copyRow(to, from []byte, n, plane, perBlock int) {
	switch {
	case l.bits < 8: // of one band
		unpack(to[:n], from, l.bits)
		if l.photo != photoPalette {
			for i := range to[:n] {
				to[i] *= uint8(255 / (1<<l.bits - 1))
			}
		}
	case l.bits == 8:
		for x := range n {
			copy(to[x*l.bands+plane:][:perBlock], from[x*perBlock:])
		}
	case l.bits == 16 && l.format == formatUint:
		high := l.highByte()
		for x := range n {
			for c := range perBlock {
				to[x*l.bands+plane+c] = from[2*(x*perBlock+c)+high]
			}
		}
	default: // of one band
		for x := range n {
			switch {
			case l.bits == 16:
				to[x] = clip(float64(int16(l.order.Uint16(from[2*x:]))))
			case l.format == formatFloat:
				to[x] = clip(float64(math.Float32frombits(l.order.Uint32(from[4*x:]))))
			default:
				to[x] = clip(float64(int32(l.order.Uint32(from[4*x:]))))
			}
		}
	}
}

// clip is Pillow's conversion of its wide modes: it drops the fraction.
func clip(v float64) uint8 {
	switch {
	case v >= 255:
		return 255
	case v > 0:
		return uint8(v)
	}
	return 0 // also NaN
}

// finish gives the bands their meaning.
func (l *tiffLayout) finish(m *pixels.Image) (*raster, error) {
	if !l.plain() {
		return &raster{image: m, model: modelBands}, nil
	}
	associated := len(l.extras) > 0 && l.extras[0] == extraAssociated
	switch l.photo {
	case photoWhiteIsZero:
		if l.bits <= 8 { // as Pillow does
			for i := 0; i < len(m.Pix); i += l.bands {
				m.Pix[i] = 255 - m.Pix[i]
			}
		}
	case photoPalette:
		return l.colored(m)
	case photoYCbCr:
		if l.compression != compressJPEG {
			l.convertYCbCr(m)
		}
	}
	if associated && l.photo != photoCMYK {
		unmultiply(m, l.colors())
	}
	return &raster{image: m, model: map[int]model{1: modelGray, 3: modelRGB, 4: modelCMYK}[l.colors()]}, nil
}

// colored looks pixels up in the color map, of which the high bytes count.
func (l *tiffLayout) colored(m *pixels.Image) (*raster, error) {
	values := l.fields[tagColorMap]
	n := len(values) / 3
	palette := make([]byte, 3*n)
	for i, v := range values[:3*n] {
		palette[i%n*3+i/n] = uint8(v >> 8)
	}
	return indexed(first(m, 1), palette, 3, [3]int{0, 1, 2}), nil
}

// unmultiply divides the colors of each pixel by its alpha, the band behind them, as Pillow does:
// RGB is black where alpha is zero, gray is left.
func unmultiply(m *pixels.Image, colors int) {
	for i := 0; i < len(m.Pix); i += m.C {
		p := m.Pix[i : i+colors]
		switch alpha := int(m.Pix[i+colors]); alpha {
		case 255:
		case 0:
			if colors > 1 {
				clear(p)
			}
		default:
			for k, v := range p {
				p[k] = uint8(min(255*int(v)/alpha, 255))
			}
		}
	}
}

func (l *tiffLayout) unitsAcross() int { return (l.blockW + l.subX - 1) / l.subX }

// spreadChroma separates a block of units: the luma of subX x subY pixels, then their two chroma
// samples, which all of them have.
func (l *tiffLayout) spreadChroma(out *pixels.Image, block []byte, x0, y0, rows int) {
	size := l.subX*l.subY + 2
	for y := y0; y < min(y0+rows, l.h); y++ {
		for x := x0; x < min(x0+l.blockW, l.w); x++ {
			ux, uy := (x-x0)/l.subX, (y-y0)/l.subY
			unit := block[(uy*l.unitsAcross()+ux)*size:][:size]
			p := out.Pix[3*(y*l.w+x):][:3]
			p[0] = unit[(y-y0)%l.subY*l.subX+(x-x0)%l.subX]
			p[1], p[2] = unit[size-2], unit[size-1]
		}
	}
}

// convertYCbCr makes RGB in place. Pillow converts uncompressed files with tables of 6 bits, and
// has libtiff convert the others with those of 16.
func (l *tiffLayout) convertYCbCr(m *pixels.Image) {
	var rV, gU, gV, bU [256]int
	shift := 16
	if l.compression == compressNone && l.subX*l.subY == 1 {
		shift = 6
	}
	for i := range 256 {
		x := float64(i - 128)
		if shift == 6 {
			fix := func(v float64) int { return int(v*64 + 0.5) }
			rV[i], gU[i], gV[i], bU[i] = fix(1.402*x)>>6, fix(-0.34414*x), fix(-0.71414*x), fix(1.772*x)>>6
			continue
		}
		const red, green, blue = 0.299, 0.587, 0.114
		fix := func(v float32) int { return int(float64(v)*65536 + 0.5) }
		f1, f3 := float32(2-2*red), float32(2-2*blue)
		half := 1 << 15
		rV[i] = (fix(f1)*(i-128) + half) >> 16
		bU[i] = (fix(f3)*(i-128) + half) >> 16
		gV[i] = -fix(float32(red)*f1/green) * (i - 128)
		gU[i] = -fix(float32(blue)*f3/green)*(i-128) + half
	}
	for i := 0; i < len(m.Pix); i += m.C {
		p := m.Pix[i : i+3]
		y, u, v := int(p[0]), p[1], p[2]
		p[0] = uint8(min(max(y+rV[v], 0), 255))
		p[1] = uint8(min(max(y+(gU[u]+gV[v])>>shift, 0), 255))
		p[2] = uint8(min(max(y+bU[u], 0), 255))
	}
}
