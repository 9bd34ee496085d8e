package decode

import (
	"image"

	"github.com/vittool/vittool/data/decode/jpeg"
	"github.com/vittool/vittool/data/pixels"
)

// fromYCbCr converts the planes of a JPEG to RGB as libjpeg-turbo does, which
// interpolates subsampled chroma between its samples where the standard
// library's own conversion repeats them.
func fromYCbCr(m *image.YCbCr) *pixels.Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	rx, ry := subsampling(m.SubsampleRatio)
	chroma := func(pix []uint8) *jpeg.Plane {
		return &jpeg.Plane{Pix: pix, Stride: m.CStride, W: (w + rx - 1) / rx, H: (h + ry - 1) / ry, RX: rx, RY: ry}
	}
	out := &pixels.Image{}
	var c jpeg.Colors
	c.Convert(out, pixels.Rect{W: w, H: h}, &jpeg.Plane{Pix: m.Y, Stride: m.YStride, W: w, H: h, RX: 1, RY: 1}, chroma(m.Cb), chroma(m.Cr))
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
