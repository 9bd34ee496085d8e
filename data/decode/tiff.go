package decode

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/tiff"
	"golang.org/x/image/tiff/lzw"

	"github.com/vittool/vittool/data/pixels"
)

// TIFF tags that decide how pixels are stored, and some of their values.
const (
	tagWidth           = 256
	tagHeight          = 257
	tagBitsPerSample   = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagStripOffsets    = 273
	tagSamplesPerPixel = 277
	tagRowsPerStrip    = 278
	tagStripBytes      = 279
	tagPlanar          = 284
	tagPredictor       = 317
	tagTileWidth       = 322
	tagTileHeight      = 323
	tagTileOffsets     = 324
	tagTileBytes       = 325
	tagSampleFormat    = 339

	photoWhiteIsZero = 0
	photoBlackIsZero = 1
	photoRGB         = 2
	photoCMYK        = 5

	compressNone     = 1
	compressLZW      = 5
	compressDeflate  = 8
	compressPackBits = 32773
	compressZip      = 32946 // deflate's older number
)

// tiffFile is the first directory of a file.
type tiffFile struct {
	data   []byte
	order  binary.ByteOrder
	fields map[uint16][]uint32
}

// maxTIFFValues bounds the values of one field: as many as the strips of the
// highest image.
const maxTIFFValues = 1 << 20

func parseTIFF(b []byte) (*tiffFile, error) {
	if len(b) < 8 {
		return nil, io.ErrUnexpectedEOF
	}
	f := &tiffFile{data: b, order: binary.LittleEndian, fields: map[uint16][]uint32{}}
	if b[0] == 'M' {
		f.order = binary.BigEndian
	}
	dir := uint64(f.order.Uint32(b[4:]))
	if dir+2 > uint64(len(b)) {
		return nil, io.ErrUnexpectedEOF
	}
	n := uint64(f.order.Uint16(b[dir:]))
	if dir+2+12*n > uint64(len(b)) {
		return nil, io.ErrUnexpectedEOF
	}
	for i := range n {
		e := b[dir+2+12*i:][:12]
		values, err := f.values(e)
		if err != nil {
			return nil, err
		}
		if values != nil {
			f.fields[f.order.Uint16(e)] = values
		}
	}
	return f, nil
}

// values reads the bytes, shorts or longs of an entry; other types are nil.
func (f *tiffFile) values(e []byte) ([]uint32, error) {
	size := map[uint16]uint64{1: 1, 3: 2, 4: 4}[f.order.Uint16(e[2:])]
	count := uint64(f.order.Uint32(e[4:]))
	if size == 0 || count == 0 || count > maxTIFFValues {
		return nil, nil
	}
	raw := e[8:12]
	if size*count > 4 {
		at := uint64(f.order.Uint32(e[8:]))
		if at+size*count > uint64(len(f.data)) {
			return nil, io.ErrUnexpectedEOF
		}
		raw = f.data[at:]
	}
	out := make([]uint32, count)
	for i := range out {
		switch size {
		case 1:
			out[i] = uint32(raw[i])
		case 2:
			out[i] = uint32(f.order.Uint16(raw[2*i:]))
		default:
			out[i] = f.order.Uint32(raw[4*i:])
		}
	}
	return out, nil
}

func (f *tiffFile) first(tag uint16, otherwise int) int {
	if v := f.fields[tag]; len(v) > 0 {
		return int(v[0])
	}
	return otherwise
}

func tiffConfig(r io.Reader) (image.Config, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return image.Config{}, err
	}
	f, err := parseTIFF(b)
	if err != nil {
		return image.Config{}, err
	}
	return image.Config{Width: f.first(tagWidth, 0), Height: f.first(tagHeight, 0)}, nil
}

// decodeTIFF reads 8 and 16-bit samples in any number of bands itself,
// because x/image/tiff knows gray, RGB and RGBA only; what remains (palettes,
// bilevel and fax pictures) it leaves to x/image/tiff.
func decodeTIFF(b []byte, o Options) (*raster, error) {
	f, err := parseTIFF(b)
	if err != nil {
		return nil, err
	}
	var r *raster
	if l, ok := f.layout(); ok {
		r, err = l.read(o.MaxPixels)
	} else {
		r, err = f.viaImage()
	}
	if err != nil {
		return nil, err
	}
	r.orientation = Orientation(b)
	return r, nil
}

func (f *tiffFile) viaImage() (*raster, error) {
	m, err := tiff.Decode(bytes.NewReader(f.data))
	if err != nil {
		return nil, err
	}
	r := rasterOf(m)
	// Fax codes know white and black runs, and x/image takes them at their
	// word; libtiff reads them as zeros and ones that Photometric explains.
	if c := f.first(tagCompression, compressNone); c >= 2 && c <= 4 && f.first(tagPhotometric, 0) == photoBlackIsZero {
		for i, v := range r.image.Pix {
			r.image.Pix[i] = 255 - v
		}
	}
	return r, nil
}

// tiffLayout is how the samples of a readable file lie.
type tiffLayout struct {
	*tiffFile
	w, h, bands     int
	bytes           int // per sample
	compression     int
	predictor       bool
	planar          bool // bands in planes of their own
	blockW, blockH  int
	offsets, counts []uint32
	model           model
	inverted        bool
}

// layout describes the file if this reader can read it.
func (f *tiffFile) layout() (*tiffLayout, bool) {
	l := &tiffLayout{
		tiffFile: f, w: f.first(tagWidth, 0), h: f.first(tagHeight, 0), bands: f.first(tagSamplesPerPixel, 1),
		compression: f.first(tagCompression, compressNone), predictor: f.first(tagPredictor, 1) == 2,
		planar: f.first(tagPlanar, 1) == 2, blockW: f.first(tagTileWidth, 0), blockH: f.first(tagTileHeight, 0),
	}
	bits := f.fields[tagBitsPerSample]
	if len(bits) == 0 || l.bands < 1 || l.bands > 64 || f.first(tagPredictor, 1) > 2 {
		return nil, false
	}
	for _, n := range bits {
		if n != bits[0] || n != 8 && n != 16 {
			return nil, false
		}
	}
	l.bytes = int(bits[0]) / 8
	for _, format := range f.fields[tagSampleFormat] {
		if format != 1 { // not unsigned integers
			return nil, false
		}
	}
	switch l.compression {
	case compressNone, compressLZW, compressDeflate, compressZip, compressPackBits:
	default:
		return nil, false
	}
	switch photo := f.first(tagPhotometric, -1); {
	case photo == photoWhiteIsZero && l.bands == 1:
		l.model, l.inverted = modelGray, true
	case photo == photoBlackIsZero && l.bands == 1:
		l.model = modelGray
	case photo == photoRGB && l.bands == 3:
		l.model = modelRGB
	case photo == photoRGB && l.bands == 4:
		l.model = modelRGBA
	case photo == photoCMYK && l.bands == 4:
		l.model = modelCMYK
	case photo == photoBlackIsZero || photo == photoRGB:
		l.model = modelBands
	default:
		return nil, false
	}
	if l.blockW > 0 {
		l.offsets, l.counts = f.fields[tagTileOffsets], f.fields[tagTileBytes]
	} else {
		l.blockW, l.blockH = l.w, min(f.first(tagRowsPerStrip, l.h), l.h)
		l.offsets, l.counts = f.fields[tagStripOffsets], f.fields[tagStripBytes]
	}
	return l, true
}

// read decodes all strips or tiles.
func (l *tiffLayout) read(maxPixels int64) (*raster, error) {
	if l.blockW < 1 || l.blockH < 1 {
		return nil, errors.New("it has no strips or tiles")
	}
	// Four bands are what the limit on pixels reckons with.
	if err := checkSize(l.w*((l.bands+3)/4), l.h, maxPixels); err != nil {
		return nil, err
	}
	if err := checkSize(l.blockW*((l.bands+3)/4), l.blockH, maxPixels); err != nil {
		return nil, err
	}
	across, down := (l.w+l.blockW-1)/l.blockW, (l.h+l.blockH-1)/l.blockH
	planes, perBlock := 1, l.bands
	if l.planar {
		planes, perBlock = l.bands, 1
	}
	if need := across * down * planes; len(l.offsets) < need || len(l.counts) < need {
		return nil, fmt.Errorf("it lists %d blocks of pixels and needs %d", len(l.offsets), need)
	}
	out := pixels.New(l.w, l.h, l.bands)
	buf := make([]byte, l.blockW*l.blockH*perBlock*l.bytes)
	for i := range across * down * planes {
		x, y, plane := i%across*l.blockW, i/across%down*l.blockH, i/(across*down)
		rows := l.blockH
		if l.fields[tagTileWidth] == nil {
			rows = min(rows, l.h-y) // the last strip ends with the image
		}
		block := buf[:l.blockW*rows*perBlock*l.bytes]
		if err := l.block(block, i, perBlock); err != nil {
			return nil, err
		}
		for r := range min(rows, l.h-y) {
			from := block[r*l.blockW*perBlock*l.bytes:]
			to := out.Pix[((y+r)*l.w+x)*l.bands:]
			l.copyRow(to, from, min(l.blockW, l.w-x), plane, perBlock)
		}
	}
	if l.inverted {
		for i, v := range out.Pix {
			out.Pix[i] = 255 - v
		}
	}
	return &raster{image: out, model: l.model}, nil
}

// copyRow takes the high byte of each sample.
func (l *tiffLayout) copyRow(to, from []byte, n, plane, perBlock int) {
	high := 0
	if l.bytes == 2 && l.order == binary.LittleEndian {
		high = 1
	}
	for x := range n {
		for c := range perBlock {
			to[x*l.bands+plane+c] = from[(x*perBlock+c)*l.bytes+high]
		}
	}
}

// block decompresses strip or tile i into dst, which it fills exactly.
func (l *tiffLayout) block(dst []byte, i, perBlock int) error {
	at, n := uint64(l.offsets[i]), uint64(l.counts[i])
	if at+n > uint64(len(l.data)) {
		return io.ErrUnexpectedEOF
	}
	raw := l.data[at : at+n]
	switch l.compression {
	case compressNone:
		if len(raw) < len(dst) {
			return io.ErrUnexpectedEOF
		}
		copy(dst, raw)
	case compressPackBits:
		if err := unpackBits(dst, raw); err != nil {
			return err
		}
	default:
		var r io.ReadCloser
		if l.compression == compressLZW {
			r = lzw.NewReader(bytes.NewReader(raw), lzw.MSB, 8)
		} else {
			z, err := zlib.NewReader(bytes.NewReader(raw))
			if err != nil {
				return err
			}
			r = z
		}
		defer r.Close()
		if _, err := io.ReadFull(r, dst); err != nil {
			return err
		}
	}
	if l.predictor {
		l.undoPredictor(dst, perBlock)
	}
	return nil
}

// undoPredictor turns horizontal differences back into samples.
func (l *tiffLayout) undoPredictor(block []byte, perBlock int) {
	row := l.blockW * perBlock * l.bytes
	for ; len(block) >= row && row > 0; block = block[row:] {
		if l.bytes == 1 {
			for i := perBlock; i < row; i++ {
				block[i] += block[i-perBlock]
			}
			continue
		}
		for i := 2 * perBlock; i < row; i += 2 {
			l.order.PutUint16(block[i:], l.order.Uint16(block[i:])+l.order.Uint16(block[i-2*perBlock:]))
		}
	}
}

// unpackBits undoes Apple's run-length code.
func unpackBits(dst, src []byte) error {
	for len(dst) > 0 {
		if len(src) < 2 {
			return io.ErrUnexpectedEOF
		}
		code := int(int8(src[0]))
		switch {
		case code >= 0: // code+1 bytes as they are
			n := code + 1
			if len(src) < 1+n {
				return io.ErrUnexpectedEOF
			}
			if n > len(dst) {
				return errors.New("a run goes past the end of the strip")
			}
			copy(dst, src[1:1+n])
			dst, src = dst[n:], src[1+n:]
		case code == -128:
			src = src[1:]
		default: // one byte 1-code times
			n := 1 - code
			if n > len(dst) {
				return errors.New("a run goes past the end of the strip")
			}
			for i := range n {
				dst[i] = src[1]
			}
			dst, src = dst[n:], src[2:]
		}
	}
	return nil
}
