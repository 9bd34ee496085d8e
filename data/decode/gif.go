package decode

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/vittool/vittool/data/pixels"
)

// gifFrame is the first frame of a file.
type gifFrame struct {
	canvas            // made larger where the frame leaves it
	x, y       int    // of the frame on the canvas
	fw, fh     int    // of the frame
	palette    []byte // RGB; nil where an index is its gray value
	background byte   // index of the canvas around the frame
	interlaced bool
	codeSize   int
	data       []byte // from the first block on
}

// gifReader reads from the front of a file.
type gifReader struct{ rest []byte }

func (r *gifReader) next(n int) ([]byte, error) {
	if n > len(r.rest) {
		return nil, io.ErrUnexpectedEOF
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b, nil
}

// block reads a block of data; nil is the end.
func (r *gifReader) block() ([]byte, error) {
	n, err := r.next(1)
	if err != nil || n[0] == 0 {
		return nil, err
	}
	return r.next(int(n[0]))
}

// table reads a color table where a descriptor announces one.
func (r *gifReader) table(flags byte) ([]byte, error) {
	if flags&0x80 == 0 {
		return nil, nil
	}
	return r.next(3 << (flags&7 + 1))
}

// parseGIF reads as Pillow does: anything between blocks is passed over, and the canvas grows with
// the frame.
func parseGIF(b []byte) (file, error) {
	r := &gifReader{b}
	screen, err := r.next(13)
	if err != nil {
		return nil, err
	}
	f := &gifFrame{canvas: canvas{int(binary.LittleEndian.Uint16(screen[6:])), int(binary.LittleEndian.Uint16(screen[8:]))}}
	if f.palette, err = r.table(screen[10]); err != nil {
		return nil, err
	}
	for {
		kind, err := r.next(1)
		if err != nil {
			return nil, err
		}
		switch kind[0] {
		case ';':
			return nil, errors.New("it has no frame")
		case '!':
			if err := f.extension(r); err != nil {
				return nil, err
			}
		case ',':
			return f, f.descriptor(r)
		}
	}
}

// extension passes over an extension, but for the transparent index.
func (f *gifFrame) extension(r *gifReader) error {
	const control = 0xf9
	label, err := r.next(1)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		block, err := r.block()
		if err != nil || block == nil {
			return err
		}
		if first && label[0] == control && len(block) >= 4 && block[0]&1 != 0 {
			f.background = block[3]
		}
	}
}

func (f *gifFrame) descriptor(r *gifReader) error {
	d, err := r.next(9)
	if err != nil {
		return err
	}
	at := func(i int) int { return int(binary.LittleEndian.Uint16(d[i:])) }
	f.x, f.y, f.fw, f.fh = at(0), at(2), at(4), at(6)
	if f.fw == 0 || f.fh == 0 {
		return fmt.Errorf("its first frame has %dx%d pixels", f.fw, f.fh)
	}
	f.w, f.h = max(f.w, f.x+f.fw), max(f.h, f.y+f.fh)
	f.interlaced = d[8]&0x40 != 0
	if local, err := r.table(d[8]); err != nil {
		return err
	} else if local != nil {
		f.palette = local
	}
	size, err := r.next(1)
	if err != nil {
		return err
	}
	if f.codeSize = int(size[0]); f.codeSize < 2 || f.codeSize > 8 {
		return fmt.Errorf("its codes begin with %d bits; 2 to 8 are possible", f.codeSize)
	}
	f.data = r.rest
	return nil
}

// decode reads the first frame, placed on its canvas. Data behind its last pixel is not looked at.
// Alpha is dropped: a transparent pixel has the color that the palette gives it.
func (f *gifFrame) decode(Options) (*raster, error) {
	var packed []byte
	for r := (gifReader{f.data}); ; {
		block, err := r.block()
		if err != nil { // the data so far may be enough
			packed = append(packed, r.rest...)
			break
		}
		if block == nil {
			break
		}
		packed = append(packed, block...)
	}
	// A code of 12 bits gives 4095 pixels at most: a small file that claims to be large is refused
	// before there is memory for it.
	if int64(f.fw)*int64(f.fh) > 4096*int64(len(packed)) {
		return nil, io.ErrUnexpectedEOF
	}
	index := make([]byte, f.fw*f.fh)
	codes := lzw.NewReader(bytes.NewReader(packed), lzw.LSB, f.codeSize)
	defer codes.Close()
	if _, err := io.ReadFull(codes, index); err != nil {
		return nil, err
	}
	whole := pixels.New(f.w, f.h, 1)
	for i := range whole.Pix {
		whole.Pix[i] = f.background
	}
	rows := [][2]int{{0, 1}}
	if f.interlaced {
		rows = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	for _, pass := range rows {
		for y := pass[0]; y < f.fh; y += pass[1] {
			copy(whole.Row(f.y + y)[f.x:], index[:f.fw])
			index = index[f.fw:]
		}
	}
	return indexed(whole, f.palette, 3, [3]int{0, 1, 2}), nil
}

// indexed looks the pixels up in a palette of entries of step bytes, red, green and blue at the
// places given. As in Pillow, an index beyond its end is black, and without a palette each is its
// own gray value.
func indexed(m *pixels.Image, palette []byte, step int, places [3]int) *raster {
	if palette == nil {
		return &raster{image: m, model: modelGray}
	}
	var table [256][3]uint8
	for i := range min(len(table), len(palette)/step) {
		for k, p := range places {
			table[i][k] = palette[i*step+p]
		}
	}
	out := pixels.New(m.W, m.H, 3)
	for i, v := range m.Pix {
		copy(out.Pix[3*i:3*i+3], table[v][:])
	}
	return &raster{image: out, model: modelRGB}
}
