package decode

import (
	"bytes"
	"encoding/binary"
	"math"
	"regexp"

	"github.com/vittool/vittool/data/pixels"
)

// metadata holds the parts of a file that state the orientation of its picture.
type metadata struct {
	exif []byte // nil where there is none
	xmp  []byte
}

// xmpOrientation is Pillow's pattern: an attribute or an element.
var xmpOrientation = regexp.MustCompile(`tiff:Orientation(?:="|>)([0-9])`)

// orientation returns 1..8, and 1 (upright) for all that is missing or wrong: metadata never makes
// an image unreadable. XMP counts where EXIF has no orientation.
func (m metadata) orientation() int {
	exif := m.exif
	for range 2 {
		exif = bytes.TrimPrefix(exif, []byte("Exif\x00\x00"))
	}
	if f, entries, _, err := tiffDirectory(exif); err == nil && !f.big {
		if v, ok := f.orientation(entries); ok {
			return v
		}
	}
	return orientationOfXMP(m.xmp)
}

const upright = 1

func orientationOfXMP(packet []byte) int {
	if found := xmpOrientation.FindSubmatch(packet); found != nil {
		return validOrientation(float64(found[1][0] - '0'))
	}
	return upright
}

func validOrientation(v float64) int {
	if v >= 1 && v <= 8 && v == math.Trunc(v) {
		return int(v)
	}
	return upright
}

// orientation reads tag 274; ok tells whether there is one.
func (f *tiffFile) orientation(entries []byte) (v int, ok bool) {
	if raw, kind := f.find(entries, tagOrientation); raw != nil {
		return validOrientation(f.number(raw, kind)), true
	}
	return upright, false
}

// find returns the bytes and the type of the values of the first entry of a tag that has some.
func (f *tiffFile) find(entries []byte, tag uint16) (raw []byte, kind uint16) {
	for ; len(entries) > 0; entries = entries[f.entrySize():] {
		if f.order.Uint16(entries) != tag {
			continue
		}
		if raw, kind, count := f.raw(entries); count > 0 {
			return raw, kind
		}
	}
	return nil, 0
}

// number reads the first value of a field; NaN where its type is none of numbers. (Pillow has bytes
// for a BYTE, and they turn nothing.)
func (f *tiffFile) number(raw []byte, kind uint16) float64 {
	switch kind {
	case tiffShort:
		return float64(f.order.Uint16(raw))
	case tiffLong:
		return float64(f.order.Uint32(raw))
	case tiffLong8:
		return float64(f.order.Uint64(raw))
	case 5: // rational
		return float64(f.order.Uint32(raw)) / float64(f.order.Uint32(raw[4:]))
	case 6:
		return float64(int8(raw[0]))
	case 8:
		return float64(int16(f.order.Uint16(raw)))
	case 9:
		return float64(int32(f.order.Uint32(raw)))
	case 10: // signed rational
		return float64(int32(f.order.Uint32(raw))) / float64(int32(f.order.Uint32(raw[4:])))
	case 11:
		return float64(math.Float32frombits(f.order.Uint32(raw)))
	case 12:
		return math.Float64frombits(f.order.Uint64(raw))
	}
	return math.NaN()
}

// webpMetadata returns the content of the first EXIF and XMP chunks of an extended file that its
// header announces.
func webpMetadata(b []byte) metadata {
	const exifFlag, xmpFlag = 8, 4
	var m metadata
	if len(b) < 30 || string(b[12:16]) != "VP8X" {
		return m
	}
	flags := b[20]
	b = b[:min(uint64(len(b)), 8+uint64(binary.LittleEndian.Uint32(b[4:])))]
	for c := range riffChunks(b) {
		switch {
		case !c.good:
		case c.name == "EXIF" && flags&exifFlag != 0 && m.exif == nil:
			m.exif = c.body
		case c.name == "XMP " && flags&xmpFlag != 0 && m.xmp == nil:
			m.xmp = c.body
		}
	}
	return m
}

// turned reports whether a stored picture of an orientation isn't upright.
func turned(orientation int) bool { return orientation >= 2 && orientation <= 8 }

// storedAt returns where the pixel (x, y) of an upright picture of w x h lies in the stored one.
func storedAt(x, y, w, h, orientation int) (sx, sy int) {
	switch orientation {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, w - 1 - x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return h - 1 - y, x
	}
	return x, y
}

// storedBox returns the box of the stored picture that a box of the upright one, of w x h, shows.
func storedBox(box pixels.Rect, w, h, orientation int) pixels.Rect {
	x0, y0 := storedAt(box.Left, box.Top, w, h, orientation)
	x1, y1 := storedAt(box.Left+box.W-1, box.Top+box.H-1, w, h, orientation)
	return pixels.Rect{Left: min(x0, x1), Top: min(y0, y1), W: max(x0, x1) - min(x0, x1) + 1, H: max(y0, y1) - min(y0, y1) + 1}
}

// orient writes the stored picture m to dst, upright.
func orient(dst, m *pixels.Image, orientation int) {
	w, h, c := m.W, m.H, m.C
	if orientation >= 5 {
		w, h = h, w
	}
	dst.Reset(w, h, c)
	for y := range h {
		sx, sy := storedAt(0, y, w, h, orientation)
		ex, ey := storedAt(1, y, w, h, orientation)
		from, step := (sy*m.W+sx)*c, ((ey-sy)*m.W+ex-sx)*c
		to := dst.Row(y)
		for x := range w {
			copy(to[x*c:(x+1)*c], m.Pix[from+x*step:])
		}
	}
}
