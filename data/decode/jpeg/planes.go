package jpeg

import (
	"github.com/vittool/vittool/data/internal/vec"
	"github.com/vittool/vittool/data/pixels"
)

// Plane is one component of a picture, or a part of it.
type Plane struct {
	Pix    []uint8
	Stride int
	X0, Y0 int // place of Pix[0] in the component
	W, H   int // of the whole component, in samples
	RX, RY int // pixels that a sample stands for
}

// row returns the samples of row y, from X0 to the end of the component or of its part in memory.
func (p *Plane) row(y int) []uint8 {
	return p.Pix[(y-p.Y0)*p.Stride:][:min(p.Stride, p.W-p.X0)]
}

// cut copies a box of a component that has a sample for each pixel.
func (p *Plane) cut(dst *pixels.Image, box pixels.Rect) {
	for y := range box.H {
		copy(dst.Row(y), p.row(box.Top + y)[box.Left-p.X0:])
	}
}

// Colors turns three planes into RGB, or four into CMYK, with memory that it keeps.
type Colors struct {
	rgb  bool       // the planes are red, green and blue
	ycck bool       // the first three of four are luma and chroma
	wide [4][]uint8 // a row of each at full width
	ink  []uint8    // a row of the colors of YCCK
}

// Convert writes the box of the picture, whose samples and their neighbors must be in the planes,
// to dst, which has its size and as many channels as there are planes to read. As Pillow does, it
// takes the values of four planes for those of an Adobe file, where 0 is full ink.
func (c *Colors) Convert(dst *pixels.Image, box pixels.Rect, planes ...*Plane) {
	var rows [4][]uint8
	for y := range box.H {
		for i, p := range planes[:dst.C] {
			rows[i] = c.row(i, p, box, box.Top+y)
		}
		switch to := dst.Row(y); {
		case dst.C == 4:
			c.inks(to, &rows)
		case c.rgb:
			mergeRow(to, rows[0], rows[1], rows[2])
		default:
			vec.RGB(to, rows[0], rows[1], rows[2])
		}
	}
}

// inks writes a row of four inks.
func (c *Colors) inks(out []uint8, rows *[4][]uint8) {
	n := len(rows[3])
	c.ink = pixels.Grow(c.ink, 3*n)
	ink := c.ink
	if c.ycck {
		vec.RGB(ink, rows[0], rows[1], rows[2])
	} else {
		mergeRow(ink, rows[0], rows[1], rows[2])
	}
	for i, k := range rows[3] {
		p, q := out[4*i:4*i+4:4*i+4], ink[3*i:3*i+3:3*i+3]
		p[0], p[1], p[2], p[3] = 255-q[0], 255-q[1], 255-q[2], 255-k
		if c.ycck {
			p[0], p[1], p[2] = q[0], q[1], q[2]
		}
	}
}

// row returns the pixels of row y within the box, of component i.
func (c *Colors) row(i int, p *Plane, box pixels.Rect, y int) []uint8 {
	if p.RX == 1 && p.RY == 1 {
		return p.row(y)[box.Left-p.X0:][:box.W]
	}
	wide := pixels.Grow(c.wide[i], len(p.row(y/p.RY))*p.RX)
	c.wide[i] = wide
	p.widen(wide, y)
	return wide[box.Left-p.RX*p.X0:][:box.W]
}

func mergeRow(out, r, g, b []uint8) {
	g, b = g[:len(r)], b[:len(r)]
	for i, v := range r {
		p := out[3*i : 3*i+3 : 3*i+3]
		p[0], p[1], p[2] = v, g[i], b[i]
	}
}

// widen writes pixel row y of a component that has fewer samples than the picture has pixels.
// Ratios of 2 are interpolated ("fancy upsampling"), but components of 2 columns and less are not;
// libjpeg repeats the samples of these and of the rarer ratios.
func (p *Plane) widen(dst []uint8, y int) {
	cy := y / p.RY
	near := p.row(cy)
	switch {
	case p.RX == 1 && p.RY == 2:
		far := p.row(p.other(cy, y))
		round := 1 + y&1
		for i, v := range near {
			dst[i] = uint8((3*int(v) + int(far[i]) + round) >> 2)
		}
	case p.RX == 2 && p.RY == 1 && p.W > 2:
		vec.InterpolateH(dst, near)
	case p.RX == 2 && p.RY == 2 && p.W > 2:
		vec.InterpolateHV(dst, near, p.row(p.other(cy, y)))
	default:
		for i, v := range near {
			for k := range p.RX {
				dst[i*p.RX+k] = v
			}
		}
	}
}

// other returns the row of samples on the far side of pixel row y.
func (p *Plane) other(cy, y int) int {
	return min(max(cy-1+2*(y&1), 0), p.H-1)
}
