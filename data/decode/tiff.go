package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/vittool/vittool/data/decode/jpeg"
)

// TIFF tags that decide how pixels are stored, and some of their values.
const (
	tagWidth           = 256
	tagHeight          = 257
	tagBitsPerSample   = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagFillOrder       = 266
	tagStripOffsets    = 273
	tagOrientation     = 274
	tagSamplesPerPixel = 277
	tagRowsPerStrip    = 278
	tagStripBytes      = 279
	tagPlanar          = 284
	tagFaxOptions      = 292
	tagPredictor       = 317
	tagColorMap        = 320
	tagTileWidth       = 322
	tagTileHeight      = 323
	tagTileOffsets     = 324
	tagTileBytes       = 325
	tagExtraSamples    = 338
	tagSampleFormat    = 339
	tagJPEGTables      = 347
	tagSubsampling     = 530
	tagXMP             = 700

	photoWhiteIsZero = 0
	photoBlackIsZero = 1
	photoRGB         = 2
	photoPalette     = 3
	photoCMYK        = 5
	photoYCbCr       = 6

	extraUnspecified = 0
	extraAssociated  = 1
	extraCorel       = 999 // Corel Draw's alpha

	formatUint  = 1
	formatInt   = 2
	formatFloat = 3

	compressNone     = 1
	compressFax3     = 3
	compressFax4     = 4
	compressLZW      = 5
	compressJPEG     = 7
	compressDeflate  = 8
	compressPackBits = 32773
	compressZip      = 32946 // deflate's older number
	compressLZMA     = 34925
	compressZstd     = 50000
)

// Types of values of a directory.
const (
	tiffByte      = 1
	tiffShort     = 3
	tiffLong      = 4
	tiffUndefined = 7
	tiffLong8     = 16
)

var (
	tiffSizes = [...]uint64{tiffByte: 1, 2: 1, tiffShort: 2, tiffLong: 4, 5: 8, 6: 1, tiffUndefined: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, tiffLong8: 8, 17: 8, 18: 8}

	// tiffTags are those that a picture can't be read without where they stand.
	tiffTags = []uint16{tagWidth, tagHeight, tagBitsPerSample, tagCompression, tagPhotometric, tagFillOrder, tagStripOffsets,
		tagSamplesPerPixel, tagRowsPerStrip, tagStripBytes, tagPlanar, tagFaxOptions, tagPredictor, tagColorMap, tagTileWidth,
		tagTileHeight, tagTileOffsets, tagTileBytes, tagExtraSamples, tagSampleFormat, tagJPEGTables, tagSubsampling}

	// Compressions and colors that are named and not read.
	tiffCompressions = map[int]string{2: "fax code without ends of lines (CCITT RLE)", 6: "old-style JPEG", 32771: "CCITT RLE with padding",
		32809: "ThunderScan", 33003: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34676: "SGI LogLuv", 34677: "SGI LogLuv",
		34712: "JPEG 2000", 34887: "LERC", 50001: "WebP", 50002: "JPEG XL", 34892: "lossy JPEG (DNG)", 22610: "JPEG XR", 34934: "JPEG XR"}
	tiffPhotometrics = map[int]string{4: "a transparency mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a camera's raw mosaic",
		32844: "LogL", 32845: "LogLuv", 34892: "linear raw"}
)

// tiffFile is the first directory of a file, of the classic form or of BigTIFF.
type tiffFile struct {
	canvas
	data   []byte
	order  binary.ByteOrder
	big    bool
	fields map[uint16][]uint64
	turned int // as in EXIF
}

// maxTIFFValues bounds the values of one field: as many as the strips of the highest image.
const maxTIFFValues = 1 << 20

// tiffDirectory finds the entries of the first directory; cut says that some of them are not in the
// file.
func tiffDirectory(b []byte) (f *tiffFile, entries []byte, cut bool, err error) {
	if len(b) < 8 {
		return nil, nil, false, io.ErrUnexpectedEOF
	}
	f = &tiffFile{data: b, order: binary.LittleEndian}
	switch string(b[:2]) {
	case "II":
	case "MM":
		f.order = binary.BigEndian
	default:
		return nil, nil, false, errors.New("neither II nor MM begins it")
	}
	var at, n uint64
	size := uint64(len(b))
	switch f.order.Uint16(b[2:]) {
	case 42:
		if at = uint64(f.order.Uint32(b[4:])); at+2 > size {
			return nil, nil, false, io.ErrUnexpectedEOF
		}
		n = uint64(f.order.Uint16(b[at:]))
		at += 2
	case 43:
		f.big = true
		if len(b) < 16 {
			return nil, nil, false, io.ErrUnexpectedEOF
		}
		if at = f.order.Uint64(b[8:]); at > size-8 {
			return nil, nil, false, io.ErrUnexpectedEOF
		}
		n = f.order.Uint64(b[at:])
		at += 8
	default:
		return nil, nil, false, errors.New("its version is neither 42 nor 43")
	}
	each := uint64(f.entrySize())
	whole := min(n, (size-at)/each)
	return f, b[at : at+whole*each], whole < n, nil
}

func (f *tiffFile) entrySize() int {
	if f.big {
		return 20
	}
	return 12
}

// raw returns the bytes of the values of an entry; count is 0 where its type is unknown or they
// leave the file.
func (f *tiffFile) raw(e []byte) (raw []byte, kind uint16, count uint64) {
	kind = f.order.Uint16(e[2:])
	if int(kind) >= len(tiffSizes) || tiffSizes[kind] == 0 {
		return nil, kind, 0
	}
	var inline []byte
	if f.big {
		count, inline = f.order.Uint64(e[4:]), e[12:20]
	} else {
		count, inline = uint64(f.order.Uint32(e[4:])), e[8:12]
	}
	size := tiffSizes[kind]
	if count > uint64(len(f.data)) {
		return nil, kind, 0
	}
	if n := size * count; n > uint64(len(inline)) {
		at := uint64(f.order.Uint32(inline))
		if f.big {
			at = f.order.Uint64(inline)
		}
		if at > uint64(len(f.data)) || n > uint64(len(f.data))-at {
			return nil, kind, 0
		}
		inline = f.data[at:]
	}
	return inline[:size*count], kind, count
}

func parseTIFF(b []byte) (file, error) {
	f, entries, cut, err := tiffDirectory(b)
	if err != nil {
		return nil, err
	}
	if cut {
		return nil, io.ErrUnexpectedEOF
	}
	f.fields = map[uint16][]uint64{}
	turned, ok := f.orientation(entries)
	if !ok {
		packet, _ := f.find(entries, tagXMP)
		turned = orientationOfXMP(packet)
	}
	f.turned = turned
	for ; len(entries) > 0; entries = entries[f.entrySize():] {
		tag := f.order.Uint16(entries)
		if _, double := f.fields[tag]; double {
			continue
		}
		values := f.values(entries)
		if values != nil {
			f.fields[tag] = values
		} else if slices.Contains(tiffTags, tag) {
			return nil, fmt.Errorf("%w: the values of tag %d are not in the file, or are none", io.ErrUnexpectedEOF, tag)
		}
	}
	if f.fields[tagWidth] == nil || f.fields[tagHeight] == nil {
		return nil, io.ErrUnexpectedEOF
	}
	f.w, f.h = f.first(tagWidth, 0), f.first(tagHeight, 0)
	return f, nil
}

// values reads the whole numbers of an entry; other types are nil.
func (f *tiffFile) values(e []byte) []uint64 {
	raw, kind, count := f.raw(e)
	if count == 0 || count > maxTIFFValues {
		return nil
	}
	switch kind {
	case tiffByte, tiffUndefined, tiffShort, tiffLong, tiffLong8:
	default:
		return nil
	}
	out := make([]uint64, count)
	for i := range out {
		switch tiffSizes[kind] {
		case 1:
			out[i] = uint64(raw[i])
		case 2:
			out[i] = uint64(f.order.Uint16(raw[2*i:]))
		case 4:
			out[i] = uint64(f.order.Uint32(raw[4*i:]))
		default:
			out[i] = f.order.Uint64(raw[8*i:])
		}
	}
	return out
}

func (f *tiffFile) first(tag uint16, otherwise int) int {
	if v := f.fields[tag]; len(v) > 0 {
		return int(min(v[0], math.MaxInt32))
	}
	return otherwise
}

// same is the value of a field that has one or, for each band, an equal one.
func (f *tiffFile) same(tag uint16, otherwise int) (int, error) {
	v := f.fields[tag]
	for _, n := range v {
		if n != v[0] {
			return 0, fmt.Errorf("its bands differ: tag %d is %v", tag, v)
		}
	}
	return f.first(tag, otherwise), nil
}

func (f *tiffFile) decode(o Options) (*raster, error) {
	l, err := f.layout()
	if err != nil {
		return nil, err
	}
	m, err := l.read(o.MaxPixels)
	if err != nil {
		return nil, err
	}
	r, err := l.finish(m)
	if err != nil {
		return nil, err
	}
	r.orientation = f.turned
	return r, nil
}

// tiffLayout is the arrangement of the samples of a readable file.
type tiffLayout struct {
	*tiffFile
	bands           int
	bits, format    int // per sample
	photo           int
	extras          []uint64 // kinds of the bands behind the colors
	compression     int
	predictor       int
	planar          bool // bands in planes of their own
	tiled           bool
	blockW, blockH  int
	offsets, counts []uint64
	subX, subY      int // pixels of a chroma sample

	// Decoders of blocks, used again.
	jpeg jpeg.Decoder
	zstd *zstd.Decoder
}

// layout describes the file, or returns the reason why this reader can't read it.
func (f *tiffFile) layout() (*tiffLayout, error) {
	l := &tiffLayout{
		tiffFile: f, photo: f.first(tagPhotometric, photoWhiteIsZero), extras: f.fields[tagExtraSamples],
		compression: f.first(tagCompression, compressNone), predictor: f.first(tagPredictor, 1),
		planar: f.first(tagPlanar, 1) == 2, blockW: f.first(tagTileWidth, 0), blockH: f.first(tagTileHeight, 0),
		subX: 1, subY: 1,
	}
	l.bands = f.first(tagSamplesPerPixel, 1)
	if f.fields[tagSamplesPerPixel] == nil && l.compression == compressJPEG && (l.photo == photoRGB || l.photo == photoYCbCr) {
		l.bands = 3
	}
	if l.bands < 1 || l.bands > 64 {
		return nil, fmt.Errorf("%d samples a pixel; 1 to 64 are read", l.bands)
	}
	l.planar = l.planar && l.bands > 1
	var err error
	if l.bits, err = f.same(tagBitsPerSample, 1); err != nil {
		return nil, err
	}
	if l.format, err = f.same(tagSampleFormat, formatUint); err != nil {
		return nil, err
	}
	if l.format == 4 { // undefined: libtiff takes it for whole numbers
		l.format = formatUint
	}
	if err := l.checkSamples(); err != nil {
		return nil, err
	}
	if err := l.checkCompression(); err != nil {
		return nil, err
	}
	if l.tiled = l.blockW > 0; l.tiled {
		l.offsets, l.counts = f.fields[tagTileOffsets], f.fields[tagTileBytes]
	} else {
		l.blockW, l.blockH = l.w, min(f.first(tagRowsPerStrip, l.h), l.h)
		l.offsets, l.counts = f.fields[tagStripOffsets], f.fields[tagStripBytes]
	}
	return l, nil
}

// colors is the number of bands without extra samples.
func (l *tiffLayout) colors() int {
	switch l.photo {
	case photoRGB, photoYCbCr:
		return 3
	case photoCMYK:
		return 4
	}
	return 1
}

// plain reports whether the bands are colors and the extra samples that the file lists, or the
// alpha that an old RGB file does not list.
func (l *tiffLayout) plain() bool {
	return l.bands == l.colors()+len(l.extras) || l.photo == photoRGB && l.bands == 4 && len(l.extras) == 0
}

// readableSamples tells by the size and the format of the samples whether they are read.
func (l *tiffLayout) readableSamples() bool {
	gray := l.bands == 1 && (l.photo == photoBlackIsZero || l.photo == photoWhiteIsZero)
	switch l.bits {
	case 1, 2, 4:
		return l.format == formatUint && (gray || l.bands == 1 && l.photo == photoPalette)
	case 8:
		return l.format == formatUint || l.format == formatInt && gray
	case 16:
		return l.format == formatUint && l.photo != photoPalette && l.photo != photoYCbCr || l.format == formatInt && gray
	}
	return l.bits == 32 && gray
}

// checkSamples refuses the kinds of samples that are not read; read are those of Pillow, and any
// number of bands of 8 and 16 bits.
func (l *tiffLayout) checkSamples() error {
	if name := tiffPhotometrics[l.photo]; name != "" {
		return fmt.Errorf("its pixels are %s, which is not read; convert it to RGB", name)
	}
	kinds := [...]string{formatUint: "unsigned", formatInt: "signed", formatFloat: "floating-point"}
	if l.format < 1 || l.format >= len(kinds) {
		return fmt.Errorf("complex samples (format %d) are not read; convert it to 8 or 16 bits", l.format)
	}
	if !l.readableSamples() {
		return fmt.Errorf("%s samples of %d bits in %d bands of photometric kind %d are not read; convert it to 8 or 16 bits", kinds[l.format], l.bits, l.bands, l.photo)
	}
	switch l.photo {
	case photoWhiteIsZero, photoBlackIsZero, photoRGB:
	case photoPalette, photoCMYK, photoYCbCr:
		if !l.plain() {
			return fmt.Errorf("%d bands of photometric kind %d with %d extra samples are not read", l.bands, l.photo, len(l.extras))
		}
	default:
		return fmt.Errorf("photometric kind %d is not read; convert it to RGB", l.photo)
	}
	for i, e := range l.extras {
		if i > 0 && e == extraAssociated && l.plain() {
			return errors.New("associated alpha that isn't the first extra sample is not read")
		}
	}
	return nil
}

func (l *tiffLayout) checkCompression() error {
	switch l.compression {
	case compressNone, compressPackBits, compressLZW, compressDeflate, compressZip, compressLZMA, compressZstd:
	case compressFax3:
		if l.first(tagFaxOptions, 0)&1 != 0 {
			return errors.New("two-dimensional fax code of Group 3 is not read; convert it to Group 4 or PNG")
		}
		fallthrough
	case compressFax4:
		if l.bits != 1 {
			return fmt.Errorf("fax code of %d bits a sample", l.bits)
		}
	case compressJPEG:
		if l.bits != 8 || l.planar && l.photo == photoYCbCr {
			return errors.New("JPEG compression of this kind is not read; convert it to PNG")
		}
		return nil // its header describes its chroma
	default:
		name := tiffCompressions[l.compression]
		if name == "" {
			name = "unknown"
		}
		return fmt.Errorf("compression %d (%s) is not read; convert it to LZW or deflate", l.compression, name)
	}
	if err := l.checkPredictor(); err != nil || l.photo != photoYCbCr {
		return err
	}
	return l.checkChroma()
}

func (l *tiffLayout) checkPredictor() error {
	switch l.compression {
	case compressNone, compressPackBits, compressFax3, compressFax4:
		l.predictor = 1 // libtiff looks at it in the others alone
	}
	if l.predictor > 1 && (l.bits < 8 || l.predictor > 3 || l.predictor == 3 && l.format != formatFloat) {
		return fmt.Errorf("predictor %d of samples of %d bits is not read", l.predictor, l.bits)
	}
	return nil
}

func (l *tiffLayout) checkChroma() error {
	l.subX, l.subY = 2, 2
	if s := l.fields[tagSubsampling]; len(s) == 2 {
		l.subX, l.subY = int(s[0]), int(s[1])
	}
	valid := func(n int) bool { return n == 1 || n == 2 || n == 4 }
	if sub := l.subX*l.subY > 1; !valid(l.subX) || !valid(l.subY) || sub && (l.planar || l.predictor > 1 || l.bands != 3) {
		return fmt.Errorf("chroma of %dx%d pixels a sample is not read in this file; convert it to RGB", l.subX, l.subY)
	}
	return nil
}
