package jpeg

import (
	"errors"
	"fmt"

	"github.com/vittool/vittool/data/internal/vec"
	"github.com/vittool/vittool/data/pixels"
)

// maxScans bounds the scans of a file: a progressive one of four components needs a few dozen.
const maxScans = 1000

var (
	errScans   = errors.New("more scans than any encoder writes")
	errScript  = errors.New("a scan with parameters that no progressive file has")
	errMissed  = errors.New("scans are missing")
	errTooMany = errors.New("a run of empty blocks goes past the end of the scan")
)

// coefficients are those of a component, gathered from several scans.
type coefficients struct {
	values []int16    // (rows, columns, 64), blocks in the order of the stream
	across int        // blocks in a row, MCUs filled up
	quant  [64]uint16 // of the component's first scan
	bits   [64]int8   // lowest bit known of each, -1 for none
	last   int32      // first coefficient of the last block
}

// decodeParts reads all scans of a file and reconstructs the planes.
func (d *Decoder) decodeParts(box pixels.Rect) error {
	if d.used { // tables and the header of the first scan are those of the last
		if err := d.readHeader(d.file); err != nil {
			return err
		}
	}
	d.used = true
	p := d.scan
	for scans, end := 0, false; !end; scans++ {
		if scans == maxScans {
			return errScans
		}
		marker, err := d.unstuff(p)
		if err != nil {
			return err
		}
		if err := d.readPart(&d.first); err != nil {
			return err
		}
		if p, end, err = d.readSegments(d.file, marker); err != nil {
			return err
		}
	}
	d.plan(box)
	for i := range d.components {
		c := &d.components[i]
		// libjpeg smooths the blocks of pictures whose first coefficients are not there to the last
		// bit. Such a file is not whole.
		if len(c.coefs.values) == 0 {
			return errMissed
		}
		for _, bit := range c.coefs.bits[:10] {
			if d.progressive && bit != 0 {
				return errMissed
			}
		}
		c.reconstruct(&d.planes[i])
		if cap(c.coefs.values) > keptCoefficients {
			c.coefs.values = nil
		}
	}
	return nil
}

// keptCoefficients bounds the memory that is used again for the next file.
const keptCoefficients = 8 << 20

// reconstruct transforms the blocks of the plan.
func (c *component) reconstruct(p *plane) {
	for by := p.by0; by < p.by1; by++ {
		for bx := p.bx0; bx < p.bx1; bx++ {
			var coef [64]int16
			rest := int16(0)
			for k, v := range c.coefs.block(bx, by) {
				coef[natural[k]] = int16(int32(v) * int32(c.coefs.quant[k]))
				if k > 0 {
					rest |= v
				}
			}
			if dst := p.block(bx, by); rest == 0 {
				vec.Flat(dst, p.Stride, coef[0])
			} else {
				vec.Inverse(dst, p.Stride, &coef)
			}
		}
	}
}

func (c *coefficients) block(bx, by int) *[64]int16 {
	return (*[64]int16)(c.values[64*(by*c.across+bx):])
}

// readPart adds the coefficients of a scan.
func (d *Decoder) readPart(s *scan) error {
	across, down := d.mcusX, d.mcusY
	one := &d.components[s.components[0]]
	blocks := 1
	if s.n == 1 { // blocks for MCUs, and none beyond the component: A.2.2
		across, down = (one.w+7)/8, (one.ht+7)/8
	} else {
		blocks = 0
		for _, i := range s.components[:s.n] {
			blocks += d.components[i].h * d.components[i].v
		}
	}
	if err := d.arrange(d.intervals(across * down)); err != nil {
		return err
	}
	if err := d.prepare(s, across*down*blocks); err != nil {
		return err
	}
	w := partReader{d: d, scan: s, interval: interval{number: -1}}
	for my := range down {
		for mx := range across {
			if w.left == 0 {
				if err := w.restart(across * down); err != nil {
					return err
				}
			}
			w.left--
			if w.starved {
				continue
			}
			if err := w.mcu(mx, my); err != nil {
				return w.fault(err)
			}
			w.starved = w.missing
			if w.past(w.end) {
				return w.fault(errCode)
			}
		}
	}
	if w.empty > 0 && !w.missing {
		return errTooMany
	}
	return nil
}

// prepare checks the parameters of a scan and makes memory for its blocks.
func (d *Decoder) prepare(s *scan, blocks int) error {
	if d.progressive {
		if err := s.check(); err != nil {
			return err
		}
	}
	if s.from == 0 && s.high == 0 {
		// A first coefficient takes a bit at least, and in a sequential file the end of its block
		// another.
		bits := blocks
		if !d.progressive {
			bits = 2 * blocks
		}
		if err := d.enough(bits); err != nil {
			return err
		}
	}
	for _, i := range s.components[:s.n] {
		c := &d.components[i]
		k := &c.coefs
		if len(k.values) == 0 {
			if s.from > 0 || s.high > 0 {
				return fmt.Errorf("%w: component %d begins without its first coefficients", errScript, i)
			}
			k.across, k.quant = d.mcusX*c.h, *c.quant
			k.values = pixels.Grow(k.values, 64*k.across*d.mcusY*c.v)
			clear(k.values)
			for j := range k.bits {
				k.bits[j] = -1
			}
		}
		for j := s.from; j <= s.to; j++ {
			k.bits[j] = int8(s.low)
		}
		if s.from == 0 && s.high == 0 {
			d.tables[0][c.dc].plain()
		}
		if s.to > 0 {
			d.tables[1][c.ac].plain()
		}
	}
	return nil
}

// check follows libjpeg in the parameters that it accepts, G.1.1.1.
func (s *scan) check() error {
	switch {
	case s.from == 0 && s.to != 0, s.from > s.to, s.to > 63, s.from > 0 && s.n != 1,
		s.high != 0 && s.low != s.high-1, s.low > 13:
		return fmt.Errorf("%w: coefficients %d to %d of %d components, bits %d and %d", errScript, s.from, s.to, s.n, s.high, s.low)
	}
	return nil
}

// partReader decodes a scan into coefficients.
type partReader struct {
	interval
	d     *Decoder
	scan  *scan
	empty int // blocks that still belong to a run without coefficients
}

// restart begins another restart interval.
func (w *partReader) restart(mcus int) error {
	if w.empty > 0 && !w.missing {
		return errTooMany
	}
	w.empty = 0
	if err := w.d.next(&w.interval, mcus); err != nil {
		return err
	}
	for i := range w.d.components {
		w.d.components[i].coefs.last = 0
	}
	return nil
}

func (w *partReader) mcu(mx, my int) error {
	if w.scan.n == 1 {
		c := &w.d.components[w.scan.components[0]]
		return w.block(c, c.coefs.block(mx, my))
	}
	for _, i := range w.scan.components[:w.scan.n] {
		c := &w.d.components[i]
		for j := range c.h * c.v {
			if err := w.block(c, c.coefs.block(mx*c.h+j%c.h, my*c.v+j/c.h)); err != nil {
				return err
			}
		}
	}
	return nil
}

// block adds to one block: by Huffman coding of all coefficients, F.2.2, or of some or some bits of
// them, G.2.
func (w *partReader) block(c *component, b *[64]int16) error {
	s := w.scan
	dc, ac := &w.d.tables[0][c.dc], &w.d.tables[1][c.ac]
	switch {
	case s.from == 0 && s.high == 0:
		diff, ok := w.dc(dc)
		if !ok {
			return errCode
		}
		c.coefs.last += diff
		b[0] = int16(c.coefs.last << s.low)
		if w.d.progressive {
			return nil
		}
		return w.coefficients(ac, b)
	case s.from == 0:
		b[0] |= int16(w.unsigned(1) << s.low)
		return nil
	case s.high == 0:
		return w.coefficients(ac, b)
	}
	return w.refine(ac, b)
}

// coefficients reads those after the first: all of a sequential block, or a band of a progressive
// one, G.1.2.2.
func (w *partReader) coefficients(t *huffman, b *[64]int16) error {
	if w.empty > 0 {
		w.empty--
		return nil
	}
	s := w.scan
	for k := max(s.from, 1); k <= s.to; k++ {
		run, size, err := w.symbol(t)
		if err != nil {
			return err
		}
		if size == 0 && run < 15 {
			if run > 0 && !w.d.progressive {
				return nil // libjpeg takes it for the end of the block
			}
			w.empty = 1<<run + w.unsigned(run) - 1
			return nil
		}
		k += run
		if size == 0 {
			continue
		}
		if k > s.to && !w.missing {
			return errPast
		}
		if w.n < 32 {
			w.fill()
		}
		b[min(k, 63)] = int16(w.take(size) << s.low)
	}
	return nil
}

// refine adds a bit to the coefficients of a band that were known, and new ones of one bit,
// G.1.2.3.
func (w *partReader) refine(t *huffman, b *[64]int16) error {
	s := w.scan
	bit := int16(1) << s.low
	k := s.from
	if w.empty == 0 {
		for ; k <= s.to; k++ {
			run, size, err := w.symbol(t)
			if err != nil {
				return err
			}
			value := int16(0)
			switch {
			case size > 0: // libjpeg reads a wrong size as 1
				if value = -bit; w.unsigned(1) == 1 {
					value = bit
				}
			case run < 15:
				w.empty = 1<<run + w.unsigned(run)
			}
			if w.empty > 0 {
				break
			}
			k = w.pass(b, k, run, bit)
			if value != 0 {
				if k > s.to && !w.missing {
					return errPast
				}
				b[min(k, 63)] = value
			}
		}
	}
	if w.empty > 0 {
		w.pass(b, k, 64, bit)
		w.empty--
	}
	return nil
}

// pass goes over run zeros, refines the coefficients between them, and returns the place of the
// next zero.
func (w *partReader) pass(b *[64]int16, k, run int, bit int16) int {
	for ; k <= w.scan.to; k++ {
		v := b[k]
		if v == 0 {
			if run == 0 {
				return k
			}
			run--
			continue
		}
		if w.unsigned(1) == 1 && v&bit == 0 {
			if v > 0 {
				b[k] += bit
			} else {
				b[k] -= bit
			}
		}
	}
	return k
}

// symbol reads the upper and the lower half of the next one.
func (w *partReader) symbol(t *huffman) (run, size int, err error) {
	if w.n < 32 {
		w.fill()
	}
	e := t.codes[w.acc>>(64-lookupBits)]
	symbol, n := byte(e>>8), int(e&255)
	if n == 0 {
		if symbol, n = t.long(int32(w.acc >> 48)); n == 0 {
			return 0, 0, errCode
		}
	}
	w.acc <<= uint(n)
	w.n -= uint(n)
	return int(symbol >> 4), int(symbol & 15), nil
}

// unsigned reads an unsigned number of n bits, at most 16.
func (w *partReader) unsigned(n int) int {
	if n == 0 {
		return 0
	}
	if w.n < 32 {
		w.fill()
	}
	v := int(w.acc >> (64 - uint(n)))
	w.acc <<= uint(n)
	w.n -= uint(n)
	return v
}
