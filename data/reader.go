package data

import (
	"fmt"

	"github.com/vittool/vittool/data/decode"
	"github.com/vittool/vittool/data/pixels"
)

// reader reads images of a source in two steps, so that no more is decoded than is shown. It holds
// memory: one per goroutine.
type reader interface {
	// open finds the size of an image.
	open(id int) (w, h int, err error)
	// part writes a box of the image that was opened last. With check, damage outside of the box is
	// an error too. The pixels of dst are not to be changed, and the same dst is to be given each
	// time.
	part(dst *pixels.Image, box pixels.Rect, check bool) error
}

// newReader returns a reader of any source.
func newReader(s Source) reader {
	if s, ok := s.(interface{ reader() reader }); ok {
		return s.reader()
	}
	return &imageReader{source: s}
}

// imageReader serves sources that have whole images, and gives them whole.
type imageReader struct {
	source Source
	image  *pixels.Image
}

func (r *imageReader) open(id int) (w, h int, err error) {
	if r.image, err = r.source.Image(id); err != nil {
		return 0, 0, err
	}
	return r.image.W, r.image.H, nil
}

func (r *imageReader) part(dst *pixels.Image, box pixels.Rect, _ bool) error {
	if box != r.image.Bounds() {
		return fmt.Errorf("reading the box %v of a %dx%d image, which is only there as a whole", box, r.image.W, r.image.H)
	}
	*dst = *r.image
	return nil
}

// fileReader reads encoded files, decoding no more of one than it must.
type fileReader struct {
	set     *fileSet
	id      int
	file    []byte
	decoder decode.Decoder
}

func (s *fileSet) reader() reader { return &fileReader{set: s} }

// keptBytes bounds the file whose memory is used again.
const keptBytes = 64 << 20

func (r *fileReader) open(id int) (w, h int, err error) {
	if cap(r.file) > keptBytes {
		r.file = nil
	}
	r.id = id
	b, err := r.set.read(id, r.file, maxFileBytes)
	if cap(b) > cap(r.file) {
		r.file = b[:0]
	}
	if err != nil {
		e := pathError(r.set.place(id), err)
		e.Hint = ""
		if r.set.listed != nil {
			e.Hint = r.set.listed(id)
		}
		return 0, 0, e
	}
	if err := r.decoder.Open(b, r.set.options.decode()); err != nil {
		return 0, 0, r.undecodable(err)
	}
	box := r.decoder.Bounds()
	return box.W, box.H, nil
}

func (r *fileReader) part(dst *pixels.Image, box pixels.Rect, check bool) error {
	if err := r.decoder.Decode(dst, box, check); err != nil {
		return r.undecodable(err)
	}
	return nil
}

func (r *fileReader) undecodable(err error) error {
	return &Error{Path: r.set.place(r.id), Problem: "cannot be decoded", Err: err}
}
