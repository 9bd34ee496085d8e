package jpeg

import (
	"errors"
	"fmt"
	"io"

	"github.com/vittool/vittool/data/internal/vec"
	"github.com/vittool/vittool/data/pixels"
)

// Decoder reads one file after the other with memory that it keeps. One goroutine may use it at a
// time; the zero value is ready.
type Decoder struct {
	header
	file   []byte
	quant  [4][64]uint16 // in the order of the stream
	tables [2][4]huffman // DC, AC

	bits   []byte // the scan without stuffing, then padding
	ends   []int  // of the stretches between restart markers, in bits
	marks  []byte // numbers of these markers
	order  []int  // stretch of each restart interval; empty: in order
	planes [4]plane
	color  Colors
	units  []unit
}

// unit is a block of an MCU.
type unit struct {
	plane  *plane
	dc, ac *huffman
	quant  *[64]uint16
	last   *int32 // first coefficient of the component's last block
	h, v   int    // blocks of the component in an MCU
	dx, dy int    // this one among them
}

// plane is the part of a component that is reconstructed: blocks bx0 <= x < bx1 and by0 <= y < by1.
type plane struct {
	Plane
	bx0, bx1, by0, by1 int
	last               int32
}

// Open reads the header of a file, which must stay unchanged until it is decoded. The error wraps
// ErrUnsupported where the file is of a kind that this package does not read.
func (d *Decoder) Open(file []byte) error {
	d.file = file
	return d.readHeader(file)
}

// Size of the picture whose header was read.
func (d *Decoder) Size() (w, h int) { return d.w, d.h }

// Channels is 1 for a gray picture, 3 for one in color and 4 for one in inks.
func (d *Decoder) Channels() int { return len(d.components) }

// Metadata returns the EXIF block and the XMP packet that stand before the first scan, nil where
// there is none.
func (d *Decoder) Metadata() (exif, xmp []byte) { return d.exif, d.xmp }

// Memory is an estimate of the bytes that Decode takes for the whole picture beside its result and
// the entropy-coded data: samples, and the coefficients of several scans.
func (d *Decoder) Memory() int64 {
	var bytes int64
	for i := range d.components {
		c := &d.components[i]
		samples := int64(d.mcusX*c.h*8) * int64(d.mcusY*c.v*8)
		bytes += samples
		if d.parts {
			bytes += 2 * samples
		}
	}
	return bytes
}

// Decode writes the box of the picture to dst: 1 channel, RGB, or CMYK where 255 is full ink.
// Entropy-coded data below the box is not looked at, unless whole asks for its errors too.
func (d *Decoder) Decode(dst *pixels.Image, box pixels.Rect, whole bool) error {
	if !box.In(d.w, d.h) {
		return fmt.Errorf("the box %v leaves the picture of %dx%d pixels", box, d.w, d.h)
	}
	var err error
	if d.parts {
		err = d.decodeParts(box)
	} else {
		err = d.decodeScan(box, whole)
	}
	if err != nil {
		return err
	}
	n := len(d.components)
	dst.Reset(box.W, box.H, n)
	if n == 1 {
		d.planes[0].cut(dst, box)
		return nil
	}
	d.color.rgb, d.color.ycck = d.rgb, d.ycck
	d.color.Convert(dst, box, &d.planes[0].Plane, &d.planes[1].Plane, &d.planes[2].Plane, &d.planes[3].Plane)
	return nil
}

// decodeScan reconstructs the planes of a file of one scan.
func (d *Decoder) decodeScan(box pixels.Rect, whole bool) error {
	if _, err := d.unstuff(d.scan); err != nil {
		return err
	}
	mcus := d.mcusX * d.mcusY
	if err := d.arrange(d.intervals(mcus)); err != nil {
		return err
	}
	// A block takes two bits at least: a small file that claims to be large is refused before there
	// is memory for it.
	blocks := 0
	for i := range d.components {
		blocks += mcus * d.components[i].h * d.components[i].v
	}
	if err := d.enough(2 * blocks); err != nil {
		return err
	}
	rows := d.plan(box)
	if whole {
		rows = d.mcusY
	}
	return d.entropy(rows)
}

// intervals is the number of restart intervals of a scan of so many MCUs.
func (d *Decoder) intervals(mcus int) int {
	if d.interval == 0 {
		return 1
	}
	return (mcus + d.interval - 1) / d.interval
}

// enough returns an error where the scan has fewer bits.
func (d *Decoder) enough(bits int) error {
	if data := d.ends[len(d.ends)-1]; len(d.order) == 0 && 8*data < bits {
		return fmt.Errorf("%w: %d bytes for %d blocks", io.ErrUnexpectedEOF, data, bits/2)
	}
	return nil
}

// plan decides which blocks the box needs and returns the number of rows of MCUs down to its
// bottom.
func (d *Decoder) plan(box pixels.Rect) (rows int) {
	d.units = d.units[:0]
	for i := range d.components {
		c := &d.components[i]
		p := &d.planes[i]
		*p = plane{Plane: Plane{Pix: p.Pix, W: c.w, H: c.ht, RX: c.rx, RY: c.ry}}
		// Interpolation looks at the neighbors of a sample. One more keeps them in the plane
		// wherever the picture has them.
		x0, x1 := max(box.Left/c.rx-2, 0), min((box.Left+box.W-1)/c.rx+3, c.w)
		y0, y1 := max(box.Top/c.ry-2, 0), min((box.Top+box.H-1)/c.ry+3, c.ht)
		if c.rx == 1 {
			x0, x1 = box.Left, box.Left+box.W
		}
		if c.ry == 1 {
			y0, y1 = box.Top, box.Top+box.H
		}
		p.bx0, p.bx1, p.by0, p.by1 = x0/8, (x1+7)/8, y0/8, (y1+7)/8
		p.X0, p.Y0 = 8*p.bx0, 8*p.by0
		p.Stride = 8 * (p.bx1 - p.bx0)
		p.Pix = pixels.Grow(p.Pix, p.Stride*8*(p.by1-p.by0))
		rows = max(rows, (p.by1+c.v-1)/c.v)
		for j := range c.h * c.v {
			d.units = append(d.units, unit{plane: p, dc: &d.tables[0][c.dc], ac: &d.tables[1][c.ac],
				quant: c.quant, last: &p.last, h: c.h, v: c.v, dx: j % c.h, dy: j / c.h})
		}
	}
	return rows
}

// entropy decodes rows of MCUs and transforms the blocks of the plan.
func (d *Decoder) entropy(rows int) error {
	v := interval{number: -1}
	var coef [64]int16
	for my := range rows {
		for mx := range d.mcusX {
			if v.left == 0 {
				if err := d.next(&v, d.mcusX*d.mcusY); err != nil {
					return err
				}
				for i := range d.components {
					d.planes[i].last = 0
				}
			}
			v.left--
			if v.starved {
				d.leave(mx, my)
				continue
			}
			if err := d.mcu(&v, mx, my, &coef); err != nil {
				return v.fault(err)
			}
			v.starved = v.missing
			if v.past(v.end) {
				return io.ErrUnexpectedEOF
			}
		}
	}
	return nil
}

// mcu decodes the blocks of an MCU. coef is zero before and after.
func (d *Decoder) mcu(r *interval, mx, my int, coef *[64]int16) error {
	for i := range d.units {
		u := &d.units[i]
		diff, ok := r.dc(u.dc)
		if !ok {
			return errCode
		}
		*u.last += diff
		p := u.plane
		dst := p.block(mx*u.h+u.dx, my*u.v+u.dy)
		if dst == nil {
			if err := r.skip(u.ac); err != nil && !(r.missing && errors.Is(err, errPast)) {
				return err
			}
			continue
		}
		k, err := r.block(u.ac, u.quant, coef)
		if err != nil && !(r.missing && errors.Is(err, errPast)) { // zero bits may go past the end
			*coef = [64]int16{}
			return err
		}
		dc := int16(*u.last * int32(u.quant[0]))
		if k == 1 {
			vec.Flat(dst, p.Stride, dc)
			continue
		}
		coef[0] = dc
		vec.Inverse(dst, p.Stride, coef)
		*coef = [64]int16{}
	}
	return nil
}

// block returns the samples from a block on, nil where it is not to be reconstructed.
func (p *plane) block(bx, by int) []uint8 {
	if by < p.by0 || by >= p.by1 || bx < p.bx0 || bx >= p.bx1 {
		return nil
	}
	return p.Pix[8*((by-p.by0)*p.Stride+bx-p.bx0):]
}

// leave makes the blocks of an MCU gray.
func (d *Decoder) leave(mx, my int) {
	for i := range d.units {
		u := &d.units[i]
		if dst := u.plane.block(mx*u.h+u.dx, my*u.v+u.dy); dst != nil {
			vec.Flat(dst, u.plane.Stride, 0)
		}
	}
}
