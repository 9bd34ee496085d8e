package data

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

// TestCasesOfFitting compares the evaluation view with timm's transform and with torchvision's, to
// the bit; testdata/fitting.py made the expected digests.
func TestCasesOfFitting(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "fitting.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var kind, mode, filter, want string
		var w, h, vh, vw int
		var value float64
		if _, err := fmt.Sscan(lines.Text(), &kind, &w, &h, &vh, &vw, &value, &mode, &filter, &want); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		fit := Fitting{Crop: CropCenter, CropPct: value}
		if fit.Interpolation, err = pixels.ParseFilter(filter); err != nil {
			t.Fatal(err)
		}
		if mode == "squash" {
			fit.Crop = CropSquash
		}
		if kind == "torchvision" {
			fit.CropPct, fit.ShortSide = 0, int(value)
		}
		views := must.Get(resolveViews([]ViewSpec{EvalView("v", vh, vw, fit, []float32{0, 0, 0}, []float32{1, 1, 1})}, 3))(t)
		p := wholePicture(drawn(w, h))
		var r renderer
		r.cropAndScale(&views[0], p.Bounds(), &p)
		sum := sha256.Sum256(r.out.Pix)
		if r.out.W != vw || r.out.H != vh || hex.EncodeToString(sum[:])[:16] != want {
			t.Errorf("line %d: other pixels than those of %s", n+1, lines.Text())
		}
	}
	if n < 500 {
		t.Errorf("%d cases", n)
	}
}

// drawn is the image that the script draws.
func drawn(w, h int) *pixels.Image {
	m := pixels.New(w, h, 3)
	for y := range h {
		for x := range w {
			for c := range 3 {
				m.Pix[(y*w+x)*3+c] = uint8(x*7*(c+1) + y*13 + x*y)
			}
		}
	}
	return m
}

// TestAsIs: an image of the view's size is shown as it is, another one beside it as timm shows it,
// in either order.
func TestAsIs(t *testing.T) {
	fit := Fitting{Crop: CropCenter, AsIs: true, Interpolation: pixels.Bicubic}
	views := must.Get(resolveViews([]ViewSpec{EvalView("v", 12, 16, fit, []float32{0, 0, 0}, []float32{1, 1, 1})}, 3))(t)
	var r renderer
	same, other := wholePicture(drawn(16, 12)), wholePicture(drawn(12, 16))
	if box := r.cropAndScale(&views[0], same.Bounds(), &same); box.Width != 16 || string(r.out.Pix) != string(same.Pix) {
		t.Errorf("an image of the view's size was changed, box %+v", box)
	}
	if box := r.cropAndScale(&views[0], other.Bounds(), &other); box.Width >= 12 || box.Height >= 16 {
		t.Errorf("an image of another size shows all of it: %+v", box)
	}
}
