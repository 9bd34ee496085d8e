package decode

import (
	"fmt"
	"image"
	"image/color"

	"github.com/vittool/vittool/data/pixels"
)

// model is the meaning of the first bands of a raster. Those behind are alpha and other extra
// samples.
type model uint8

const (
	modelGray  model = iota // 1 band
	modelRGB                // 3 bands
	modelCMYK               // 4 bands, 255 is full ink
	modelBands              // any number of bands without a meaning of ours
)

// raster is a decoded picture in the bands of its file.
type raster struct {
	image       *pixels.Image
	model       model
	orientation int // as in EXIF, 0 when unknown
}

// rasterOf copies the images of the standard decoders into packed bands. The concrete type of m
// tells how the file stored its pixels.
func rasterOf(m image.Image) *raster {
	r := m.Bounds()
	w, h := r.Dx(), r.Dy()
	switch m := m.(type) {
	case *image.Gray:
		return packed(modelGray, w, h, 1, m.Pix, m.Stride, 1, 1)
	case *image.Gray16:
		return packed(modelGray, w, h, 1, m.Pix, m.Stride, 2, 2)
	case *image.RGBA: // opaque RGB too
		return packed(modelRGB, w, h, 3, m.Pix, m.Stride, 4, 1)
	case *image.NRGBA:
		return packed(modelRGB, w, h, 4, m.Pix, m.Stride, 4, 1)
	case *image.RGBA64:
		return packed(modelRGB, w, h, 3, m.Pix, m.Stride, 8, 2)
	case *image.NRGBA64:
		return packed(modelRGB, w, h, 4, m.Pix, m.Stride, 8, 2)
	case *image.Paletted:
		return paletted(m)
	}
	out := pixels.New(w, h, 4)
	for y := range h {
		for x := range w {
			c := color.NRGBAModel.Convert(m.At(r.Min.X+x, r.Min.Y+y)).(color.NRGBA)
			copy(out.Pix[4*(y*w+x):], []uint8{c.R, c.G, c.B, c.A})
		}
	}
	return &raster{image: out, model: modelRGB}
}

// packed copies c samples out of every pixel of step bytes; a sample's first byte is taken and
// sample bytes long (16-bit samples are big-endian).
func packed(kind model, w, h, c int, pix []uint8, stride, step, sample int) *raster {
	out := pixels.New(w, h, c)
	for y := range h {
		from, to := pix[y*stride:], out.Row(y)
		for x := range w {
			for k := range c {
				to[x*c+k] = from[x*step+k*sample]
			}
		}
	}
	return &raster{image: out, model: kind}
}

func paletted(m *image.Paletted) *raster {
	r := m.Bounds()
	w, h := r.Dx(), r.Dy()
	var table [256][4]uint8
	for i, c := range m.Palette[:min(len(m.Palette), 256)] {
		// The palette holds opaque RGBA or NRGBA, so that these are the values of the file.
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		table[i] = [4]uint8{n.R, n.G, n.B, n.A}
	}
	out := pixels.New(w, h, 3)
	for y := range h {
		to := out.Row(y)
		for x, v := range m.Pix[y*m.Stride:][:w] {
			copy(to[3*x:3*x+3], table[v][:3])
		}
	}
	return &raster{image: out, model: modelRGB}
}

// to converts to the number of channels that was asked for. Alpha is dropped.
func (r *raster) to(channels int) (*pixels.Image, error) {
	m := r.image
	if m.C == channels && (r.model == modelBands || channels != 1 && channels != 3) {
		return m, nil
	}
	colors := m.C
	switch r.model {
	case modelGray:
		colors = 1
	case modelRGB:
		colors = 3
	case modelCMYK:
		colors = 4
	}
	if channels != 1 && channels != 3 || r.model == modelBands && colors != 1 && colors != 3 {
		return nil, wrongChannels(m.C, channels)
	}
	if m.C > colors {
		m = first(m, colors)
	}
	if m.C == channels {
		return m, nil
	}
	out := &pixels.Image{}
	recolored(out, m, channels)
	return out, nil
}

// ChannelsError reports an image whose channels can't be converted to those that were asked for.
type ChannelsError struct{ Has, Want int }

func (e *ChannelsError) Error() string {
	return fmt.Sprintf("the image has %d channels and data.channels is %d", e.Has, e.Want)
}

func wrongChannels(has, want int) error { return &ChannelsError{has, want} }

// spread makes three equal channels of one.
func spread(dst, m *pixels.Image) {
	dst.Reset(m.W, m.H, 3)
	for i, v := range m.Pix {
		p := dst.Pix[3*i : 3*i+3 : 3*i+3]
		p[0], p[1], p[2] = v, v, v
	}
}

// first keeps the first c bands.
func first(m *pixels.Image, c int) *pixels.Image {
	out := pixels.New(m.W, m.H, c)
	for i := range m.W * m.H {
		copy(out.Pix[i*c:(i+1)*c], m.Pix[i*m.C:])
	}
	return out
}

// printed is Pillow's CMYK to RGB: (255-k) - c*(255-k)/255, rounded.
func printed(out, m *pixels.Image) {
	out.Reset(m.W, m.H, 3)
	for i := range m.W * m.H {
		p, q := m.Pix[4*i:4*i+4], out.Pix[3*i:3*i+3]
		nk := 255 - int(p[3])
		for c := range 3 {
			t := int(p[c])*nk + 128
			q[c] = uint8(max(nk-((t>>8)+t)>>8, 0))
		}
	}
}
