package decode

import (
	"errors"
	"fmt"

	"github.com/vittool/vittool/data/decode/jpeg"
	"github.com/vittool/vittool/data/pixels"
)

// Decoder reads one file after the other, with memory that it keeps: the way to read many. One
// goroutine may use it at a time; the zero value is ready.
type Decoder struct {
	options Options
	jpeg    jpeg.Decoder

	// One of the two holds the file that was opened.
	fast  bool          // jpeg: its header was read, its pixels not yet
	whole *pixels.Image // all of it, decoded and upright

	orientation int
	w, h        int // upright
	stored      pixels.Image
	colored     pixels.Image
}

// Open reads the header of a file held in memory, and all of it where its format cannot be read in
// part. b must stay unchanged until it is decoded.
func (d *Decoder) Open(b []byte, o Options) (err error) {
	defer recovered(&err)
	d.options, d.fast, d.whole, d.orientation = o.withDefaults(), false, nil, 1
	switch f := formatOf(b); {
	case f == nil:
		return notAnImage(b)
	case f.parse == nil:
		return d.openJPEG(b)
	default:
		return d.openWhole(f, b)
	}
}

// openJPEG reads the header of a JPEG.
func (d *Decoder) openJPEG(b []byte) error {
	if err := d.jpeg.Open(b); err != nil {
		return describe("JPEG", "header", err)
	}
	w, h := d.jpeg.Size()
	if err := checkSize(w, h, d.options.MaxPixels); err != nil {
		return fmt.Errorf("JPEG %w", err)
	}
	if c := d.jpeg.Channels(); d.options.Channels != 1 && d.options.Channels != 3 && d.options.Channels != c {
		return fmt.Errorf("JPEG: %w", wrongChannels(c, d.options.Channels))
	}
	var m metadata
	m.exif, m.xmp = d.jpeg.Metadata()
	d.fast, d.orientation = true, m.orientation()
	d.w, d.h = w, h
	if d.orientation >= 5 {
		d.w, d.h = h, w
	}
	return nil
}

// header reads the header of a file and checks the size that it states.
func (f *format) header(b []byte, o Options) (_ file, w, h int, err error) {
	p, err := f.parse(b)
	if err != nil {
		return nil, 0, 0, describe(f.name, "header", err)
	}
	w, h = p.size()
	if err := checkSize(w, h, o.MaxPixels); err != nil {
		return nil, 0, 0, fmt.Errorf("%s %w", f.name, err)
	}
	return p, w, h, nil
}

func (d *Decoder) openWhole(f *format, b []byte) error {
	p, _, _, err := f.header(b, d.options)
	if err != nil {
		return err
	}
	r, err := p.decode(d.options)
	if err != nil {
		return describe(f.name, "data", err)
	}
	m, err := r.to(d.options.Channels)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	d.whole = &pixels.Image{}
	if turned(r.orientation) {
		orient(d.whole, m, r.orientation)
	} else {
		*d.whole = *m
	}
	d.w, d.h = d.whole.W, d.whole.H
	return nil
}

// wholeBytes estimates the bytes that a pixel takes in a format that is decoded as a whole: the
// image of the standard decoder and its bands.
const wholeBytes = 8

// Measure returns the size of the upright picture of a file by its header, and an estimate of the
// memory in bytes that a Decoder takes for it beside the file. b may be the beginning of the file,
// as long as the header lies in it. It closes the file that is open.
func (d *Decoder) Measure(b []byte, o Options) (w, h int, bytes int64, err error) {
	defer recovered(&err)
	d.options, d.fast, d.whole, d.orientation = o.withDefaults(), false, nil, 1
	f := formatOf(b)
	switch {
	case f == nil:
		return 0, 0, 0, notAnImage(b)
	case f.parse != nil:
		_, w, h, err = f.header(b, d.options)
		return w, h, wholeBytes * int64(w) * int64(h), err
	}
	if err := d.openJPEG(b); err != nil {
		return 0, 0, 0, err
	}
	d.fast = false
	pixel := int64(d.jpeg.Channels())
	if d.jpeg.Channels() != d.options.Channels {
		pixel += int64(d.options.Channels)
	}
	if turned(d.orientation) {
		pixel += int64(d.options.Channels)
	}
	return d.w, d.h, pixel*int64(d.w)*int64(d.h) + d.jpeg.Memory(), nil
}

// Bounds is the box of the whole upright picture.
func (d *Decoder) Bounds() pixels.Rect { return pixels.Rect{W: d.w, H: d.h} }

// Decode writes a box of the upright picture to dst, once for each Open. Damage of a file outside
// of the box is only sure to be found where check asks for it.
func (d *Decoder) Decode(dst *pixels.Image, box pixels.Rect, check bool) (err error) {
	defer recovered(&err)
	switch {
	case d.whole != nil && box == d.Bounds():
		*dst, d.whole = *d.whole, nil
		return nil
	case d.whole != nil:
		pixels.Crop(dst, d.whole, box)
		return nil
	case !d.fast:
		return errors.New("decode: no file is open")
	}
	// dst is the last of up to three steps: stored, colored, turned.
	turn, recolor := turned(d.orientation), d.jpeg.Channels() != d.options.Channels
	stored := dst
	if turn || recolor {
		stored = &d.stored
	}
	if err := d.jpeg.Decode(stored, storedBox(box, d.w, d.h, d.orientation), check); err != nil {
		return describe("JPEG", "data", err)
	}
	colored := stored
	if recolor {
		colored = dst
		if turn {
			colored = &d.colored
		}
		recolored(colored, stored, d.options.Channels)
	}
	if turn {
		orient(dst, colored, d.orientation)
	}
	return nil
}

// recolored writes the gray, RGB or CMYK picture m to dst in 1 or 3 channels.
func recolored(dst, m *pixels.Image, channels int) {
	switch {
	case m.C == 1:
		spread(dst, m)
	case m.C == 3:
		pixels.Luma(dst, m)
	case channels == 3:
		printed(dst, m)
	default:
		var rgb pixels.Image
		printed(&rgb, m)
		pixels.Luma(dst, &rgb)
	}
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the decoder failed on this file: %v", p)
	}
}
