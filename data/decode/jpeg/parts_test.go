package jpeg

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

// inParts are files of several scans, from the test data of package decode.
func inParts(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	for _, pattern := range []string{"../testdata/*.jpg", "../testdata/cases/jpeg*/*.jpg"} {
		paths := must.Get(filepath.Glob(pattern))(t)
		for _, path := range paths {
			b := must.Get(os.ReadFile(path))(t)
			var d Decoder
			if err := d.Open(b); err == nil && d.parts {
				files[filepath.Base(path)] = b
			}
		}
	}
	if len(files) < 5 {
		t.Fatalf("%d files of several scans", len(files))
	}
	return files
}

// TestParts: of a file in several scans, a part of the picture has the pixels that it has in the
// whole one, as often as it is asked for.
func TestParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var d Decoder
	var got, want pixels.Image
	for name, file := range inParts(t) {
		m := decode(t, file)
		must.Do(t, d.Open(file))
		for range 20 {
			box := pixels.Rect{W: 1 + rng.IntN(m.W), H: 1 + rng.IntN(m.H)}
			box.Left, box.Top = rng.IntN(m.W-box.W+1), rng.IntN(m.H-box.H+1)
			if err := d.Decode(&got, box, false); err != nil {
				t.Fatalf("%s, %v: %v", name, box, err)
			}
			if pixels.Crop(&want, m, box); got.C != want.C || !bytes.Equal(got.Pix, want.Pix) {
				t.Fatalf("%s: the box %v has other pixels than in the whole picture", name, box)
			}
		}
	}
}

// TestMissingScans cuts progressive files between their scans, and ends them there: the rest is no
// whole picture.
func TestMissingScans(t *testing.T) {
	var d Decoder
	var m pixels.Image
	for name, file := range inParts(t) {
		if !strings.Contains(name, "progressive") {
			continue
		}
		for at := range len(file) - 1 {
			if file[at] != 0xff || file[at+1] != markerSOS {
				continue
			}
			err := d.Open(append(file[:at:at], 0xff, markerEOI))
			if err == nil {
				err = d.Decode(&m, pixels.Rect{W: 1, H: 1}, false)
				if !errors.Is(err, errMissed) {
					t.Errorf("%s, cut at %d: %v", name, at, err)
				}
			}
		}
	}
}

// TestProgressiveBomb: a small file with a large picture in its header fails before there is memory
// for its coefficients.
func TestProgressiveBomb(t *testing.T) {
	for name, file := range inParts(t) {
		for _, marker := range []byte{markerSOF0, markerSOF2} {
			at := bytes.Index(file, []byte{0xff, marker})
			if at < 0 {
				continue
			}
			b := bytes.Clone(file)
			copy(b[at+5:], []byte{0x20, 0, 0x20, 0}) // 8192 x 8192
			var d Decoder
			var m pixels.Image
			must.Do(t, d.Open(b))
			if err := d.Decode(&m, pixels.Rect{W: 8192, H: 8192}, true); err == nil || cap(d.components[0].coefs.values) > 0 {
				t.Errorf("%s: a bomb: %v, %d coefficients", name, err, cap(d.components[0].coefs.values))
			}
		}
	}
}
