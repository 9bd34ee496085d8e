package data

import (
	"image"
	"image/color"
	"image/draw"

	"github.com/nfnt/resize"

	"github.com/vittool/vittool/data/pixels"
)

// nfntFilters are the interpolations of nfnt/resize; it has no box filter, and its bilinear one is
// the nearest in effect.
var nfntFilters = map[pixels.Filter]resize.InterpolationFunction{
	pixels.Nearest:  resize.NearestNeighbor,
	pixels.Box:      resize.Bilinear,
	pixels.Bilinear: resize.Bilinear,
	pixels.Bicubic:  resize.Bicubic,
	pixels.Lanczos:  resize.Lanczos3,
}

// maxScaled bounds the pixels that nfnt/resize, which scales whole images, makes for a part of
// them.
const maxScaled = 1 << 26

// resizeNFNT scales a box with nfnt/resize and keeps the box c of the result. Where the whole
// result would be huge, as that of a thin picture, the source of c is scaled alone, and its
// outermost pixels know nothing of their neighbors.
func resizeNFNT(dst, src *pixels.Image, box pixels.Rect, w, h int, c pixels.Rect, f pixels.Filter) {
	whole := pixels.Rect{W: w, H: h}
	if c != whole && w <= maxScaled/h {
		var scaled pixels.Image
		resizeNFNT(&scaled, src, box, w, h, whole, f)
		pixels.Crop(dst, &scaled, c)
		return
	}
	if c != whole {
		part := pixels.Source(box.W, box.H, w, h, c, pixels.Box)
		box = pixels.Rect{Top: box.Top + part.Top, Left: box.Left + part.Left, W: part.W, H: part.H}
		w, h = c.W, c.H
	}
	if box.W == w && box.H == h {
		pixels.Crop(dst, src, box)
		return
	}
	var part pixels.Image
	pixels.Crop(&part, src, box)
	dst.Reset(w, h, src.C)
	if src.C == 3 {
		from := toRGBA(&part)
		to := resize.Resize(uint(w), uint(h), from, nfntFilters[f])
		fromRGBA(dst, to)
		return
	}
	for c := range src.C { // other numbers of channels one by one, as gray
		plane := image.NewGray(image.Rect(0, 0, part.W, part.H))
		for i := range plane.Pix {
			plane.Pix[i] = part.Pix[i*src.C+c]
		}
		to := resize.Resize(uint(w), uint(h), plane, nfntFilters[f])
		b := to.Bounds()
		for y := range h {
			for x := range w {
				dst.Pix[(y*w+x)*src.C+c] = color.GrayModel.Convert(to.At(b.Min.X+x, b.Min.Y+y)).(color.Gray).Y
			}
		}
	}
}

func toRGBA(m *pixels.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	for i := range m.W * m.H {
		p := out.Pix[4*i : 4*i+4]
		switch {
		case m.C >= 3:
			p[0], p[1], p[2] = m.Pix[i*m.C], m.Pix[i*m.C+1], m.Pix[i*m.C+2]
		default:
			v := m.Pix[i*m.C]
			p[0], p[1], p[2] = v, v, v
		}
		p[3] = 255
	}
	return out
}

func fromRGBA(dst *pixels.Image, m image.Image) {
	rgba, ok := m.(*image.RGBA)
	if !ok {
		rgba = image.NewRGBA(image.Rect(0, 0, dst.W, dst.H))
		draw.Draw(rgba, rgba.Rect, m, m.Bounds().Min, draw.Src)
	}
	for y := range dst.H {
		row := rgba.Pix[y*rgba.Stride:]
		for x := range dst.W {
			copy(dst.Pix[(y*dst.W+x)*3:][:3], row[4*x:])
		}
	}
}

// Picture returns an image to look at: the first three channels as colors, fewer as gray.
func Picture(m *pixels.Image) image.Image { return toRGBA(m) }
