package decode

import (
	"bytes"
	"encoding/binary"

	"github.com/vittool/vittool/data/pixels"
)

// jpegEXIF returns the TIFF block of a JPEG's EXIF segment, nil when there
// is none.
func jpegEXIF(b []byte) []byte {
	for p := 2; p+4 <= len(b) && b[p] == 0xff; {
		marker := b[p+1]
		switch {
		case marker == 0xff: // fill byte
			p++
			continue
		case marker == 0x01 || marker >= 0xd0 && marker <= 0xd8: // no length
			p += 2
			continue
		case marker == 0xda || marker == 0xd9: // scan or end: metadata is over
			return nil
		}
		n := int(binary.BigEndian.Uint16(b[p+2:]))
		if n < 2 || p+2+n > len(b) {
			return nil
		}
		body := b[p+4 : p+2+n]
		if marker == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			return body[6:]
		}
		p += 2 + n
	}
	return nil
}

// pngEXIF returns the content of the eXIf chunk.
func pngEXIF(b []byte) []byte {
	for p := 8; p+12 <= len(b); {
		n := int(binary.BigEndian.Uint32(b[p:]))
		if n > len(b)-p-12 {
			return nil
		}
		if string(b[p+4:p+8]) == "eXIf" {
			return b[p+8 : p+8+n]
		}
		p += 12 + n
	}
	return nil
}

// webpEXIF returns the content of the EXIF chunk.
func webpEXIF(b []byte) []byte {
	for p := 12; p+8 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[p+4:]))
		if n > len(b)-p-8 {
			return nil
		}
		if string(b[p:p+4]) == "EXIF" {
			return bytes.TrimPrefix(b[p+8:p+8+n], []byte("Exif\x00\x00"))
		}
		p += 8 + n + n&1
	}
	return nil
}

// Orientation reads tag 274 of the first directory of a TIFF block, the form
// of EXIF. It returns 1..8, and 1 (upright) for whatever is missing or wrong:
// metadata never makes an image unreadable.
func Orientation(b []byte) int {
	const tagOrientation, typeShort, upright = 274, 3, 1
	if len(b) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	dir := uint64(order.Uint32(b[4:]))
	if dir+2 > uint64(len(b)) {
		return upright
	}
	entries := int(order.Uint16(b[dir:]))
	p := int(dir) + 2
	for ; entries > 0 && p+12 <= len(b); entries, p = entries-1, p+12 {
		if order.Uint16(b[p:]) != tagOrientation {
			continue
		}
		if order.Uint16(b[p+2:]) != typeShort || order.Uint32(b[p+4:]) != 1 {
			return upright
		}
		if v := int(order.Uint16(b[p+8:])); v >= 1 && v <= 8 {
			return v
		}
		return upright
	}
	return upright
}

// turned reports whether a stored picture of an orientation isn't upright.
func turned(orientation int) bool { return orientation >= 2 && orientation <= 8 }

// storedAt returns where the pixel (x, y) of an upright picture of w x h lies
// in the stored one.
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

// storedBox returns the box of the stored picture that a box of the upright
// one, of w x h, shows.
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
