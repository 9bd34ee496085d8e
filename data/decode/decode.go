// Package decode turns the bytes of an image file into 8-bit pixels, with
// the semantics of Pillow's open().convert(): the format is recognised by
// content, EXIF orientation is applied, alpha is dropped, 16-bit samples keep
// their high byte, CMYK is printed on white.
//
// Its input comes from anywhere: sizes are checked in the header before
// anything is allocated, a file that is cut short is an error and never a
// half-filled image, and no input makes it panic.
package decode

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	stdjpeg "image/jpeg"
	"image/png"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"github.com/vittool/vittool/data/pixels"
)

// DefaultMaxPixels is the size above which a header is taken for a
// decompression bomb.
const DefaultMaxPixels = 100_000_000

// Options says what the pixels shall look like.
type Options struct {
	// Channels is 1 (luma), 3 (RGB) or the number of bands of a multi-band
	// file (RGBA, CMYK, TIFF); 0 means 3.
	Channels int
	// MaxPixels bounds width times height; 0 means DefaultMaxPixels.
	MaxPixels int64
}

// format is one readable file format.
type format struct {
	name   string
	match  func(b []byte) bool
	config func(r io.Reader) (image.Config, error)
	// decode returns the picture and its EXIF orientation.
	decode func(b []byte, o Options) (*raster, error)
}

func prefix(magic string) func([]byte) bool {
	return func(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }
}

var formats = sync.OnceValue(func() []format {
	return []format{
		{"JPEG", prefix("\xff\xd8\xff"), stdjpeg.DecodeConfig, decodeJPEG},
		{"PNG", prefix("\x89PNG\r\n\x1a\n"), png.DecodeConfig, decodePNG},
		{"GIF", func(b []byte) bool { return prefix("GIF87a")(b) || prefix("GIF89a")(b) }, gif.DecodeConfig, decodeGIF},
		{"WebP", func(b []byte) bool { return len(b) >= 12 && prefix("RIFF")(b) && string(b[8:12]) == "WEBP" }, webp.DecodeConfig, decodeWebP},
		{"TIFF", func(b []byte) bool { return prefix("II*\x00")(b) || prefix("MM\x00*")(b) }, tiffConfig, decodeTIFF},
		{"BMP", func(b []byte) bool { return prefix("BM")(b) && len(b) >= 18 && b[14] >= 12 && b[15] == 0 }, bmp.DecodeConfig, decodeBMP},
	}
})

// Sniff names the format of a file by its first bytes, "" when it is none
// that Decode reads. 18 bytes suffice.
func Sniff(head []byte) string {
	for _, f := range formats() {
		if f.match(head) {
			return f.name
		}
	}
	return ""
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

func checkSize(w, h int, limit int64) error {
	if w <= 0 || h <= 0 {
		return fmt.Errorf("header claims an empty image of %dx%d pixels", w, h)
	}
	if int64(w) > limit/int64(h) {
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
	return fmt.Errorf("damaged or unsupported %s: %w", name, err)
}

func notAnImage(b []byte) error {
	const readable = "readable are JPEG, PNG, GIF, WebP, TIFF and BMP"
	head := b[:min(len(b), 512)]
	switch {
	case len(b) == 0:
		return errors.New("the file is empty (0 bytes)")
	case len(b) >= 12 && string(b[4:8]) == "ftyp":
		return fmt.Errorf("this is a %q container (HEIC, AVIF or video); convert it, %s", b[8:12], readable)
	case isText(head):
		return fmt.Errorf("not an image but text, starting %q; %s", head[:min(len(head), 24)], readable)
	}
	return fmt.Errorf("not an image: it starts with the bytes % x; %s", head[:min(len(head), 8)], readable)
}

func isText(head []byte) bool {
	// The last rune may be cut by the limit of the sample.
	for cut := 0; cut < utf8.UTFMax && len(head) > 0; cut++ {
		if utf8.Valid(head) {
			return bytes.IndexFunc(head, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) < 0
		}
		head = head[:len(head)-1]
	}
	return false
}

// decodeJPEG reads what package jpeg leaves to others: progressive files, CMYK.
func decodeJPEG(b []byte, _ Options) (*raster, error) {
	m, err := stdjpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r := rasterOf(m)
	r.orientation = Orientation(jpegEXIF(b))
	return r, nil
}

func decodePNG(b []byte, _ Options) (*raster, error) {
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r := rasterOf(m)
	r.orientation = Orientation(pngEXIF(b))
	return r, nil
}

func decodeBMP(b []byte, _ Options) (*raster, error) {
	m, err := bmp.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return rasterOf(m), nil
}
