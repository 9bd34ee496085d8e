package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"

	"github.com/vittool/vittool/data/pixels"
)

// netpbm is the header of a PBM, PGM or PPM file, or of a gray PFM.
type netpbm struct {
	canvas
	kind  byte    // '1' to '6', 'f'
	most  int     // the value of white
	scale float64 // of a PFM: its sign is the order of bytes
	data  []byte
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// isNetpbm asks for the first digit of the width, so that a text that begins with P1 is none.
func isNetpbm(b []byte) bool {
	if len(b) < 4 || b[0] != 'P' || !isSpace(b[2]) || (b[1] < '1' || b[1] > '6') && b[1] != 'f' {
		return false
	}
	rest := bytes.TrimLeft(b[3:], " \t\n\v\f\r")
	return len(rest) > 0 && (rest[0] == '#' || rest[0] >= '0' && rest[0] <= '9')
}

// word reads the next word of a header. A comment reaches to the end of its line, and one white
// space ends the word.
func (f *netpbm) word() (string, error) {
	var w []byte
	for len(f.data) > 0 && len(w) <= 10 {
		c := f.data[0]
		f.data = f.data[1:]
		switch {
		case c == '#':
			end := bytes.IndexAny(f.data, "\r\n")
			if end < 0 {
				return "", io.ErrUnexpectedEOF
			}
			f.data = f.data[end+1:]
		case !isSpace(c):
			w = append(w, c)
		case len(w) > 0:
			return string(w), nil
		}
	}
	if len(w) > 10 {
		return "", fmt.Errorf("%q is too long for a number of a header", w)
	}
	if len(w) == 0 {
		return "", io.ErrUnexpectedEOF
	}
	return string(w), nil
}

func (f *netpbm) number(name string, limit int) (int, error) {
	w, err := f.word()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(w)
	if err != nil || n < 1 || n > limit {
		return 0, fmt.Errorf("its %s is %q, which is not a number from 1 to %d", name, w, limit)
	}
	return n, nil
}

func parseNetpbm(b []byte) (file, error) {
	f := &netpbm{kind: b[1], data: b[3:], most: 1}
	var err error
	if f.w, err = f.number("width", math.MaxInt32); err != nil {
		return nil, err
	}
	if f.h, err = f.number("height", math.MaxInt32); err != nil {
		return nil, err
	}
	switch f.kind {
	case '1', '4':
	case 'f':
		w, err := f.word()
		if err != nil {
			return nil, err
		}
		if f.scale, err = strconv.ParseFloat(w, 64); err != nil || f.scale == 0 || math.IsNaN(f.scale) || math.IsInf(f.scale, 0) {
			return nil, fmt.Errorf("its scale is %q, which is not a number", w)
		}
	default:
		if f.most, err = f.number("largest value", 65535); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *netpbm) decode(Options) (*raster, error) {
	r := &raster{model: modelGray}
	channels := 1
	if f.kind == '3' || f.kind == '6' {
		r.model, channels = modelRGB, 3
	}
	// A sample of the plain kinds takes a byte at least, one of the raw kinds a bit or a whole
	// number of bytes.
	row := f.w * channels
	switch {
	case f.kind == '4':
		row = (f.w + 7) / 8
	case f.kind == 'f':
		row = 4 * f.w
	case f.kind >= '5' && f.most > 255:
		row *= 2
	}
	if int64(row)*int64(f.h) > int64(len(f.data)) {
		return nil, io.ErrUnexpectedEOF
	}
	r.image = pixels.New(f.w, f.h, channels)
	switch f.kind {
	case '1':
		return r, f.plainBits(r.image.Pix)
	case '2', '3':
		return r, f.plain(r.image.Pix, channels)
	case '4':
		for y := range f.h {
			to := r.image.Row(y)
			unpack(to, f.data[y*row:], 1)
			for i, v := range to {
				to[i] = 255 * (1 - v)
			}
		}
	case 'f':
		f.floats(r.image)
	default:
		f.samples(r.image)
	}
	return r, nil
}

// floats reads the rows of a PFM, from the bottom up.
func (f *netpbm) floats(m *pixels.Image) {
	order := binary.ByteOrder(binary.BigEndian)
	if f.scale < 0 {
		order = binary.LittleEndian
	}
	for y := range f.h {
		to := m.Row(f.h - 1 - y)
		for x := range to {
			to[x] = clip(float64(math.Float32frombits(order.Uint32(f.data[4*(y*f.w+x):]))))
		}
	}
}

// samples reads the bytes or pairs of bytes of a raw PGM or PPM.
func (f *netpbm) samples(m *pixels.Image) {
	for i := range m.Pix {
		v := int(f.data[i])
		if f.most > 255 {
			v = int(binary.BigEndian.Uint16(f.data[2*i:]))
		}
		m.Pix[i] = f.sample(v, m.C)
	}
}

// sample scales a value to 0..255. Of a gray one of 16 bits it is the high byte.
func (f *netpbm) sample(v, channels int) uint8 {
	if f.most == 255 {
		return uint8(v)
	}
	if channels == 1 && f.most > 255 {
		return uint8(int(min(math.RoundToEven(float64(v)/float64(f.most)*65535), 65535)) >> 8)
	}
	return uint8(min(math.RoundToEven(float64(v)/float64(f.most)*255), 255))
}

// comment is one in a plain raster, with the end of its line.
var comment = regexp.MustCompile("#[^\r\n]*[\r\n]?")

func withoutComments(b []byte) []byte {
	if bytes.IndexByte(b, '#') < 0 {
		return b
	}
	return comment.ReplaceAll(b, nil)
}

// plainBits reads the digits of a plain PBM, which need no space between them.
func (f *netpbm) plainBits(out []uint8) error {
	for _, c := range withoutComments(f.data) {
		switch {
		case len(out) == 0:
			return nil
		case c == '0' || c == '1':
			out[0] = 255 * ('1' - c)
			out = out[1:]
		case !isSpace(c):
			return fmt.Errorf("%q is no pixel of a plain PBM", c)
		}
	}
	if len(out) > 0 {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// plain reads decimal numbers.
func (f *netpbm) plain(out []uint8, channels int) error {
	rest := withoutComments(f.data)
	for i := range out {
		rest = bytes.TrimLeft(rest, " \t\n\v\f\r")
		end := bytes.IndexFunc(rest, func(r rune) bool { return r < 128 && isSpace(byte(r)) })
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return io.ErrUnexpectedEOF
		}
		v, err := strconv.Atoi(string(rest[:end]))
		if err != nil || v < 0 {
			return fmt.Errorf("%q is no value", rest[:min(end, 20)])
		}
		if v > f.most {
			return errors.New("a value is larger than the largest that the header allows")
		}
		out[i] = f.sample(v, channels)
		rest = rest[end:]
	}
	return nil
}
