package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

func gradient(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		x, y := i%w, i/w
		m.SetRGBA(x, y, color.RGBA{uint8(x * 5), uint8(y * 7), uint8(40 + x + y), 255})
	}
	return m
}

// files are one small picture in every format that Go can write, and WebP files made by libwebp.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	put := func(name string, f func(b *bytes.Buffer) error) {
		var b bytes.Buffer
		must.Do(t, f(&b))
		out[name] = b.Bytes()
	}
	m := gradient(23, 17)
	gray := image.NewGray(m.Rect)
	deep := image.NewRGBA64(m.Rect)
	alpha := image.NewNRGBA(m.Rect)
	for y := range 17 {
		for x := range 23 {
			gray.Set(x, y, m.At(x, y))
			deep.Set(x, y, m.At(x, y))
			c := m.RGBAAt(x, y)
			alpha.SetNRGBA(x, y, color.NRGBA{c.R, c.G, c.B, uint8(10 * x)})
		}
	}
	put("jpeg", func(b *bytes.Buffer) error { return jpeg.Encode(b, m, &jpeg.Options{Quality: 95}) })
	put("jpeg gray", func(b *bytes.Buffer) error { return jpeg.Encode(b, gray, &jpeg.Options{Quality: 95}) })
	put("png", func(b *bytes.Buffer) error { return png.Encode(b, m) })
	put("png gray", func(b *bytes.Buffer) error { return png.Encode(b, gray) })
	put("png 16", func(b *bytes.Buffer) error { return png.Encode(b, deep) })
	put("png alpha", func(b *bytes.Buffer) error { return png.Encode(b, alpha) })
	put("gif", func(b *bytes.Buffer) error { return gif.Encode(b, m, nil) })
	put("bmp", func(b *bytes.Buffer) error { return bmp.Encode(b, m) })
	put("tiff", func(b *bytes.Buffer) error { return tiff.Encode(b, m, nil) })
	put("tiff gray", func(b *bytes.Buffer) error { return tiff.Encode(b, gray, nil) })
	put("tiff deflate", func(b *bytes.Buffer) error {
		return tiff.Encode(b, m, &tiff.Options{Compression: tiff.Deflate, Predictor: true})
	})
	return out
}

func TestFormats(t *testing.T) {
	for name, b := range files(t) {
		for _, channels := range []int{1, 3} {
			got, err := Decode(b, Options{Channels: channels})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got.W != 23 || got.H != 17 || got.C != channels {
				t.Errorf("%s: %dx%d with %d channels", name, got.W, got.H, got.C)
				continue
			}
			exact := strings.HasPrefix(name, "png") || strings.HasPrefix(name, "bmp") || strings.HasPrefix(name, "tiff")
			if exact && strings.Contains(name, "gray") == (channels == 1) {
				checkGradient(t, name, got)
			}
		}
	}
	b := files(t)
	if m, err := Decode(b["png alpha"], Options{Channels: 4}); err != nil || m.C != 4 || m.Pix[4*5+3] != 50 {
		t.Errorf("four channels of a PNG with alpha: %v", err)
	}
	if _, err := Decode(b["png"], Options{Channels: 4}); err == nil || !strings.Contains(err.Error(), "3 channels and data.channels is 4") {
		t.Errorf("four channels of a PNG without alpha: %v", err)
	}
	if _, err := Decode(b["png"], Options{MaxPixels: 23*17 - 1}); err == nil || !strings.Contains(err.Error(), "data.max_pixels") {
		t.Errorf("one pixel too many: %v", err)
	}
}

// checkGradient wants the pixels of gradient.
func checkGradient(t *testing.T, name string, got *pixels.Image) {
	t.Helper()
	m := gradient(got.W, got.H)
	for i := range got.W * got.H {
		c := m.RGBAAt(i%got.W, i/got.W)
		want := []uint8{c.R, c.G, c.B}
		if got.C == 1 {
			want = []uint8{color.GrayModel.Convert(c).(color.Gray).Y}
		}
		if p := got.Pix[i*got.C : (i+1)*got.C]; !bytes.Equal(p, want) {
			t.Errorf("%s: pixel %d is %v, want %v", name, i, p, want)
			return
		}
	}
}

// TestDamagedDeflate changes bytes of the pixels of a TIFF. The checksum finds it.
func TestDamagedDeflate(t *testing.T) {
	b := files(t)["tiff deflate"]
	for i := 8; i < int(binary.LittleEndian.Uint32(b[4:])); i++ {
		damaged := bytes.Clone(b)
		damaged[i] ^= 0x10
		if m, err := Decode(damaged, Options{}); err == nil {
			checkGradient(t, fmt.Sprintf("byte %d", i), m)
		}
	}
}

// TestPillow compares with the pixels of Pillow 13, which lie beside the files as PNG.
func TestPillow(t *testing.T) {
	truths, err := filepath.Glob("testdata/*.*.png")
	if err != nil || len(truths) < 20 {
		t.Fatalf("%d files in testdata: %v", len(truths), err)
	}
	for _, truth := range truths {
		name := strings.TrimSuffix(truth, ".png")
		var got, want *pixels.Image
		for path, m := range map[string]**pixels.Image{name: &got, truth: &want} {
			b := must.Get(os.ReadFile(path))(t)
			if *m, err = Decode(b, Options{}); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		if got.W != want.W || got.H != want.H {
			t.Errorf("%s: %dx%d, Pillow says %dx%d", name, got.W, got.H, want.W, want.H)
			continue
		}
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%s: other pixels than Pillow's", name)
		}
	}
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// bandsTIFF writes w x h pixels of c bands, sample (x,y,k) being 40x+20y+3k, high byte first in
// 16-bit files.
func bandsTIFF(order byteOrder, w, h, c, bits int, planar bool) []byte {
	b := []byte("II*\x00")
	if order == byteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	put := func(sample int) {
		if bits == 16 {
			b = order.AppendUint16(b, uint16(sample<<8|0x5a))
		} else {
			b = append(b, uint8(sample))
		}
	}
	b = order.AppendUint32(b, 0)
	start := len(b)
	planes := 1
	if planar {
		planes = c
	}
	for p := range planes {
		for i := range w * h {
			for k := range c / planes {
				put(40*(i%w) + 20*(i/w) + 3*(p+k))
			}
		}
	}
	each := (len(b) - start) / planes
	offsets := len(b)
	for p := range planes {
		b = order.AppendUint32(b, uint32(start+p*each))
	}
	counts := len(b)
	for range planes {
		b = order.AppendUint32(b, uint32(each))
	}
	depths := len(b)
	for range c {
		b = order.AppendUint16(b, uint16(bits))
	}
	order.PutUint32(b[4:], uint32(len(b)))
	type entry struct{ tag, kind, count, value int }
	entries := []entry{{256, 4, 1, w}, {257, 4, 1, h}, {258, 3, c, depths}, {259, 4, 1, 1}, {262, 4, 1, 1},
		{273, 4, planes, offsets}, {277, 4, 1, c}, {278, 4, 1, h}, {279, 4, planes, counts}, {284, 4, 1, 1}}
	if planar {
		entries[9].value = 2
	} else {
		entries[5].value, entries[8].value = start, each
	}
	b = order.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = order.AppendUint16(b, uint16(e.tag))
		b = order.AppendUint16(b, uint16(e.kind))
		b = order.AppendUint32(b, uint32(e.count))
		b = order.AppendUint32(b, uint32(e.value))
	}
	return order.AppendUint32(b, 0)
}

func TestManyBands(t *testing.T) {
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, bits := range []int{8, 16} {
			for _, planar := range []bool{false, true} {
				b := bandsTIFF(order, 3, 2, 5, bits, planar)
				m, err := Decode(b, Options{Channels: 5})
				if err != nil {
					t.Errorf("%v, %d bits, planar %v: %v", order, bits, planar, err)
					continue
				}
				for i, v := range m.Pix {
					x, y, k := i/5%3, i/15, i%5
					if want := uint8(40*x + 20*y + 3*k); v != want {
						t.Errorf("%v, %d bits, planar %v: sample %d is %d, want %d", order, bits, planar, i, v, want)
						break
					}
				}
				if _, err := Decode(b, Options{}); err == nil || !strings.Contains(err.Error(), "5 channels and data.channels is 3") {
					t.Errorf("five bands read as three: %v", err)
				}
				if _, err := Decode(b[:len(b)-60], Options{Channels: 5}); err == nil {
					t.Error("a cut file is accepted")
				}
			}
		}
	}
}

// TestCutShort cuts files of every format at every length: a cut file is refused, or, where only a
// trailer is missing that holds no pixels, read like the whole one. Nothing is ever filled in.
func TestCutShort(t *testing.T) {
	all := files(t)
	samples := must.Get(filepath.Glob("testdata/*"))(t)
	more := must.Get(filepath.Glob("testdata/cases/*/*"))(t)
	for _, path := range append(samples, more...) {
		if info, err := os.Stat(path); err != nil || info.IsDir() || strings.HasSuffix(path, ".zip") {
			continue
		}
		b := must.Get(os.ReadFile(path))(t)
		// Refused files are no pictures, and a PNG without its end has lost the metadata that stood
		// there.
		if _, err := Decode(b, Options{}); err == nil && !strings.Contains(path, "after_idat") {
			all[path] = b
		}
	}
	for name, b := range all {
		whole, err := Decode(b, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		step := 1
		if strings.Contains(name, "cases") {
			step = 127
		}
		for n := 0; n < len(b); n += step {
			if m, err := Decode(b[:n:n], Options{}); err == nil && !bytes.Equal(m.Pix, whole.Pix) {
				t.Errorf("%s: the first %d of %d bytes give another picture", name, n, len(b))
				break
			}
		}
	}
}

// exif wraps an orientation in a JPEG's APP1 segment.
func exif(b []byte, order binary.ByteOrder, orientation uint16) []byte {
	block := make([]byte, 26)
	copy(block, "II*\x00")
	if order == binary.BigEndian {
		copy(block, "MM\x00*")
	}
	order.PutUint32(block[4:], 8)
	order.PutUint16(block[8:], 1)
	order.PutUint16(block[10:], 274)
	order.PutUint16(block[12:], 3)
	order.PutUint32(block[14:], 1)
	order.PutUint16(block[18:], orientation)
	segment := append([]byte("\xff\xe1\x00\x00Exif\x00\x00"), block...)
	binary.BigEndian.PutUint16(segment[2:], uint16(len(segment)-2))
	return append(append(bytes.Clone(b[:2]), segment...), b[2:]...)
}

// corners names the colors in the corners of a picture, 0 red, 1 green, 2 blue, 3 white: top left,
// top right, bottom left, bottom right.
func corners(m *pixels.Image) (names string) {
	for _, p := range [][2]int{{1, 1}, {m.W - 2, 1}, {1, m.H - 2}, {m.W - 2, m.H - 2}} {
		switch q := m.Pix[3*(p[1]*m.W+p[0]):]; {
		case q[0] > 128 && q[1] > 128:
			names += "3"
		case q[0] > 128:
			names += "0"
		case q[1] > 128:
			names += "1"
		default:
			names += "2"
		}
	}
	return names
}

func TestOrientation(t *testing.T) {
	// Corners of the stored picture: 0 red, 1 green, 2 blue, 3 white.
	const size = 32
	m := image.NewRGBA(image.Rect(0, 0, size, size))
	for i := range size * size {
		c := []color.RGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 255, 255}}[i%size/16+2*(i/size/16)]
		m.SetRGBA(i%size, i/size, c)
	}
	var buf bytes.Buffer
	must.Do(t, jpeg.Encode(&buf, m.SubImage(image.Rect(0, 0, size, 24)), nil))
	// Corners of the upright picture: top left, top right, bottom left, bottom right (EXIF 2.32,
	// tag Orientation).
	upright := []string{1: "0123", 2: "1032", 3: "3210", 4: "2301", 5: "0213", 6: "2031", 7: "3120", 8: "1302"}
	for o := 1; o <= 8; o++ {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			got := must.Get(Decode(exif(buf.Bytes(), order, uint16(o)), Options{}))(t)
			if w, h := 32, 24; o < 5 && (got.W != w || got.H != h) || o >= 5 && (got.W != h || got.H != w) {
				t.Errorf("orientation %d: %dx%d", o, got.W, got.H)
			}
			if c := corners(got); c != upright[o] {
				t.Errorf("orientation %d: corners %s, want %s", o, c, upright[o])
			}
		}
	}
	for _, o := range []uint16{0, 9, 1000} {
		if got, err := Decode(exif(buf.Bytes(), binary.LittleEndian, o), Options{}); err != nil || got.W != 32 {
			t.Errorf("orientation %d is not read as upright: %v", o, err)
		}
	}
}

// TestWebPClaims: the first picture of an animation that claims more pixels than its canvas is
// refused before there is memory for them.
func TestWebPClaims(t *testing.T) {
	picture := "VP8L\x08\x00\x00\x00\x2f\xff\xff\xff\x0f\x88\x88\x08" // 16384x16384 of one color
	frame := "ANMF\x20\x00\x00\x00" + strings.Repeat("\x00", 16) + picture
	file := "WEBPVP8X\x0a\x00\x00\x00\x02" + strings.Repeat("\x00", 9) + frame
	_, err := Decode([]byte("RIFF"+string(rune(len(file)))+"\x00\x00\x00"+file), Options{})
	if err == nil || !strings.Contains(err.Error(), "header claims 16384x16384 pixels") {
		t.Error(err)
	}
}

func BenchmarkDecodeJPEG(b *testing.B) {
	var buf bytes.Buffer
	must.Do(b, jpeg.Encode(&buf, gradient(500, 375), nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(buf.Bytes(), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
