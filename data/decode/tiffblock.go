package decode

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz/lzma"
	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"

	"github.com/vittool/vittool/data/pixels"
)

// read decodes all strips or tiles into samples of 8 bits.
func (l *tiffLayout) read(maxPixels int64) (*pixels.Image, error) {
	across, down := 0, 0
	if l.blockW > 0 && l.blockH > 0 {
		across, down = (l.w+l.blockW-1)/l.blockW, (l.h+l.blockH-1)/l.blockH
	}
	planes, perBlock := 1, l.bands
	if l.planar {
		planes, perBlock = l.bands, 1
	}
	need := across * down * planes
	if err := l.checkBlocks(need, maxPixels); err != nil {
		return nil, err
	}
	defer func() {
		if l.zstd != nil {
			l.zstd.Close()
		}
	}()
	var out *pixels.Image
	var buf []byte
	for i := range need {
		x, y, plane := i%across*l.blockW, i/across%down*l.blockH, i/(across*down)
		rows := l.blockH
		if !l.tiled {
			rows = min(rows, l.h-y) // the last strip ends with the image
		}
		raw, err := l.rawBlock(i, l.blockBytes(rows, perBlock))
		if err != nil {
			return nil, err
		}
		if out == nil {
			// The first block decodes before there is memory for all.
			buf = make([]byte, l.blockBytes(l.blockH, perBlock))
		}
		block := buf[:l.blockBytes(rows, perBlock)]
		if err := l.decompress(block, raw, rows, perBlock); err != nil {
			return nil, err
		}
		if out == nil {
			out = pixels.New(l.w, l.h, l.bands)
		}
		if l.subX*l.subY > 1 && l.compression != compressJPEG {
			l.spreadChroma(out, block, x, y, rows)
			continue
		}
		stride := l.rowBytes(perBlock)
		for r := range min(rows, l.h-y) {
			to := out.Pix[((y+r)*l.w+x)*l.bands:]
			l.copyRow(to, block[r*stride:][:stride], min(l.blockW, l.w-x), plane, perBlock)
		}
	}
	return out, nil
}

// checkBlocks makes sure of the places of all strips or tiles, and of their size.
func (l *tiffLayout) checkBlocks(need int, maxPixels int64) error {
	if need == 0 {
		return errors.New("it has no strips or tiles")
	}
	// The limit on pixels holds for up to four bands.
	for _, size := range [][2]int{{l.w, l.h}, {l.blockW, l.blockH}} {
		if w, h := int64(size[0])*int64((l.bands+3)/4), int64(size[1]); w > maxPixels/h {
			return fmt.Errorf("%dx%d pixels of %d bands are more than data.max_pixels = %d allows", size[0], h, l.bands, maxPixels)
		}
	}
	if len(l.counts) < need && l.compression == compressNone {
		l.counts = nil // they are known without
	}
	if len(l.offsets) < need || len(l.counts) < need && l.compression != compressNone {
		return fmt.Errorf("it lists %d blocks of pixels and needs %d", min(len(l.offsets), len(l.counts)), need)
	}
	return nil
}

func (l *tiffLayout) rowBytes(perBlock int) int { return (l.blockW*perBlock*l.bits + 7) / 8 }

func (l *tiffLayout) blockBytes(rows, perBlock int) int {
	if l.subX*l.subY > 1 && l.compression != compressJPEG {
		return l.unitsAcross() * ((rows + l.subY - 1) / l.subY) * (l.subX*l.subY + 2)
	}
	return l.rowBytes(perBlock) * rows
}

// rawBlock returns the bytes of strip or tile i as they stand in the file. size is that without
// compression.
func (l *tiffLayout) rawBlock(i, size int) ([]byte, error) {
	at, n := l.offsets[i], uint64(size)
	if l.counts != nil {
		n = l.counts[i]
	}
	if at > uint64(len(l.data)) || n > uint64(len(l.data))-at {
		return nil, io.ErrUnexpectedEOF
	}
	raw := l.data[at : at+n]
	if l.first(tagFillOrder, 1) == 2 && l.compression != compressJPEG {
		turned := make([]byte, len(raw))
		for i, v := range raw {
			turned[i] = bits.Reverse8(v)
		}
		raw = turned
	}
	return raw, nil
}

// decompress fills dst exactly.
func (l *tiffLayout) decompress(dst, raw []byte, rows, perBlock int) error {
	switch l.compression {
	case compressNone:
		if len(raw) < len(dst) {
			return io.ErrUnexpectedEOF
		}
		copy(dst, raw)
		return nil
	case compressPackBits:
		return unpackBits(dst, raw)
	case compressJPEG:
		return l.jpegBlock(dst, raw, rows, perBlock)
	}
	r, err := l.reader(raw, rows, len(dst))
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	switch l.compression {
	case compressDeflate, compressZip, compressZstd:
		if err := checkRest(r, len(dst)); err != nil {
			return err
		}
	}
	switch l.predictor {
	case 2:
		l.undoPredictor(dst, perBlock)
	case 3:
		l.undoFloatPredictor(dst, perBlock)
	}
	return nil
}

// checkRest reads the data behind that of a block, n bytes at most, for the checksum at its end: a
// stream may be longer than the block.
func checkRest(r io.Reader, n int) error {
	_, err := io.CopyN(io.Discard, r, int64(n)+1)
	if err == io.EOF {
		return nil
	}
	return err
}

// maxWindow bounds the memory that a compressed block asks for.
const maxWindow = 64 << 20

// reader decompresses a stream of size bytes.
func (l *tiffLayout) reader(raw []byte, rows, size int) (io.ReadCloser, error) {
	in := bytes.NewReader(raw)
	switch l.compression {
	case compressLZW:
		return lzw.NewReader(in, lzw.MSB, 8), nil
	case compressFax3, compressFax4:
		mode := ccitt.Group3
		if l.compression == compressFax4 {
			mode = ccitt.Group4
		}
		// Black is 1 in fax code; Photometric gives it its color.
		return io.NopCloser(ccitt.NewReader(in, ccitt.MSB, mode, l.blockW, rows, &ccitt.Options{Invert: true})), nil
	case compressLZMA:
		return lzmaReader(raw, size)
	case compressZstd:
		if l.zstd == nil {
			r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
			l.zstd = r
		}
		return io.NopCloser(l.zstd), l.zstd.Reset(in)
	}
	return zlib.NewReader(in)
}

// lzmaReader reads the first block of an xz stream, of filters Delta and LZMA2, which are those of
// libtiff. Its dictionary has size bytes, those of the block, however much the stream asks for.
func lzmaReader(raw []byte, size int) (io.ReadCloser, error) {
	const streamHeader, delta, lzma2 = 12, 3, 0x21
	if len(raw) < streamHeader+1 || string(raw[:6]) != "\xfd7zXZ\x00" {
		return nil, errors.New("its LZMA data is no xz stream")
	}
	end := streamHeader + 4*(int(raw[streamHeader])+1)
	if len(raw) < end {
		return nil, io.ErrUnexpectedEOF
	}
	header := bytes.NewReader(raw[streamHeader+1 : end])
	flags, err := header.ReadByte()
	if err != nil {
		return nil, err
	}
	for _, sizeFlag := range []byte{0x40, 0x80} {
		if flags&sizeFlag != 0 {
			if _, err := binary.ReadUvarint(header); err != nil {
				return nil, err
			}
		}
	}
	distance := 0
	for range flags&3 + 1 {
		var filter [3]byte // number, size and value of its properties
		if _, err := io.ReadFull(header, filter[:]); err != nil {
			return nil, err
		}
		switch {
		case filter[0] == delta && filter[1] == 1 && distance == 0:
			distance = int(filter[2]) + 1
		case filter[0] != lzma2 || filter[1] != 1:
			return nil, fmt.Errorf("LZMA with filter %#x is not read", filter[0])
		}
	}
	r, err := lzma.Reader2Config{DictCap: max(size, lzma.MinDictCap)}.NewReader2(bytes.NewReader(raw[end:]))
	if err != nil {
		return nil, err
	}
	if distance > 0 {
		return io.NopCloser(&deltaReader{r: r, before: make([]byte, distance)}), nil
	}
	return io.NopCloser(r), nil
}

// deltaReader adds to each byte the one that was len(before) bytes earlier.
type deltaReader struct {
	r      io.Reader
	before []byte
	at     int
}

func (d *deltaReader) Read(b []byte) (int, error) {
	n, err := d.r.Read(b)
	for i := range b[:n] {
		b[i] += d.before[d.at]
		d.before[d.at] = b[i]
		d.at = (d.at + 1) % len(d.before)
	}
	return n, err
}

// jpegBlock decodes a block that is an abbreviated JPEG, whose tables stand in a field of their
// own.
func (l *tiffLayout) jpegBlock(dst, raw []byte, rows, perBlock int) error {
	var tables []byte
	for _, v := range l.fields[tagJPEGTables] {
		tables = append(tables, byte(v))
	}
	tables = bytes.TrimSuffix(bytes.TrimPrefix(tables, []byte("\xff\xd8")), []byte("\xff\xd9"))
	// An Adobe segment hands the meaning of the components, which Photometric gives, to the
	// decoder.
	file := []byte("\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00")
	if l.photo == photoYCbCr {
		file[len(file)-1] = 1
	}
	file = append(append(file, tables...), bytes.TrimPrefix(raw, []byte("\xff\xd8"))...)
	d := &l.jpeg
	if err := d.Open(file); err != nil {
		return err
	}
	w, h := d.Size()
	if d.Channels() != perBlock || w < l.blockW || h < rows {
		return fmt.Errorf("a block of %dx%d pixels and %d bands is a JPEG of %dx%d pixels and %d", l.blockW, rows, perBlock, w, h, d.Channels())
	}
	var m pixels.Image
	if err := d.Decode(&m, pixels.Rect{W: l.blockW, H: rows}, true); err != nil {
		return err
	}
	if perBlock == 4 { // not turned over, as Adobe's are
		for i, v := range m.Pix {
			m.Pix[i] = 255 - v
		}
	}
	copy(dst, m.Pix)
	return nil
}

// undoPredictor turns horizontal differences back into samples.
func (l *tiffLayout) undoPredictor(block []byte, perBlock int) {
	row := l.rowBytes(perBlock)
	size := l.bits / 8
	for ; len(block) >= row && row > 0; block = block[row:] {
		for i := size * perBlock; i < row; i += size {
			switch before := i - size*perBlock; size {
			case 1:
				block[i] += block[before]
			case 2:
				l.order.PutUint16(block[i:], l.order.Uint16(block[i:])+l.order.Uint16(block[before:]))
			default:
				l.order.PutUint32(block[i:], l.order.Uint32(block[i:])+l.order.Uint32(block[before:]))
			}
		}
	}
}

// undoFloatPredictor turns differences of bytes back into numbers of 32 bits. The highest bytes of
// a row stand before all second ones, and so on.
func (l *tiffLayout) undoFloatPredictor(block []byte, perBlock int) {
	row := l.rowBytes(perBlock)
	turned := make([]byte, row)
	for ; len(block) >= row && row > 0; block = block[row:] {
		for i := perBlock; i < row; i++ {
			block[i] += block[i-perBlock]
		}
		for i := range row / 4 {
			var v uint32
			for k := range 4 {
				v = v<<8 | uint32(block[k*row/4+i])
			}
			l.order.PutUint32(turned[4*i:], v)
		}
		copy(block, turned)
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

// highByte is the place of the high byte of a sample of 16 bits.
func (l *tiffLayout) highByte() int {
	if l.order == binary.ByteOrder(binary.LittleEndian) {
		return 1
	}
	return 0
}
