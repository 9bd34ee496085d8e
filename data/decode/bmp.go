package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/vittool/vittool/data/pixels"
)

// Compressions of a BMP file.
const (
	bmpRaw = iota
	bmpRLE8
	bmpRLE4
	bmpBitfields
	bmpJPEG
	bmpPNG
)

// bmpFile is the header of a file.
type bmpFile struct {
	canvas
	topDown     bool
	bits        int
	compression uint32
	masks       [4]uint32 // red, green, blue, alpha
	palette     []byte
	entry       int    // bytes of a palette entry, blue first
	at          int    // place of the pixels in the file
	file        []byte // all of it
}

// parseBMP reads the headers of Windows (40, 52, 56, 108 and 124 bytes) and of OS/2 (12 and 64
// bytes).
func parseBMP(b []byte) (file, error) {
	if len(b) < 18 {
		return nil, io.ErrUnexpectedEOF
	}
	f := &bmpFile{file: b, entry: 4, at: int(binary.LittleEndian.Uint32(b[10:]))}
	size := int(binary.LittleEndian.Uint32(b[14:]))
	end := 14 + size
	switch size {
	case 12, 40, 52, 56, 64, 108, 124:
	default:
		return nil, fmt.Errorf("a header of %d bytes is none that is known", size)
	}
	if len(b) < end {
		return nil, io.ErrUnexpectedEOF
	}
	colors := 0
	if head := b[14:end]; size == 12 {
		f.w, f.h = int(binary.LittleEndian.Uint16(head[4:])), int(binary.LittleEndian.Uint16(head[6:]))
		f.bits, f.entry = int(binary.LittleEndian.Uint16(head[10:])), 3
	} else {
		f.w, f.h = int(int32(binary.LittleEndian.Uint32(head[4:]))), int(int32(binary.LittleEndian.Uint32(head[8:])))
		if f.topDown = f.h < 0; f.topDown {
			f.h = -f.h
		}
		f.bits, f.compression = int(binary.LittleEndian.Uint16(head[14:])), binary.LittleEndian.Uint32(head[16:])
		colors = int(binary.LittleEndian.Uint32(head[32:]))
	}
	if f.compression == bmpBitfields {
		var err error
		if end, err = f.readMasks(size, end); err != nil {
			return nil, err
		}
	}
	return f, f.readPalette(size, end, colors)
}

// readMasks reads the masks of the colors, which lie in the header or, where that is too short,
// behind it. It returns the place behind them.
func (f *bmpFile) readMasks(size, end int) (int, error) {
	const at = 14 + 40
	n := 3
	switch {
	case size < 52:
		end = max(end, at+12)
	case size >= 56:
		n = 4
	}
	if len(f.file) < end {
		return 0, io.ErrUnexpectedEOF
	}
	for i := range n {
		f.masks[i] = binary.LittleEndian.Uint32(f.file[at+4*i:])
	}
	return end, nil
}

func (f *bmpFile) readPalette(size, end, colors int) error {
	if f.bits > 8 {
		if f.at == 0 {
			f.at = end
		}
		return nil
	}
	if colors == 0 {
		colors = 1 << f.bits
	}
	if colors < 0 || colors > 1<<16 {
		return fmt.Errorf("a palette of %d colors", colors)
	}
	n := f.entry * colors
	if f.at == 0 || f.at == 14+size {
		f.at = end + n
	}
	f.palette = f.file[end:min(end+n, len(f.file))] // as in Pillow, it may be too short
	return nil
}

func (f *bmpFile) decode(Options) (*raster, error) {
	if f.at > len(f.file) {
		return nil, io.ErrUnexpectedEOF
	}
	switch f.compression {
	case bmpRaw, bmpBitfields:
	case bmpRLE8, bmpRLE4:
		if want := map[uint32]int{bmpRLE8: 8, bmpRLE4: 4}[f.compression]; f.bits != want {
			return nil, fmt.Errorf("run-length code %d of %d bits a pixel", f.compression, f.bits)
		}
		return f.runs()
	case bmpJPEG, bmpPNG:
		return nil, errors.New("pixels that are a JPEG or PNG file within a BMP are not read; convert it to PNG")
	default:
		return nil, fmt.Errorf("compression %d is not read; convert it to PNG", f.compression)
	}
	switch f.bits {
	case 1, 4, 8:
		return f.indices()
	case 16, 24, 32:
		return f.colors()
	}
	return nil, fmt.Errorf("%d bits a pixel are not read; convert it to PNG", f.bits)
}

// rows calls put with the bytes of every row of the picture, top down or not.
func (f *bmpFile) rows(put func(y int, row []byte)) {
	n, stride := (f.w*f.bits+7)/8, (f.w*f.bits+31)/32*4
	data := f.file[f.at:]
	for i := range f.h {
		put(f.row(i), data[i*stride:][:n])
	}
}

// whole is an error where bytes of the last row are missing.
func (f *bmpFile) whole() error {
	n, stride := (f.w*f.bits+7)/8, (f.w*f.bits+31)/32*4
	if int64(len(f.file)-f.at) < int64(stride)*int64(f.h-1)+int64(n) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// row is the place in the picture of the i-th row of the file.
func (f *bmpFile) row(i int) int {
	if f.topDown {
		return i
	}
	return f.h - 1 - i
}

func (f *bmpFile) indices() (*raster, error) {
	if err := f.whole(); err != nil {
		return nil, err
	}
	m := pixels.New(f.w, f.h, 1)
	f.rows(func(y int, row []byte) { unpack(m.Row(y), row, f.bits) })
	return indexed(m, f.palette, f.entry, [3]int{2, 1, 0}), nil
}

// unpack separates samples of 1, 2, 4 or 8 bits, the highest bits first.
func unpack(out, in []byte, bits int) {
	if bits == 8 {
		copy(out, in)
		return
	}
	each := 8 / bits
	for i := range out {
		out[i] = in[i/each] >> (8 - bits - i%each*bits) & (1<<bits - 1)
	}
}

// bmpLayouts are the masks that Pillow knows, with the bytes of a pixel that are red, green, blue
// and alpha (-1: none).
var bmpLayouts = []struct {
	bits   int
	masks  [4]uint32
	places [4]int
}{
	{32, [4]uint32{0xff0000, 0xff00, 0xff, 0}, [4]int{2, 1, 0, -1}},
	{32, [4]uint32{0xff000000, 0xff0000, 0xff00, 0}, [4]int{3, 2, 1, -1}},
	{32, [4]uint32{0xff000000, 0xff00, 0xff, 0}, [4]int{3, 1, 0, -1}},
	{32, [4]uint32{0xff000000, 0xff0000, 0xff00, 0xff}, [4]int{3, 2, 1, 0}},
	{32, [4]uint32{0xff, 0xff00, 0xff0000, 0xff000000}, [4]int{0, 1, 2, 3}},
	{32, [4]uint32{0xff0000, 0xff00, 0xff, 0xff000000}, [4]int{2, 1, 0, 3}},
	{32, [4]uint32{0xff000000, 0xff00, 0xff, 0xff0000}, [4]int{3, 1, 0, 2}},
	{32, [4]uint32{}, [4]int{2, 1, 0, 3}},
	{24, [4]uint32{0xff0000, 0xff00, 0xff, 0}, [4]int{2, 1, 0, -1}},
}

// colors reads pixels of 16, 24 and 32 bits.
func (f *bmpFile) colors() (*raster, error) {
	places := [4]int{2, 1, 0, -1}
	green := uint16(5) // bits, of 16
	if f.compression == bmpBitfields {
		masks := f.masks
		if f.bits < 32 {
			masks[3] = 0
		}
		known := false
		for _, l := range bmpLayouts {
			if l.bits == f.bits && l.masks == masks {
				known, places = true, l.places
			}
		}
		switch {
		case f.bits == 16 && masks == [4]uint32{0xf800, 0x7e0, 0x1f}:
			known, green = true, 6
		case f.bits == 16:
			known = masks == [4]uint32{0x7c00, 0x3e0, 0x1f}
		}
		if !known {
			return nil, fmt.Errorf("colors in the bits %08x of %d are not read; convert it to PNG", f.masks, f.bits)
		}
	}
	if err := f.whole(); err != nil {
		return nil, err
	}
	r := &raster{image: pixels.New(f.w, f.h, 3), model: modelRGB}
	if places[3] >= 0 {
		r = &raster{image: pixels.New(f.w, f.h, 4), model: modelRGB}
	}
	n := r.image.C
	f.rows(func(y int, row []byte) {
		to := r.image.Row(y)
		for x := range f.w {
			p := to[n*x : n*x+n]
			if f.bits == 16 {
				short(p, binary.LittleEndian.Uint16(row[2*x:]), green)
				continue
			}
			for k := range p {
				p[k] = row[x*f.bits/8+places[k]]
			}
		}
	})
	return r, nil
}

// short makes a color of 5 bits for red and blue and 5 or 6 for green.
func short(p []uint8, v, green uint16) {
	most := uint16(1)<<green - 1
	p[0] = uint8(uint32(v>>(5+green)&31) * 255 / 31)
	p[1] = uint8(uint32(v>>5&most) * 255 / uint32(most))
	p[2] = uint8(uint32(v&31) * 255 / 31)
}

// runs reads run-length code, with the ends of rows as in Pillow.
func (f *bmpFile) runs() (*raster, error) {
	b, p, total := f.file, f.at, f.w*f.h
	// Two bytes give 255 pixels, four move by 255 rows.
	if int64(total) > int64(len(b))*256*int64(max(f.w, 1)) {
		return nil, io.ErrUnexpectedEOF
	}
	var out []byte
	x := 0
	for len(out) < total && p+2 <= len(b) {
		n, v := int(b[p]), b[p+1]
		p += 2
		switch {
		case n > 0:
			n = min(n, max(f.w-x, 0))
			for i := range n {
				out = append(out, f.runValue(v, i))
			}
			x += n
		case v == 0: // end of the row
			if rest := len(out) % f.w; rest > 0 {
				out = append(out, make([]byte, f.w-rest)...)
			}
			x = 0
		case v == 1: // end of the picture
			p = len(b)
		case v == 2: // move
			if p+2 > len(b) {
				return nil, io.ErrUnexpectedEOF
			}
			out = append(out, make([]byte, min(total-len(out), int(b[p])+int(b[p+1])*f.w))...)
			x = len(out) % f.w
			p += 2
		default: // pixels as they are
			n := min(total-len(out), int(v))
			size := n
			if f.bits == 4 {
				size = (n + 1) / 2
			}
			if p+size > len(b) {
				return nil, io.ErrUnexpectedEOF
			}
			for i := range n {
				if f.bits == 4 {
					out = append(out, f.runValue(b[p+i/2], i))
				} else {
					out = append(out, b[p+i])
				}
			}
			x += int(v)
			p += size
			p += p & 1
		}
	}
	if len(out) < total {
		return nil, io.ErrUnexpectedEOF
	}
	m := pixels.New(f.w, f.h, 1)
	for i := range f.h {
		copy(m.Row(f.row(i)), out[i*f.w:])
	}
	return indexed(m, f.palette, f.entry, [3]int{2, 1, 0}), nil
}

// runValue is the i-th of the pixels that a byte stands for.
func (f *bmpFile) runValue(v byte, i int) byte {
	if f.bits == 8 {
		return v
	}
	return v >> (4 * (1 - i%2)) & 15
}
