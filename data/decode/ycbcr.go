package decode

import (
	"image"

	"github.com/vittool/vittool/data/pixels"
)

// Conversion tables of libjpeg, 16 fraction bits.
var (
	redOfCr, blueOfCb    [256]int32
	greenOfCb, greenOfCr [256]int32
)

func init() {
	for i := range 256 {
		x := int32(i) - 128
		redOfCr[i] = (91881*x + 1<<15) >> 16
		blueOfCb[i] = (116130*x + 1<<15) >> 16
		greenOfCr[i] = -46802 * x
		greenOfCb[i] = -22554*x + 1<<15
	}
}

func clamp8(v int32) uint8 {
	if uint32(v) > 255 {
		return uint8(^v >> 31)
	}
	return uint8(v)
}

// fromYCbCr converts the planes of a JPEG to RGB as libjpeg-turbo does, which
// interpolates subsampled chroma between its samples ("fancy upsampling")
// where the standard library's own conversion repeats them.
func fromYCbCr(m *image.YCbCr) *pixels.Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := pixels.New(w, h, 3)
	rx, ry := subsampling(m.SubsampleRatio)
	cw, ch := (w+rx-1)/rx, (h+ry-1)/ry
	// Rows of chroma at full width; the interpolation writes whole pairs.
	cb, cr := make([]uint8, rx*cw+rx), make([]uint8, rx*cw+rx)
	up := upsampler{rx: rx, ry: ry, w: cw, h: ch, near: make([]uint8, cw)}
	for y := range h {
		up.row(cb, m.Cb, m.CStride, y)
		up.row(cr, m.Cr, m.CStride, y)
		rgbRow(out.Row(y), m.Y[y*m.YStride:][:w], cb, cr)
	}
	return out
}

func subsampling(r image.YCbCrSubsampleRatio) (rx, ry int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

func rgbRow(out, luma, cb, cr []uint8) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for i, v := range luma {
		y, b, r := int32(v), cb[i], cr[i]
		p := out[3*i : 3*i+3 : 3*i+3]
		p[0] = clamp8(y + redOfCr[r])
		p[1] = clamp8(y + (greenOfCb[b]+greenOfCr[r])>>16)
		p[2] = clamp8(y + blueOfCb[b])
	}
}

// upsampler widens rows of a chroma plane of w x h samples, each standing
// for rx x ry pixels.
type upsampler struct {
	rx, ry, w, h int
	near         []uint8
}

// row writes chroma row y of the full image.
func (u upsampler) row(dst, plane []uint8, stride, y int) {
	cy := y / u.ry
	near := plane[cy*stride:][:u.w]
	switch {
	case u.rx == 1 && u.ry == 1:
		copy(dst, near)
	case u.rx == 2 && u.ry == 1:
		interpolateH(dst, near)
	case u.rx == 2 && u.ry == 2:
		interpolateHV(dst, near, plane[u.other(cy, y)*stride:][:u.w])
	case u.rx == 1 && u.ry == 2:
		far := plane[u.other(cy, y)*stride:][:u.w]
		round := 1 + y&1
		for i, v := range near {
			dst[i] = uint8((3*int(v) + int(far[i]) + round) >> 2)
		}
	default: // libjpeg repeats the rarer ratios too
		for i, v := range near {
			for k := range u.rx {
				dst[i*u.rx+k] = v
			}
		}
	}
}

// other returns the chroma row on the far side of pixel row y.
func (u upsampler) other(cy, y int) int {
	return min(max(cy-1+2*(y&1), 0), u.h-1)
}

// interpolateH doubles a row: 3/4 of the near sample, 1/4 of the far one,
// rounding alternately down and up.
func interpolateH(dst, in []uint8) {
	n := len(in)
	if n <= 2 {
		for i, v := range in {
			dst[2*i], dst[2*i+1] = v, v
		}
		return
	}
	dst[0] = in[0]
	dst[1] = uint8((3*int(in[0]) + int(in[1]) + 2) >> 2)
	for i := 1; i < n-1; i++ {
		v := 3 * int(in[i])
		dst[2*i] = uint8((v + int(in[i-1]) + 1) >> 2)
		dst[2*i+1] = uint8((v + int(in[i+1]) + 2) >> 2)
	}
	dst[2*n-2] = uint8((3*int(in[n-1]) + int(in[n-2]) + 1) >> 2)
	dst[2*n-1] = in[n-1]
}

// interpolateHV doubles the row between near and far in both directions.
func interpolateHV(dst, near, far []uint8) {
	n := len(near)
	if n <= 2 {
		for i, v := range near {
			dst[2*i], dst[2*i+1] = v, v
		}
		return
	}
	far = far[:n]
	this := 3*int(near[0]) + int(far[0])
	next := 3*int(near[1]) + int(far[1])
	dst[0] = uint8((4*this + 8) >> 4)
	dst[1] = uint8((3*this + next + 7) >> 4)
	last := this
	this = next
	for i := 1; i < n-1; i++ {
		next = 3*int(near[i+1]) + int(far[i+1])
		dst[2*i] = uint8((3*this + last + 8) >> 4)
		dst[2*i+1] = uint8((3*this + next + 7) >> 4)
		last, this = this, next
	}
	dst[2*n-2] = uint8((3*this + last + 8) >> 4)
	dst[2*n-1] = uint8((4*this + 7) >> 4)
}
