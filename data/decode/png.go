package decode

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"image/png"
	"io"
	"iter"
	"strings"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

// chunk is a part of a PNG or WebP file. Its end may be missing.
type chunk struct {
	name string
	body []byte
	good bool // whole and, in PNG, with the right checksum
}

// pngChunks are the chunks in order.
func pngChunks(b []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		for p := len(pngMagic); p+8 <= len(b); {
			n := int(binary.BigEndian.Uint32(b[p:]))
			c := chunk{name: string(b[p+4 : p+8]), body: b[p+8:]}
			c.body = c.body[:min(n, len(c.body))]
			if n <= len(b)-p-12 {
				c.good = crc32.ChecksumIEEE(b[p+4:p+8+n]) == binary.BigEndian.Uint32(b[p+8+n:])
			}
			if !yield(c) {
				return
			}
			p += 12 + n
		}
	}
}

type pngFile struct {
	canvas
	data []byte
}

func parsePNG(b []byte) (file, error) {
	for c := range pngChunks(b) {
		switch {
		case c.name == "CgBI":
			return nil, errors.New("the variant of PNG for iPhones (CgBI) is not read; convert it with pngcrush -revert-iphone-optimizations")
		case c.name != "IHDR":
			return nil, errors.New("it does not begin with an IHDR chunk")
		case len(c.body) < 13:
			return nil, io.ErrUnexpectedEOF
		case !c.good:
			return nil, errors.New("the IHDR chunk has the wrong checksum")
		}
		return &pngFile{canvas{int(binary.BigEndian.Uint32(c.body)), int(binary.BigEndian.Uint32(c.body[4:]))}, b}, nil
	}
	return nil, io.ErrUnexpectedEOF
}

func (f *pngFile) decode(o Options) (*raster, error) {
	m, err := png.Decode(bytes.NewReader(f.data))
	if err != nil {
		mended := mendPNG(f.data, o)
		if mended == nil {
			return nil, err
		}
		if m, _ = png.Decode(bytes.NewReader(mended)); m == nil {
			return nil, err
		}
	}
	r := rasterOf(m)
	r.orientation = pngMetadata(f.data).orientation()
	return r, nil
}

// mendPNG returns a file with the pixels of one that the standard library refuses for other parts
// of it: more data than the picture needs, a missing end, a wrong checksum that Pillow does not
// look at. It returns nil where pixels are missing or damaged.
func mendPNG(b []byte, o Options) []byte {
	var header, palette, alpha, data []byte
chunks:
	for c := range pngChunks(b) {
		switch {
		case c.name == "IDAT":
			data = append(data, c.body...)
		case data != nil:
			break chunks
		case c.name == "IHDR" && c.good:
			header = c.body
		case c.name == "PLTE" && c.good:
			palette = c.body
		case c.name == "tRNS" && c.good && o.Channels == 4:
			alpha = c.body
		}
	}
	if len(header) != 13 {
		return nil
	}
	if n := 3 << header[8]; header[8] <= 8 && len(palette) > n {
		palette = palette[:n]
	}
	pixels := inflatePNG(data, pngBytes(header))
	if pixels == nil {
		return nil
	}
	var packed bytes.Buffer
	z, err := zlib.NewWriterLevel(&packed, zlib.NoCompression)
	if err != nil {
		return nil
	}
	// Neither can fail in memory.
	z.Write(pixels)
	z.Close()
	out := []byte(pngMagic)
	put := func(name string, body []byte) {
		at := len(out) + 4
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(body))), name...)
		out = append(out, body...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
	}
	put("IHDR", header)
	if palette != nil {
		put("PLTE", palette)
	}
	if alpha != nil {
		put("tRNS", alpha)
	}
	put("IDAT", packed.Bytes())
	put("IEND", nil)
	return out
}

// inflatePNG returns n bytes of the stream, nil where it has fewer or ends right behind them with
// the wrong checksum.
func inflatePNG(data []byte, n int64) []byte {
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	var out bytes.Buffer
	if _, err := io.CopyN(&out, z, n); err != nil {
		return nil
	}
	var more [1]byte
	if _, err := io.ReadFull(z, more[:]); errors.Is(err, zlib.ErrChecksum) {
		return nil
	}
	return out.Bytes()
}

// pngBytes is the size of the pixels of a picture, filter bytes included.
func pngBytes(header []byte) int64 {
	samples := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[header[9]]
	w, h := int64(binary.BigEndian.Uint32(header)), int64(binary.BigEndian.Uint32(header[4:]))
	pass := func(w, h int64) int64 {
		if w <= 0 || h <= 0 {
			return 0
		}
		return h * (1 + (w*samples*int64(header[8])+7)/8)
	}
	if header[12] == 0 {
		return pass(w, h)
	}
	n := int64(0)
	for _, p := range [7][4]int64{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		n += pass((w-p[0]+p[2]-1)/p[2], (h-p[1]+p[3]-1)/p[3])
	}
	return n
}

// pngMetadata looks into all chunks that Pillow takes EXIF and XMP from, before and behind the
// pixels. The last of a kind counts.
func pngMetadata(b []byte) metadata {
	var m metadata
	var profile []byte
chunks:
	for c := range pngChunks(b) {
		switch c.name {
		case "IEND":
			break chunks
		case "eXIf":
			m.exif = c.body
		case "tEXt", "zTXt", "iTXt":
			switch key, text := pngText(c); {
			case key == "exif" && c.name == "tEXt":
				m.exif = text
			case key == "Raw profile type exif":
				profile = text
			case key == "XML:com.adobe.xmp":
				m.xmp = text
			}
		}
	}
	if m.exif == nil {
		m.exif = rawProfile(profile)
	}
	return m
}

// maxText bounds a compressed text, as in Pillow.
const maxText = 1 << 20

// pngText returns keyword and text of a chunk, the text only where it may hold metadata.
func pngText(c chunk) (key string, text []byte) {
	k, text, ok := bytes.Cut(c.body, []byte{0})
	if key = string(k); !ok || key != "exif" && key != "Raw profile type exif" && key != "XML:com.adobe.xmp" {
		return key, nil
	}
	compressed := c.name == "zTXt"
	switch c.name {
	case "zTXt":
		if len(text) < 1 || text[0] != 0 {
			return key, nil
		}
		text = text[1:]
	case "iTXt":
		if len(text) < 2 {
			return key, nil
		}
		compressed = text[0] != 0
		parts := bytes.SplitN(text[2:], []byte{0}, 3) // language, translated keyword, text
		if len(parts) < 3 || compressed && text[1] != 0 {
			return key, nil
		}
		text = parts[2]
	}
	if !compressed {
		return key, text
	}
	z, err := zlib.NewReader(bytes.NewReader(text))
	if err != nil {
		return key, nil
	}
	text, err = io.ReadAll(io.LimitReader(z, maxText+1))
	if err != nil || len(text) > maxText {
		return key, nil
	}
	return key, text
}

// rawProfile undoes ImageMagick's form of binary data: a line break, the name, the length, and
// hexadecimal digits in lines.
func rawProfile(text []byte) []byte {
	lines := strings.Split(string(text), "\n")
	if len(lines) < 4 {
		return nil
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(strings.Join(lines[3:], "")), ""))
	if err != nil {
		return nil
	}
	return b
}
