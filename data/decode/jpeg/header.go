package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrUnsupported is wrapped by errors about files that are, as far as was
// looked, in order, but of a kind that this package does not read.
var ErrUnsupported = errors.New("not a baseline JPEG of gray or colour")

// errMissing is about a table that libjpeg misses as well.
var errMissing = errors.New("a table is missing")

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

// Markers, B.1.1.3.
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF1 = 0xc1 // extended sequential
	markerDHT  = 0xc4
	markerDAC  = 0xcc
	markerRST0 = 0xd0
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerDQT  = 0xdb
	markerDNL  = 0xdc
	markerDRI  = 0xdd
	markerAPP0 = 0xe0
	markerAPPE = 0xee
	markerTEM  = 0x01
)

// component is one colour plane of a file.
type component struct {
	id         byte
	h, v       int // sampling factors
	rx, ry     int // pixels that a sample stands for: the largest factor over its own
	quantIndex byte
	dc, ac     byte // Huffman tables
	w, ht      int  // size in samples, without the padding of the last blocks
	quant      *[64]uint16
}

// header is what stands before the scan.
type header struct {
	w, h          int
	components    []component
	hMax, vMax    int
	interval      int // MCUs between restart markers; 0: none
	rgb           bool
	scan          int // place of the first byte of entropy-coded data
	mcuW, mcuH    int // pixels of an MCU
	mcusX, mcusY  int
	frame, jfif   bool
	adobe         bool
	transform     byte
	quantDefined  [4]bool
	store         [3]component // room of components
	tablesDefined [2][4]bool
}

// readHeader reads all up to the scan. Tables go to d.
func (d *Decoder) readHeader(b []byte) error {
	d.header = header{}
	if len(b) < 2 || b[0] != 0xff || b[1] != markerSOI {
		return errors.New("it does not begin with a start marker")
	}
	p := 2
	for {
		// Fill bytes may stand before any marker; other bytes between
		// segments are passed over, as libjpeg does.
		i := bytes.IndexByte(b[p:], 0xff)
		if i < 0 {
			return io.ErrUnexpectedEOF
		}
		p += i
		for p < len(b) && b[p] == 0xff {
			p++
		}
		if p == len(b) {
			return io.ErrUnexpectedEOF
		}
		marker := b[p]
		p++
		switch {
		case marker == 0 || marker == markerTEM || marker >= markerRST0 && marker < markerSOI:
			continue // no segment follows
		case marker == markerSOI:
			return errors.New("a second start marker")
		case marker == markerEOI:
			return errors.New("it ends before its scan begins")
		}
		if p+2 > len(b) {
			return io.ErrUnexpectedEOF
		}
		n := int(binary.BigEndian.Uint16(b[p:]))
		if n < 2 {
			return fmt.Errorf("segment %#02x has length %d", marker, n)
		}
		if p+n > len(b) {
			return io.ErrUnexpectedEOF
		}
		body := b[p+2 : p+n]
		p += n
		var err error
		switch marker {
		case markerSOF0, markerSOF1:
			err = d.readFrame(body)
		case markerDQT:
			err = d.readQuant(body)
		case markerDHT:
			err = d.readHuffman(body)
		case markerDRI:
			if len(body) != 2 {
				return fmt.Errorf("restart interval segment of %d bytes", len(body))
			}
			d.interval = int(binary.BigEndian.Uint16(body))
		case markerAPP0:
			d.jfif = d.jfif || len(body) >= 5 && string(body[:5]) == "JFIF\x00"
		case markerAPPE:
			if len(body) >= 12 && string(body[:5]) == "Adobe" {
				d.adobe, d.transform = true, body[11]
			}
		case markerSOS:
			if err := d.readScan(body); err != nil {
				return err
			}
			d.scan = p
			return nil
		case markerDNL, markerDAC:
			err = unsupported("marker %#02x", marker)
		default:
			if marker > markerSOF1 && marker < 0xd0 {
				err = unsupported("coding process %d", marker-markerSOF0)
			}
		}
		if err != nil {
			return err
		}
	}
}

// readFrame reads a frame header, B.2.2.
func (d *Decoder) readFrame(b []byte) error {
	if d.frame {
		return errors.New("two frames")
	}
	if len(b) < 6 {
		return errors.New("the frame header is too short")
	}
	if b[0] != 8 {
		return unsupported("%d bits a sample", b[0])
	}
	d.h, d.w = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	n := int(b[5])
	switch {
	case d.h == 0:
		return unsupported("the height stands after the scan")
	case d.w == 0:
		return errors.New("the frame is empty")
	case len(b) != 6+3*n:
		return fmt.Errorf("a frame header of %d bytes for %d components", len(b), n)
	case n != 1 && n != 3:
		return unsupported("%d components", n)
	}
	d.frame = true
	d.components = d.store[:n]
	blocks := 0
	for i := range d.components {
		c := &d.components[i]
		*c = component{id: b[6+3*i], h: int(b[7+3*i] >> 4), v: int(b[7+3*i] & 15), quantIndex: b[8+3*i]}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.quantIndex > 3 {
			return fmt.Errorf("component %d has sampling factors %dx%d and quantization table %d", i, c.h, c.v, c.quantIndex)
		}
		for _, other := range d.components[:i] {
			if other.id == c.id {
				return fmt.Errorf("two components are called %d", c.id)
			}
		}
		if n == 1 {
			c.h, c.v = 1, 1 // a scan of one component has blocks for MCUs, A.2.2
		}
		d.hMax, d.vMax = max(d.hMax, c.h), max(d.vMax, c.v)
		blocks += c.h * c.v
	}
	if blocks > maxBlocks {
		return fmt.Errorf("%d blocks in an MCU", blocks)
	}
	d.mcuW, d.mcuH = 8*d.hMax, 8*d.vMax
	d.mcusX, d.mcusY = (d.w+d.mcuW-1)/d.mcuW, (d.h+d.mcuH-1)/d.mcuH
	for i := range d.components {
		c := &d.components[i]
		if d.hMax%c.h != 0 || d.vMax%c.v != 0 {
			return unsupported("sampling factor %dx%d of %dx%d", c.h, c.v, d.hMax, d.vMax)
		}
		c.rx, c.ry = d.hMax/c.h, d.vMax/c.v
		c.w, c.ht = (d.w+c.rx-1)/c.rx, (d.h+c.ry-1)/c.ry
	}
	return nil
}

// maxBlocks is the most blocks that an MCU may have, B.2.3.
const maxBlocks = 10

// readQuant reads quantization tables, B.2.4.1.
func (d *Decoder) readQuant(b []byte) error {
	for len(b) > 0 {
		precision, id := b[0]>>4, b[0]&15
		if precision > 1 || id > 3 {
			return fmt.Errorf("quantization table %d with precision %d", id, precision)
		}
		n := 64 * (1 + int(precision))
		if len(b) < 1+n {
			return errors.New("a quantization table is too short")
		}
		t := &d.quant[id]
		for i := range t {
			if precision == 0 {
				t[i] = uint16(b[1+i])
			} else {
				t[i] = binary.BigEndian.Uint16(b[1+2*i:])
			}
		}
		d.quantDefined[id] = true
		b = b[1+n:]
	}
	return nil
}

// readHuffman reads Huffman tables, B.2.4.2. Files of one camera or library
// have the same ones, so a table is only built when it differs from the last.
func (d *Decoder) readHuffman(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 {
			return errors.New("a Huffman table is too short")
		}
		class, id := b[0]>>4, b[0]&15
		if class > 1 || id > 3 {
			return fmt.Errorf("there is no Huffman table %d of class %d", id, class)
		}
		n := 0
		for _, k := range b[1:17] {
			n += int(k)
		}
		if n > 256 || len(b) < 17+n {
			return errors.New("a Huffman table is too short")
		}
		if err := d.tables[class][id].set(b[1:17+n], class == 0); err != nil {
			return err
		}
		d.tablesDefined[class][id] = true
		b = b[17+n:]
	}
	return nil
}

// readScan reads the header of the only scan, B.2.3.
func (d *Decoder) readScan(b []byte) error {
	if !d.frame {
		return errors.New("a scan without a frame")
	}
	n := len(d.components)
	if len(b) < 1 || len(b) != 4+2*int(b[0]) {
		return errors.New("the scan header has the wrong length")
	}
	if int(b[0]) != n {
		return unsupported("a scan of %d of %d components", b[0], n)
	}
	for i := range d.components {
		c := &d.components[i]
		if b[1+2*i] != c.id {
			return unsupported("the scan has the components in another order")
		}
		c.dc, c.ac = b[2+2*i]>>4, b[2+2*i]&15
		if c.dc > 3 || c.ac > 3 || !d.tablesDefined[0][c.dc] || !d.tablesDefined[1][c.ac] {
			return fmt.Errorf("%w: Huffman table %d or %d of component %d", errMissing, c.dc, c.ac, i)
		}
		if !d.quantDefined[c.quantIndex] {
			return fmt.Errorf("%w: quantization table %d of component %d", errMissing, c.quantIndex, i)
		}
		c.quant = &d.quant[c.quantIndex]
	}
	d.rgb = d.isRGB()
	return nil
}

// isRGB follows libjpeg in what three components mean.
func (d *Decoder) isRGB() bool {
	switch {
	case len(d.components) != 3 || d.jfif:
		return false
	case d.adobe:
		return d.transform == 0
	}
	return d.components[0].id == 'R' && d.components[1].id == 'G' && d.components[2].id == 'B'
}
