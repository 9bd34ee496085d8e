package decode

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
)

// decodeGIF reads the first frame, placed on its canvas.
func decodeGIF(b []byte, _ Options) (*raster, error) {
	m, err := gif.Decode(bytes.NewReader(opaqueGIF(b)))
	if err != nil {
		return nil, err
	}
	frame, ok := m.(*image.Paletted)
	cfg, err := gif.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	canvas := image.Rect(0, 0, cfg.Width, cfg.Height)
	if !ok || frame.Rect == canvas {
		return rasterOf(m), nil
	}
	// A first frame smaller than the canvas lies on palette entry 0, which
	// is what Pillow fills with.
	whole := image.NewPaletted(canvas, frame.Palette)
	if global, ok := cfg.ColorModel.(color.Palette); ok && len(global) > 0 {
		whole.Palette = frame.Palette
	}
	in := frame.Rect.Intersect(canvas)
	for y := in.Min.Y; y < in.Max.Y; y++ {
		copy(whole.Pix[whole.PixOffset(in.Min.X, y):][:in.Dx()], frame.Pix[frame.PixOffset(in.Min.X, y):])
	}
	return rasterOf(whole), nil
}

// opaqueGIF returns the file with the transparency of its first frame
// switched off: the standard decoder would replace the palette entry by
// black, and dropping alpha must keep the colour that is there.
func opaqueGIF(b []byte) []byte {
	if len(b) < 13 {
		return b
	}
	p := 13
	if b[10]&0x80 != 0 {
		p += 3 << (b[10]&7 + 1)
	}
	for p+8 <= len(b) && b[p] == 0x21 { // extensions before the first frame
		if b[p+1] == 0xf9 && b[p+2] == 4 {
			if b[p+3]&1 == 0 {
				return b
			}
			out := bytes.Clone(b)
			out[p+3] &^= 1
			return out
		}
		p += 2
		for p < len(b) && b[p] != 0 {
			p += int(b[p]) + 1
		}
		p++
	}
	return b
}
