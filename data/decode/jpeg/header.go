package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrUnsupported is wrapped by errors about undamaged files of a kind that this package does not
// read.
var ErrUnsupported = errors.New("a kind of JPEG that is not read")

// errMissing is about a table that libjpeg misses as well.
var errMissing = errors.New("a table is missing")

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

// Markers, B.1.1.3.
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF1 = 0xc1 // extended sequential
	markerSOF2 = 0xc2 // progressive
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
	markerAPP1 = 0xe1
	markerAPPE = 0xee
	markerTEM  = 0x01
)

// component is one color plane of a file.
type component struct {
	id         byte
	h, v       int // sampling factors
	rx, ry     int // pixels that a sample stands for: the largest factor over its own
	quantIndex byte
	dc, ac     byte // Huffman tables
	w, ht      int  // size in samples, without the padding of the last blocks
	quant      *[64]uint16
	coefs      coefficients
}

// frame is the size of a picture and the layout of its blocks.
type frame struct {
	w, h         int
	components   []component
	hMax, vMax   int // largest sampling factors
	mcuW, mcuH   int // pixels of an MCU
	mcusX, mcusY int
	progressive  bool
}

// header holds the segments before the first scan.
type header struct {
	frame
	framed        bool // frame was read
	interval      int  // MCUs between restart markers; 0: none
	rgb, ycck     bool
	parts         bool // several scans, or one in an order of its own
	first         scan // the last one that was read, at first the first
	exif, xmp     []byte
	used          bool // scans after the first were read
	scan          int  // place of the first byte of entropy-coded data
	jfif, adobe   bool
	transform     byte
	quantDefined  [4]bool
	store         [4]component // memory of components
	tablesDefined [2][4]bool
}

// readHeader reads all up to the first scan. Tables go to d.
func (d *Decoder) readHeader(b []byte) error {
	store := d.store
	d.header = header{store: store}
	if len(b) < 2 || b[0] != 0xff || b[1] != markerSOI {
		return errors.New("it does not begin with a start marker")
	}
	p, end, err := d.readSegments(b, 2)
	if err == nil && end {
		err = errors.New("it ends before its scan begins")
	}
	d.scan = p
	return err
}

// readSegments reads from the place p up to the next scan, whose header goes to d.first, or to the
// end marker. It returns the place behind it.
func (d *Decoder) readSegments(b []byte, p int) (next int, end bool, err error) {
	for {
		// Fill bytes may stand before any marker; other bytes between segments are passed over, as
		// libjpeg does.
		i := bytes.IndexByte(b[p:], 0xff)
		if i < 0 {
			return 0, false, io.ErrUnexpectedEOF
		}
		p += i
		for p < len(b) && b[p] == 0xff {
			p++
		}
		if p == len(b) {
			return 0, false, io.ErrUnexpectedEOF
		}
		marker := b[p]
		p++
		switch {
		case marker == 0 || marker == markerTEM || marker >= markerRST0 && marker < markerSOI:
			continue // no segment follows
		case marker == markerSOI:
			return 0, false, errors.New("a second start marker")
		case marker == markerEOI:
			return p, true, nil
		}
		if p+2 > len(b) {
			return 0, false, io.ErrUnexpectedEOF
		}
		n := int(binary.BigEndian.Uint16(b[p:]))
		if n < 2 {
			return 0, false, fmt.Errorf("segment %#02x has length %d", marker, n)
		}
		if p+n > len(b) {
			return 0, false, io.ErrUnexpectedEOF
		}
		body := b[p+2 : p+n]
		p += n
		if marker == markerSOS {
			return p, false, d.readScan(body)
		}
		if err := d.readSegment(marker, body); err != nil {
			return 0, false, err
		}
	}
}

// readSegment reads a segment that isn't the header of a scan.
func (d *Decoder) readSegment(marker byte, body []byte) error {
	switch marker {
	case markerSOF0, markerSOF1, markerSOF2:
		d.progressive = marker == markerSOF2
		return d.readFrame(body)
	case markerDQT:
		return d.readQuant(body)
	case markerDHT:
		return d.readHuffman(body)
	case markerDRI:
		if len(body) != 2 {
			return fmt.Errorf("restart interval segment of %d bytes", len(body))
		}
		d.interval = int(binary.BigEndian.Uint16(body))
	case markerAPP0:
		d.jfif = d.jfif || len(body) >= 5 && string(body[:5]) == "JFIF\x00"
	case markerAPP1:
		d.readMetadata(body)
	case markerAPPE:
		if len(body) >= 12 && string(body[:5]) == "Adobe" {
			d.adobe, d.transform = true, body[11]
		}
	case markerDNL:
		return unsupported("its height stands after its scan")
	case 0xc3:
		return unsupported("lossless coding")
	case 0xc9, 0xca, markerDAC:
		return unsupported("arithmetic coding")
	default:
		if marker > markerSOF1 && marker < 0xd0 {
			return unsupported("coding process %d", marker-markerSOF0)
		}
	}
	return nil
}

// readMetadata reads EXIF, whose parts follow each other in several segments, and XMP.
func (d *Decoder) readMetadata(body []byte) {
	if exif, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00")); ok {
		if d.exif == nil {
			d.exif = exif[:len(exif):len(exif)] // an append makes a copy
		} else {
			d.exif = append(d.exif, exif...)
		}
	}
	if xmp, ok := bytes.CutPrefix(body, []byte("http://ns.adobe.com/xap/1.0/\x00")); ok {
		d.xmp = xmp
	}
}

// readFrame reads a frame header, B.2.2.
func (d *Decoder) readFrame(b []byte) error {
	if d.framed {
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
		return unsupported("its height stands after its scan")
	case d.w == 0:
		return errors.New("the frame is empty")
	case len(b) != 6+3*n:
		return fmt.Errorf("a frame header of %d bytes for %d components", len(b), n)
	case n != 1 && n != 3 && n != 4:
		return unsupported("%d components", n)
	}
	d.framed = true
	d.components = d.store[:n]
	blocks := 0
	for i := range d.components {
		if err := d.readComponent(i, b[6+3*i:]); err != nil {
			return err
		}
		blocks += d.components[i].h * d.components[i].v
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

// readComponent reads the entry of a component in a frame header.
func (d *Decoder) readComponent(i int, b []byte) error {
	c := &d.components[i]
	*c = component{coefs: coefficients{values: c.coefs.values[:0]}, id: b[0], h: int(b[1] >> 4), v: int(b[1] & 15), quantIndex: b[2]}
	if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.quantIndex > 3 {
		return fmt.Errorf("component %d has sampling factors %dx%d and quantization table %d", i, c.h, c.v, c.quantIndex)
	}
	for _, other := range d.components[:i] {
		if other.id == c.id {
			return fmt.Errorf("two components are called %d", c.id)
		}
	}
	if len(d.components) == 1 {
		c.h, c.v = 1, 1 // a scan of one component has blocks for MCUs, A.2.2
	}
	d.hMax, d.vMax = max(d.hMax, c.h), max(d.vMax, c.v)
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

// readHuffman reads Huffman tables, B.2.4.2. Files of one camera or library have the same ones, so
// a table is only built when it differs from the last.
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

// scan is the header of a scan, B.2.3.
type scan struct {
	components [4]int // indices, in the order of the scan
	n          int
	// Of a progressive file: the first and last coefficient, and the bit of the scan before and of
	// this one (successive approximation).
	from, to  int
	high, low int
}

// readScan reads the header of a scan into d.first.
func (d *Decoder) readScan(b []byte) error {
	if !d.framed {
		return errors.New("a scan without a frame")
	}
	if len(b) < 1 || b[0] < 1 || b[0] > 4 || len(b) != 4+2*int(b[0]) {
		return errors.New("the scan header has the wrong length")
	}
	s := scan{n: int(b[0])}
	tail := b[1+2*s.n:]
	s.from, s.to, s.high, s.low = int(tail[0]), int(tail[1]), int(tail[2]>>4), int(tail[2]&15)
	if !d.progressive {
		s.from, s.to, s.high, s.low = 0, 63, 0, 0
	}
	for i := range s.n {
		at := slices.IndexFunc(d.components, func(c component) bool { return c.id == b[1+2*i] })
		if at < 0 || slices.Contains(s.components[:i], at) {
			return fmt.Errorf("a scan of component %d, which the frame has not, or twice", b[1+2*i])
		}
		s.components[i] = at
		d.parts = d.parts || at != i
		c := &d.components[at]
		c.dc, c.ac = b[2+2*i]>>4, b[2+2*i]&15
		if err := d.checkTables(&s, at); err != nil {
			return err
		}
		c.quant = &d.quant[c.quantIndex]
	}
	d.parts = d.parts || d.progressive || s.n != len(d.components)
	d.first = s
	d.rgb, d.ycck = d.isRGB(), len(d.components) == 4 && d.adobe && d.transform != 0
	return nil
}

// checkTables makes sure of the tables that a scan needs for a component.
func (d *Decoder) checkTables(s *scan, at int) error {
	c := &d.components[at]
	dc, ac := s.from == 0 && s.high == 0, s.to > 0
	if c.dc > 3 || c.ac > 3 || dc && !d.hasTable(0, c.dc) || ac && !d.hasTable(1, c.ac) {
		return fmt.Errorf("%w: Huffman table %d or %d of component %d", errMissing, c.dc, c.ac, at)
	}
	if !d.quantDefined[c.quantIndex] {
		return fmt.Errorf("%w: quantization table %d of component %d", errMissing, c.quantIndex, at)
	}
	return nil
}

// isRGB decides as libjpeg does whether three components are red, green and blue.
func (d *Decoder) isRGB() bool {
	switch {
	case len(d.components) != 3 || d.jfif:
		return false
	case d.adobe:
		return d.transform == 0
	}
	return d.components[0].id == 'R' && d.components[1].id == 'G' && d.components[2].id == 'B'
}
