package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	errPast = errors.New("a run of coefficients goes past the end of its block")
	errCode = errors.New("the entropy-coded data has bits that are no code")
)

// natural is the place in a block, row by row, of the coefficient that is k-th in the stream
// (figure A.6). Entries beyond 63 serve an erroneous run before it is noticed.
var natural = func() (t [128]uint8) {
	order := [64]uint8{
		0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
		12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
		35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
		58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
	}
	for i := range t {
		t[i] = 63
	}
	copy(t[:], order[:])
	return t
}()

// padding is how far the decoder may read past the end of the data before it looks: an MCU of the
// longest codes.
const padding = maxBlocks*64*32/8 + 64

// unstuff copies the entropy-coded data from the place p of the file without the zero bytes that
// follow 0xff, and notes where restart markers cut it. A scan without an end is an error before
// anything is decoded. unstuff returns the place of the marker that ends it.
func (d *Decoder) unstuff(p int) (end int, err error) {
	d.bits, d.ends, d.marks = d.bits[:0], d.ends[:0], d.marks[:0]
	for b := d.file[p:]; ; {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 || i+1 == len(b) {
			return 0, io.ErrUnexpectedEOF
		}
		d.bits = append(d.bits, b[:i]...)
		m := b[i+1]
		switch {
		case m == 0:
			d.bits = append(d.bits, 0xff)
		case m == 0xff: // a fill byte: the marker is still to come
			b = b[i+1:]
			continue
		default:
			d.ends = append(d.ends, len(d.bits))
			if m&^7 == markerRST0 && d.interval > 0 {
				d.marks = append(d.marks, m&7)
				break
			}
			d.bits = append(d.bits, make([]byte, padding)...)
			return len(d.file) - len(b) + i, nil
		}
		b = b[i+2:]
	}
}

// arrange decides which stretch between markers is the data of each of the restart intervals: in
// order where the markers are. Otherwise it follows libjpeg (jpeg_resync_to_restart), by which a
// marker one or two numbers ahead stands for a missing interval, one or two behind is passed over,
// and any other counts as the one that belongs there. Behind the last marker all intervals are
// missing. A scan that misses half of them is cut short; one that was cut anywhere else has an
// interval without enough data, which is an error later.
func (d *Decoder) arrange(intervals int) error {
	d.order = d.order[:0]
	n := len(d.ends)
	right := n >= intervals
	for i, m := range d.marks[:min(len(d.marks), intervals-1)] {
		right = right && int(m) == i&7
	}
	if right {
		return nil
	}
	gone, at := 0, 0 // stretch whose marker is the next
	for d.order = append(d.order, 0); len(d.order) < intervals; {
		ahead := 1
		if at < len(d.marks) {
			ahead = (int(d.marks[at]) - (len(d.order) - 1)) & 7
		}
		switch ahead {
		case 1, 2:
			gone++
			d.order = append(d.order, missing)
		case 6, 7:
			at++
		default:
			at++
			d.order = append(d.order, at)
		}
	}
	if 2*gone > intervals {
		return fmt.Errorf("%w: %d of %d restart intervals", io.ErrUnexpectedEOF, intervals-gone, intervals)
	}
	return nil
}

// missing is the order of an interval without data.
const missing = -1

// interval is the state of decoding one restart interval after the other.
type interval struct {
	bitReader
	number  int // of the interval, -1 before the first
	end     int // of its data, in bytes of bits
	left    int // MCUs until the next one
	missing bool
	starved bool // its MCUs are missing and left gray
}

// next begins another interval.
func (d *Decoder) next(v *interval, mcus int) error {
	if v.number >= 0 && v.past(v.end) {
		return io.ErrUnexpectedEOF
	}
	v.number++
	if v.left = d.interval; v.left == 0 {
		v.left = mcus
	}
	at := v.number
	if len(d.order) > 0 {
		at = d.order[at]
	}
	// libjpeg reads zero bits for the first MCU of a missing interval, and leaves all others empty.
	v.starved = at == missing && v.missing
	from := 0
	if v.end = len(d.bits); at >= 0 {
		v.end = d.ends[at]
	}
	if at > 0 {
		from = d.ends[at-1]
	}
	if v.missing = at == missing || from == v.end && at < len(d.ends)-1; v.missing {
		from, v.end = len(d.bits)-padding, len(d.bits)
	}
	v.start(d.bits, from)
	return nil
}

// fault makes an error that came from reading past the data one about missing data.
func (v *interval) fault(err error) error {
	if v.past(v.end) {
		return fmt.Errorf("%w (%w)", io.ErrUnexpectedEOF, err)
	}
	return err
}

// bitReader is a place in the unstuffed data. The upper n bits of acc are the next ones; those
// below may already hold some that follow.
type bitReader struct {
	buf []byte
	acc uint64
	n   uint
	pos int // of the first byte that is not wholly in acc
}

func (r *bitReader) start(buf []byte, pos int) {
	*r = bitReader{buf: buf, pos: pos}
}

// past reports whether more bits were taken than there are before end.
func (r *bitReader) past(end int) bool { return r.pos*8-int(r.n) > end*8 }

// fill makes sure of 56 bits.
func (r *bitReader) fill() {
	r.acc |= binary.BigEndian.Uint64(r.buf[r.pos:]) >> (r.n & 63)
	r.pos += int((63 - r.n) >> 3)
	r.n |= 56
}

// take consumes a signed value of size bits, 1..16.
func (r *bitReader) take(size int) int32 {
	v := extend(int32(r.acc>>(64-uint(size))), size)
	r.acc <<= uint(size)
	r.n -= uint(size)
	return v
}

// dc reads the difference of a first coefficient.
func (r *bitReader) dc(t *huffman) (int32, bool) {
	if r.n < 32 {
		r.fill()
	}
	e := t.entries[r.acc>>(64-lookupBits)]
	size := int(e >> 16)
	if e&entryLong != 0 {
		symbol, n := t.long(int32(r.acc >> 48))
		if n == 0 {
			return 0, false
		}
		size = int(symbol)
		e = uint32(n) | entryValue
	}
	r.acc <<= e & entryBits
	r.n -= uint(e & entryBits)
	if e&entryValue == 0 {
		return int32(e) >> 16, true
	}
	if size == 0 {
		return 0, true
	}
	return r.take(size), true
}

// block reads the coefficients of a block after the first one, multiplied by their quantization
// steps, into coef, which is zero before. It returns how far they reach: 1 means that there are
// none.
func (r *bitReader) block(t *huffman, quant *[64]uint16, coef *[64]int16) (int, error) {
	buf, acc, n, pos := r.buf, r.acc, r.n, r.pos
	k := 1
	for k < 64 {
		if n < 32 {
			acc |= binary.BigEndian.Uint64(buf[pos:]) >> (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		e := t.entries[acc>>(64-lookupBits)]
		if e&entryKinds == 0 {
			acc <<= e & entryBits
			n -= uint(e & entryBits)
			k += int(uint8(e >> 8))
			coef[natural[k&127]&63] = int16((int32(e) >> 16) * int32(quant[k&63]))
			k++
			continue
		}
		run, size := int(uint8(e>>8)), uint(e>>16)
		length := uint(e & entryBits)
		if e&entryLong != 0 {
			symbol, m := t.long(int32(acc >> 48))
			if m == 0 {
				return 0, errCode
			}
			run, size, length = int(symbol>>4), uint(symbol&15), uint(m)
			if size == 0 && run != 15 {
				e |= entryEnd
			}
		}
		acc <<= length & 31
		n -= length
		if e&entryEnd != 0 {
			break
		}
		k += run
		if size > 0 {
			v := extend(int32(acc>>((64-size)&63)), int(size))
			acc <<= size & 63
			n -= size
			coef[natural[k&127]&63] = int16(v * int32(quant[k&63]))
		}
		k++
	}
	r.acc, r.n, r.pos = acc, n, pos
	if k > 64 {
		return 0, errPast
	}
	return k, nil
}

// skip reads a block outside of the box.
func (r *bitReader) skip(t *huffman) error {
	buf, acc, n, pos := r.buf, r.acc, r.n, r.pos
	k := 1
	for k < 64 {
		if n < 32 {
			acc |= binary.BigEndian.Uint64(buf[pos:]) >> (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		e := t.entries[acc>>(64-lookupBits)]
		length := uint(e & entryBits)
		if e&entryKinds == 0 {
			acc <<= length
			n -= length
			k += int(uint8(e>>8)) + 1
			continue
		}
		run, size := int(uint8(e>>8)), uint(e>>16)
		if e&entryLong != 0 {
			symbol, m := t.long(int32(acc >> 48))
			if m == 0 {
				return errCode
			}
			run, size, length = int(symbol>>4), uint(symbol&15), uint(m)
			if size == 0 && run != 15 {
				e |= entryEnd
			}
		}
		if e&entryEnd != 0 {
			acc <<= length & 31
			n -= length
			break
		}
		acc <<= (length + size) & 63
		n -= length + size
		k += run + 1
	}
	r.acc, r.n, r.pos = acc, n, pos
	if k > 64 {
		return errPast
	}
	return nil
}
