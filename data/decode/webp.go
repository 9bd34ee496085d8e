package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"

	"golang.org/x/image/webp"

	"github.com/vittool/vittool/data/pixels"
)

// webpFrame is the picture of a file, or the first one of an animated file.
type webpFrame struct {
	canvas
	x, y   int // of the frame on it
	file   []byte
	alone  bool   // without an animation
	chunks []byte // of a frame of an animation
	fw, fh int
}

// riffChunks are the chunks of a file in order.
func riffChunks(b []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		for p := 12; p+8 <= len(b); {
			n := int(binary.LittleEndian.Uint32(b[p+4:]))
			c := chunk{name: string(b[p : p+4]), body: b[p+8:], good: n <= len(b)-p-8}
			c.body = c.body[:min(n, len(c.body))]
			if !yield(c) || !c.good {
				return
			}
			p += 8 + n + n&1
		}
	}
}

// parseWebP finds the first picture of a file.
func parseWebP(b []byte) (file, error) {
	if len(b) < 30 || uint64(binary.LittleEndian.Uint32(b[4:]))+8 > uint64(len(b)) {
		return nil, io.ErrUnexpectedEOF
	}
	const animation = 2
	if string(b[12:16]) != "VP8X" || b[20]&animation == 0 {
		cfg, err := webp.DecodeConfig(bytes.NewReader(b))
		return &webpFrame{canvas: canvas{cfg.Width, cfg.Height}, file: b, alone: true}, err
	}
	three := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
	f := &webpFrame{canvas: canvas{three(b[24:]) + 1, three(b[27:]) + 1}, file: b}
	for c := range riffChunks(b) {
		if c.name == "ANMF" && c.good && len(c.body) >= 16 {
			f.x, f.y, f.fw, f.fh = 2*three(c.body), 2*three(c.body[3:]), three(c.body[6:])+1, three(c.body[9:])+1
			if f.x+f.fw > f.w || f.y+f.fh > f.h {
				return nil, errors.New("its first frame leaves the canvas")
			}
			f.chunks = c.body[16:]
			return f, nil
		}
	}
	return nil, errors.New("an animation without a frame")
}

// single returns a file that holds the frame alone.
func (f *webpFrame) single() []byte {
	out := []byte("RIFF\x00\x00\x00\x00WEBP")
	if bytes.HasPrefix(f.chunks, []byte("ALPH")) { // needs an extended header
		const alpha = 16
		out = append(out, "VP8X\x0a\x00\x00\x00"...)
		out = append(out, alpha, 0, 0, 0)
		for _, side := range []int{f.fw - 1, f.fh - 1} {
			out = append(out, byte(side), byte(side>>8), byte(side>>16))
		}
	}
	out = append(out, f.chunks...)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

func (f *webpFrame) decode(o Options) (*raster, error) {
	data := f.file
	if !f.alone {
		data = f.single()
	}
	if err := checkFrames(data, o.MaxPixels); err != nil {
		return nil, err
	}
	m, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var r *raster
	switch m := m.(type) {
	case *image.YCbCr:
		r = &raster{image: fromStudioYUV(m), model: modelRGB}
	case *image.NYCbCrA:
		r = &raster{image: withAlpha(fromStudioYUV(&m.YCbCr), m.A, m.AStride), model: modelRGB}
	default:
		r = rasterOf(m)
	}
	if !f.alone {
		if r.image.W != f.fw || r.image.H != f.fh {
			return nil, fmt.Errorf("its first frame has %dx%d pixels and claims %dx%d", r.image.W, r.image.H, f.fw, f.fh)
		}
		r.image = f.onCanvas(r.image)
	}
	r.orientation = webpMetadata(f.file).orientation()
	return r, nil
}

// onCanvas lays the frame on a canvas of transparent black.
func (f *webpFrame) onCanvas(m *pixels.Image) *pixels.Image {
	if m.W == f.w && m.H == f.h {
		return m
	}
	out := pixels.New(f.w, f.h, m.C)
	for y := range m.H {
		copy(out.Row(f.y + y)[f.x*m.C:], m.Row(y))
	}
	return out
}

// checkFrames looks at the size that the picture data itself claims: the canvas in front of it may
// claim less.
func checkFrames(b []byte, limit int64) error {
	for c := range riffChunks(b) {
		switch {
		case c.name == "VP8 " && len(c.body) >= 10:
			w, h := binary.LittleEndian.Uint16(c.body[6:]), binary.LittleEndian.Uint16(c.body[8:])
			return checkSize(int(w&0x3fff), int(h&0x3fff), limit)
		case c.name == "VP8L" && len(c.body) >= 5:
			v := binary.LittleEndian.Uint32(c.body[1:])
			return checkSize(int(v&0x3fff)+1, int(v>>14&0x3fff)+1, limit)
		}
	}
	return nil
}

// fromStudioYUV converts VP8's planes as libwebp does: BT.601 in studio range, chroma interpolated
// between the four nearest samples.
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

// upsampleVP8 is libwebp's fancy upsampling of one row: weights 9, 3, 3, 1 over 16, computed in its
// two halving steps.
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
