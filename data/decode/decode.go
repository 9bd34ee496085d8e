// Package decode turns the bytes of an image file into 8-bit pixels, with the semantics of Pillow's
// open().convert(): the format is recognized by content, EXIF and XMP orientation is applied, alpha
// is dropped, 16-bit samples keep their high byte, CMYK is printed on white. Of several pictures in
// a file the first is read.
//
// Its input comes from anywhere: sizes are checked in the header before anything is allocated, a
// file that is cut short is an error and never a half-filled image, and no input makes it panic.
package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/vittool/vittool/data/decode/jpeg"
	"github.com/vittool/vittool/data/pixels"
)

// DefaultMaxPixels is the size above which a header is taken for a decompression bomb.
const DefaultMaxPixels = 100_000_000

// Options are the form of the pixels and the bound of their number.
type Options struct {
	// Channels is 1 (luma), 3 (RGB) or the number of bands of a multi-band file (RGBA, CMYK, TIFF);
	// 0 means 3.
	Channels int
	// MaxPixels bounds width times height; 0 means DefaultMaxPixels.
	MaxPixels int64
}

func (o Options) withDefaults() Options {
	if o.Channels == 0 {
		o.Channels = 3
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = DefaultMaxPixels
	}
	return o
}

// format is one readable file format. JPEG, the first, has a decoder of its own and no parse.
type format struct {
	name  string
	match func(b []byte) bool
	parse func(b []byte) (file, error) // reads the header
}

// file is a file of which the header was read.
type file interface {
	size() (w, h int)
	// decode returns the picture and its orientation. It is called once.
	decode(o Options) (*raster, error)
}

// canvas is the size that a header states.
type canvas struct{ w, h int }

func (c canvas) size() (w, h int) { return c.w, c.h }

func prefix(magic ...string) func([]byte) bool {
	return func(b []byte) bool {
		return slices.ContainsFunc(magic, func(m string) bool { return bytes.HasPrefix(b, []byte(m)) })
	}
}

var formats = sync.OnceValue(func() []format {
	return []format{
		{"JPEG", prefix("\xff\xd8\xff"), nil},
		{"PNG", prefix(pngMagic), parsePNG},
		{"GIF", prefix("GIF87a", "GIF89a"), parseGIF},
		{"WebP", func(b []byte) bool { return len(b) >= 12 && prefix("RIFF")(b) && string(b[8:12]) == "WEBP" }, parseWebP},
		{"TIFF", prefix("II*\x00", "MM\x00*", "II+\x00", "MM\x00+"), parseTIFF},
		{"BMP", func(b []byte) bool { return prefix("BM")(b) && len(b) >= 18 && b[14] >= 12 && b[15] == 0 }, parseBMP},
		{"PNM", isNetpbm, parseNetpbm},
	}
})

// Sniff names the format of a file by its first bytes, "" when it is none that Decode reads. 32
// bytes suffice.
func Sniff(head []byte) string {
	if f := formatOf(head); f != nil {
		return f.name
	}
	return ""
}

// formatOf returns the format of a file by its first bytes, nil for an unknown one.
func formatOf(head []byte) *format {
	list := formats()
	for i := range list {
		if list[i].match(head) {
			return &list[i]
		}
	}
	return nil
}

// Decode reads a whole file held in memory. b is not modified and not kept.
func Decode(b []byte, o Options) (*pixels.Image, error) {
	var d Decoder
	if err := d.Open(b, o); err != nil {
		return nil, err
	}
	m := &pixels.Image{}
	if err := d.Decode(m, d.Bounds(), true); err != nil {
		return nil, err
	}
	return m, nil
}

// maxSide bounds width and height alone: scaling costs memory for each row and column.
const maxSide = 1 << 20

func checkSize(w, h int, limit int64) error {
	switch {
	case w <= 0 || h <= 0:
		return fmt.Errorf("header claims an empty image of %dx%d pixels", w, h)
	case w > maxSide || h > maxSide:
		return fmt.Errorf("header claims %dx%d pixels, and a side may have %d; cut the picture into pieces", w, h, maxSide)
	case int64(w) > limit/int64(h):
		return fmt.Errorf("header claims %dx%d pixels, more than data.max_pixels = %d allows", w, h, limit)
	}
	return nil
}

// describe words a decoder's error for people.
func describe(name, part string, err error) error {
	// PNG and GIF have no error value for this, only words.
	short := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "not enough")
	if short {
		return fmt.Errorf("the %s file is cut short: its %s ends too early", name, part)
	}
	if errors.Is(err, jpeg.ErrUnsupported) {
		return fmt.Errorf("%w; convert it to PNG, or save it as an ordinary JPEG", err)
	}
	return fmt.Errorf("damaged or unsupported %s: %w", name, err)
}
