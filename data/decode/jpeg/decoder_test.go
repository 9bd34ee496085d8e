package jpeg

import (
	"bytes"
	"errors"
	"image"
	stdjpeg "image/jpeg"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/vittool/vittool/data/internal/vec"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

// TestBoxes: a part of a picture has the pixels that it has in the whole one.
func TestBoxes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	names, contents := files()
	var d Decoder
	var got, want pixels.Image
	for i, file := range contents {
		m := decode(t, file)
		must.Do(t, d.Open(file))
		for range 60 {
			box := pixels.Rect{W: 1 + rng.IntN(m.W), H: 1 + rng.IntN(m.H)}
			box.Left, box.Top = rng.IntN(m.W-box.W+1), rng.IntN(m.H-box.H+1)
			if err := d.Decode(&got, box, rng.IntN(2) == 0); err != nil {
				t.Fatalf("%s, %v: %v", names[i], box, err)
			}
			pixels.Crop(&want, m, box)
			if got.W != want.W || got.H != want.H || got.C != want.C || !bytes.Equal(got.Pix, want.Pix) {
				t.Fatalf("%s: the box %v has other pixels than in the whole picture", names[i], box)
			}
		}
		for _, box := range []pixels.Rect{{W: m.W + 1, H: m.H}, {W: 0, H: 1}, {Left: -1, W: 1, H: 1}, {Top: m.H, W: 1, H: 1}} {
			if err := d.Decode(&got, box, false); err == nil {
				t.Errorf("%s: the box %v is accepted", names[i], box)
			}
		}
	}
}

// TestCutShort cuts files at every length: each is refused for every box, as long as its scan has
// no end.
func TestCutShort(t *testing.T) {
	names, contents := files()
	var d Decoder
	var m pixels.Image
	for i, file := range contents {
		if i%7 != 0 {
			continue
		}
		for n := range len(file) - 1 {
			err := d.Open(file[:n:n])
			if err == nil {
				err = d.Decode(&m, pixels.Rect{W: 1, H: 1}, false)
			}
			if err == nil {
				t.Fatalf("%s: its first %d of %d bytes are a picture", names[i], n, len(file))
			}
		}
	}
}

// scanOf returns a file of one gray block with the entropy-coded bytes given and standard-like
// tables: DC symbol 0 is "0", AC symbols are 0xe1 "0", 0xf0 "10", end of block "110".
func scanOf(data ...byte) []byte {
	file := []byte{0xff, markerSOI, 0xff, markerDQT, 0, 67, 0}
	file = append(file, bytes.Repeat([]byte{1}, 64)...)
	file = append(file, 0xff, markerSOF0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0)
	file = append(file, 0xff, markerDHT, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	file = append(file, 0xff, markerDHT, 0, 22, 0x10, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xe1, 0xf0, 0x00)
	file = append(file, 0xff, markerSOS, 0, 8, 1, 1, 0, 0, 63, 0)
	return append(append(file, data...), 0xff, markerEOI)
}

// TestPastTheEnd: runs of zeros that leave the block are an error, wanted or skipped, and nothing
// loops.
func TestPastTheEnd(t *testing.T) {
	decode := func(data ...byte) error {
		var d Decoder
		var m pixels.Image
		must.Do(t, d.Open(scanOf(data...)))
		return d.Decode(&m, pixels.Rect{W: 8, H: 8}, true)
	}
	// DC 0, then end of block.
	if err := decode(0b0_110_1111); err != nil {
		t.Errorf("an empty block: %v", err)
	}
	// Three times 16 zeros, then 14 zeros and a one: exactly 63.
	if err := decode(0b0_10_10_10_0, 0b1_1111111, 0); err != nil {
		t.Errorf("a full block: %v", err)
	}
	// Four times 16 zeros: one too many.
	if err := decode(0b0_10_10_10_1, 0b0_1111111, 0, 0); !errors.Is(err, errPast) {
		t.Errorf("64 zeros: %v", err)
	}
	// 14 zeros and a one, five times.
	if err := decode(0, 0, 0, 0); !errors.Is(err, errPast) {
		t.Errorf("five runs of 15 coefficients: %v", err)
	}
	// Bits that are no code.
	if err := decode(0b0_1111111, 0b11111110, 0, 0, 0); !errors.Is(err, errCode) {
		t.Errorf("no code: %v", err)
	}
	// Nothing at all.
	if err := decode(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no data: %v", err)
	}
}

func TestUnsupported(t *testing.T) {
	base := scanOf(0b0_110_1111)
	frame := bytes.Index(base, []byte{0xff, markerSOF0})
	change := func(at int, v byte) []byte {
		b := bytes.Clone(base)
		b[frame+at] = v
		return b
	}
	var d Decoder
	for what, b := range map[string][]byte{
		"lossless": change(1, 0xc3), "arithmetic": change(1, 0xc9), "arithmetic progressive": change(1, 0xca), "12 bits": change(4, 12), "height later": change(6, 0),
	} {
		if err := d.Open(b); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, b := range map[string][]byte{
		"no width": change(8, 0), "factor 5": change(11, 0x51), "no table": change(12, 3), "length": change(3, 12), "empty": nil,
	} {
		if err := d.Open(b); err == nil || errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.Open(base); err != nil {
		t.Errorf("after all that, a good file: %v", err)
	}
}

// TestBomb: a small file with a large picture in its header fails before there is memory for the
// picture.
func TestBomb(t *testing.T) {
	b := scanOf(0b0_110_1111, 0b0_110_1111)
	frame := bytes.Index(b, []byte{0xff, markerSOF0})
	copy(b[frame+5:], []byte{0x20, 0, 0x20, 0}) // 8192 x 8192
	var d Decoder
	var m pixels.Image
	must.Do(t, d.Open(b))
	if err := d.Decode(&m, pixels.Rect{W: 8192, H: 8192}, true); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a bomb: %v", err)
	}
	if n := cap(d.planes[0].Pix) + cap(m.Pix); n > 0 {
		t.Errorf("%d bytes were made ready for it", n)
	}
}

// TestSteadyState: files of the sizes seen before cost no memory.
func TestSteadyState(t *testing.T) {
	_, contents := files()
	var d Decoder
	var m pixels.Image
	all := func() {
		for _, file := range contents[20:60] {
			must.Do(t, d.Open(file))
			w, h := d.Size()
			must.Do(t, d.Decode(&m, pixels.Rect{W: w, H: h}, false))
		}
	}
	all()
	if n := testing.AllocsPerRun(5, all); n > 0 {
		t.Errorf("%v allocations in 40 files", n)
	}
}

// TestStandardLibrary: its own inverse transform rounds in another way, so the samples of gray and
// of unsubsampled files are near each other and no more.
func TestStandardLibrary(t *testing.T) {
	names, contents := files()
	compared := 0
	for i, file := range contents {
		std, err := stdjpeg.Decode(bytes.NewReader(file))
		if err != nil {
			continue // some sampling factors it does not know
		}
		m := decode(t, file)
		var want pixels.Image
		want.Reset(m.W, m.H, m.C)
		switch std := std.(type) {
		case *image.Gray:
			for y := range m.H {
				copy(want.Row(y), std.Pix[y*std.Stride:])
			}
		case *image.YCbCr:
			if std.SubsampleRatio != image.YCbCrSubsampleRatio444 {
				continue
			}
			for y := range m.H {
				at := y * std.YStride
				vec.RGB(want.Row(y), std.Y[at:][:m.W], std.Cb[at:][:m.W], std.Cr[at:][:m.W])
			}
		default:
			continue
		}
		compared++
		for k, v := range m.Pix {
			if d := int(v) - int(want.Pix[k]); d > 4 || d < -4 {
				t.Fatalf("%s: byte %d is %d, with the standard library %d", names[i], k, v, want.Pix[k])
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d files compared", compared)
	}
}

// endsOfRuns reports whether a sequential file may hold symbols for the end of several blocks. To
// libjpeg they end one, and to the standard library several, as in a progressive file.
func (d *Decoder) endsOfRuns() bool {
	for i := range d.tables[1] {
		if source := d.tables[1][i].source; len(source) > 16 {
			for _, s := range source[16:] {
				if s&15 == 0 && s>>4 > 0 && s>>4 < 15 && !d.progressive {
					return true
				}
			}
		}
	}
	return false
}

// FuzzDecoder takes the standard library for the oracle: this package reads the same files, to the
// same size, but for damage that the library does not look for. It never panics, and a part has the
// pixels of the whole.
func FuzzDecoder(f *testing.F) {
	_, contents := files()
	for i, file := range contents {
		if i%5 == 0 {
			f.Add(file, uint16(i), uint16(3*i))
		}
	}
	for _, file := range inParts(f) {
		f.Add(file, uint16(3), uint16(5))
	}
	f.Add(scanOf(0b0_110_1111), uint16(0), uint16(0))
	f.Add(scanOf(0, 0, 0), uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, x, y uint16) {
		var d Decoder
		err := d.Open(b)
		if err == nil {
			if w, h := d.Size(); w*h > 1<<18 {
				return
			}
		}
		var m pixels.Image
		if err == nil {
			w, h := d.Size()
			err = d.Decode(&m, pixels.Rect{W: w, H: h}, true)
		}
		if err != nil {
			for _, known := range []error{ErrUnsupported, errPast, errTable, errMissing, errScript, errMissed, errTooMany, errScans} {
				if errors.Is(err, known) {
					return
				}
			}
			cfg, headerErr := stdjpeg.DecodeConfig(bytes.NewReader(b))
			if area := cfg.Width * cfg.Height; headerErr != nil || area > 1<<18 || area == 0 { // we refuse an empty picture
				return
			}
			if std, stdErr := stdjpeg.Decode(bytes.NewReader(b)); stdErr == nil && !d.endsOfRuns() {
				t.Fatalf("the standard library reads %v pixels where this fails: %v", std.Bounds(), err)
			}
			return
		}
		box := pixels.Rect{Left: int(x) % m.W, Top: int(y) % m.H}
		box.W, box.H = (m.W-box.Left+1)/2, (m.H-box.Top+1)/2
		var part, want pixels.Image
		if err := d.Decode(&part, box, false); err != nil {
			t.Fatalf("the whole can be read, the box %v not: %v", box, err)
		}
		if pixels.Crop(&want, &m, box); !bytes.Equal(part.Pix, want.Pix) {
			t.Fatalf("the box %v has other pixels than in the whole", box)
		}
		std, stdErr := stdjpeg.Decode(bytes.NewReader(b))
		if stdErr != nil {
			return
		}
		if r := std.Bounds(); r.Dx() != m.W || r.Dy() != m.H {
			t.Fatalf("%dx%d pixels, the standard library has %dx%d", m.W, m.H, r.Dx(), r.Dy())
		}
	})
}
