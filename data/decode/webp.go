package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/webp"

	"github.com/vittool/vittool/data/pixels"
)

func decodeWebP(b []byte, o Options) (*raster, error) {
	// x/image/webp stops reading at the last pixel; what follows may turn
	// the picture.
	if uint64(binary.LittleEndian.Uint32(b[4:]))+8 > uint64(len(b)) {
		return nil, io.ErrUnexpectedEOF
	}
	if err := checkFrames(b, o.MaxPixels); err != nil {
		return nil, err
	}
	m, err := webp.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	var r *raster
	switch m := m.(type) {
	case *image.YCbCr:
		r = &raster{image: fromStudioYUV(m), model: modelRGB}
	case *image.NYCbCrA:
		r = &raster{image: withAlpha(fromStudioYUV(&m.YCbCr), m.A, m.AStride), model: modelRGBA}
	default:
		r = rasterOf(m)
	}
	r.orientation = Orientation(webpEXIF(b))
	return r, nil
}

// checkFrames looks at the size that the picture data itself claims: the
// canvas in front of it may say something smaller.
func checkFrames(b []byte, limit int64) error {
	for p := 12; p+18 <= len(b); {
		n := int64(binary.LittleEndian.Uint32(b[p+4:]))
		body := b[p+8:]
		switch string(b[p : p+4]) {
		case "VP8 ":
			w := int(binary.LittleEndian.Uint16(body[6:])) & 0x3fff
			h := int(binary.LittleEndian.Uint16(body[8:])) & 0x3fff
			return checkSize(w, h, limit)
		case "VP8L":
			v := binary.LittleEndian.Uint32(body[1:])
			return checkSize(int(v&0x3fff)+1, int(v>>14&0x3fff)+1, limit)
		case "ANMF":
			return fmt.Errorf("animated WebP is not supported; extract a frame")
		}
		if n > int64(len(b)-p-8) {
			return nil // the decoder reports it
		}
		p += 8 + int(n+n&1)
	}
	return nil
}

// fromStudioYUV converts VP8's planes as libwebp does: BT.601 in studio
// range, chroma interpolated between the four nearest samples.
func fromStudioYUV(m *image.YCbCr) *pixels.Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := pixels.New(w, h, 3)
	cw := (w + 1) / 2
	u, v := make([]uint8, w+1), make([]uint8, w+1)
	for y := range h {
		near := y / 2
		far := min(max(near-1+2*(y&1), 0), (h+1)/2-1)
		upsampleVP8(u[:w], m.Cb[near*m.CStride:][:cw], m.Cb[far*m.CStride:][:cw])
		upsampleVP8(v[:w], m.Cr[near*m.CStride:][:cw], m.Cr[far*m.CStride:][:cw])
		row := out.Row(y)
		for x, l := range m.Y[y*m.YStride:][:w] {
			studioRGB(row[3*x:3*x+3], int(l), int(u[x]), int(v[x]))
		}
	}
	return out
}

// upsampleVP8 is libwebp's fancy upsampling of one row: weights 9, 3, 3, 1
// over 16, computed in its two halving steps.
func upsampleVP8(dst, near, far []uint8) {
	w := len(dst)
	dst[0] = uint8((3*int(near[0]) + int(far[0]) + 2) >> 2)
	for x := 1; 2*x-1 < w; x++ {
		if x >= len(near) { // even width: the last pixel lies beyond the last sample
			dst[2*x-1] = uint8((3*int(near[x-1]) + int(far[x-1]) + 2) >> 2)
			break
		}
		a, b, c, d := int(near[x-1]), int(near[x]), int(far[x-1]), int(far[x])
		sum := a + b + c + d + 8
		dst[2*x-1] = uint8(((sum+2*(b+c))>>3 + a) >> 1)
		if 2*x < w {
			dst[2*x] = uint8(((sum+2*(a+d))>>3 + b) >> 1)
		}
	}
}

func studioRGB(p []uint8, y, u, v int) {
	high := func(a, k int) int { return a * k >> 8 }
	clip := func(a int) uint8 {
		if a < 0 {
			return 0
		}
		return uint8(min(a>>6, 255))
	}
	l := high(y, 19077)
	p[0] = clip(l + high(v, 26149) - 14234)
	p[1] = clip(l - high(u, 6419) - high(v, 13320) + 8708)
	p[2] = clip(l + high(u, 33050) - 17685)
}

func withAlpha(rgb *pixels.Image, alpha []uint8, stride int) *pixels.Image {
	out := pixels.New(rgb.W, rgb.H, 4)
	for y := range rgb.H {
		from, to := rgb.Row(y), out.Row(y)
		for x := range rgb.W {
			copy(to[4*x:4*x+3], from[3*x:])
			to[4*x+3] = alpha[y*stride+x]
		}
	}
	return out
}
