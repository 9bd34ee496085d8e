package pictures

import (
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func gradient(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(255 * x / w), uint8(255 * y / h), 128, 255})
		}
	}
	return m
}

// keep stores a picture in the folder VITTOOL_KEEP_PICTURES, if that is set, to look at.
func keep(t *testing.T, name string, img image.Image) {
	t.Helper()
	if dir := os.Getenv("VITTOOL_KEEP_PICTURES"); dir != "" {
		must.Do(t, WritePNG(filepath.Join(dir, name), img))
	}
}

func TestGridLayout(t *testing.T) {
	g := Grid{
		Title:   "vit_tiny_patch4_32, step 1560",
		Columns: []string{"input", "masked", "reconstruction", "reconstruction + visible"},
		Rows: []Row{
			{Caption: "airplane/0001.jpg", Cells: []Cell{{Image: gradient(32, 32)}, {Image: gradient(32, 32)}, {Image: gradient(32, 32)}, {Image: gradient(32, 32)}}},
			{Caption: strings.Repeat("a-long-folder-name/", 9) + "0002.jpg", Cells: []Cell{
				{Image: gradient(224, 160), Caption: "right"}, {Image: gradient(500, 375), Caption: "wrong"}, {}, {Image: gradient(3, 700)}}},
		},
	}
	img := must.Get(g.Draw())(t)
	keep(t, "grid.png", img)
	// 4 columns of 160 pixels with frames, gaps and margins; headings may widen their column a
	// little.
	if w := img.Bounds().Dx(); w < 4*160 || w > 4*(224+20)+2*margin {
		t.Errorf("the grid is %d pixels wide", w)
	}
	// The first picture stands below title and headings and is enlarged 5 times with hard pixels.
	x, y := margin+frame, margin+2*lineHeight+gap+4+frame
	for _, d := range []int{0, 4} {
		if got, want := img.RGBAAt(x+d, y+d), (color.RGBA{0, 0, 128, 255}); got != want {
			t.Errorf("pixel %d,%d is %v, want %v", x+d, y+d, got, want)
		}
	}
	if got := img.RGBAAt(x+5, y); got.R != 255/32 {
		t.Errorf("the second source pixel is %v, want red %d", got, 255/32)
	}
}

func TestGridRefuses(t *testing.T) {
	for name, g := range map[string]Grid{
		"no rows":   {Columns: []string{"a"}},
		"no cells":  {Rows: []Row{{Caption: "x"}}},
		"too large": {Title: "a long list of captions, none with a picture, much too high to look at", Columns: []string{"x"}, Rows: slices.Repeat([]Row{{Caption: "x"}}, 40000)},
	} {
		if _, err := g.Draw(); err == nil {
			t.Errorf("%s: drawn", name)
		}
	}
}

// TestGridNotes: notes are wrapped and make the grid higher, but no wider.
func TestGridNotes(t *testing.T) {
	g := Grid{Columns: []string{"a"}, Rows: []Row{{Cells: []Cell{{Image: gradient(32, 32)}}}}, Notes: []string{"short"}}
	short, err := g.Draw()
	if err != nil {
		t.Fatal(err)
	}
	g.Notes = append(g.Notes, strings.Repeat("many words ", 20))
	long, err := g.Draw()
	if err != nil {
		t.Fatal(err)
	}
	keep(t, "notes.png", long)
	lines := len(wrap(g.Notes[1], short.Rect.Dx()-2*margin-frame))
	if lines < 3 || long.Rect.Dx() != short.Rect.Dx() || long.Rect.Dy() != short.Rect.Dy()+lines*lineHeight {
		t.Errorf("%v with a short note, %v with %d lines more", short.Rect, long.Rect, lines)
	}
	for y := long.Rect.Dy() - margin; y < long.Rect.Dy(); y++ {
		for x := range long.Rect.Dx() {
			if long.RGBAAt(x, y) != paper {
				t.Fatalf("the lower margin is not empty at %d,%d", x, y)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	if got := wrap("one two  three longerthanaline x", 9*face.Advance); !slices.Equal(got, []string{"one two", "three", "lon..line", "x"}) {
		t.Errorf("%q", got)
	}
	if got := wrap("", 70); len(got) != 0 {
		t.Errorf("nothing becomes %q", got)
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct{ w, h, wantW, wantH int }{
		{32, 32, 160, 160},
		{33, 20, 132, 80},
		{224, 224, 160, 160},
		{160, 90, 160, 90},
		{190, 190, 190, 190}, // near enough
		{1000, 2, 160, 1},
		{1, 1, 160, 160},
	} {
		b := Fit(gradient(c.w, c.h), 160).Bounds()
		if b.Dx() != c.wantW || b.Dy() != c.wantH {
			t.Errorf("%d×%d becomes %d×%d, want %d×%d", c.w, c.h, b.Dx(), b.Dy(), c.wantW, c.wantH)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct{ s, want string }{
		{"short", "short"},
		{"n01440764/long_name.jpg", "n01..jpg"},
		{"äöüäöüäöüäöü", "äöü..äöü"},
	} {
		if got := cut(c.s, 8*face.Advance); got != c.want {
			t.Errorf("cut(%q) = %q, want %q", c.s, got, c.want)
		}
	}
	if got := cut("abcdef", 0); got != "" {
		t.Errorf("a width of 0 leaves %q", got)
	}
}

func TestNormalization(t *testing.T) {
	n := Normalization{Mean: []float64{0.5, 0.4, 0.3}, Std: []float64{0.2, 0.25, 0.3}}
	want := []byte{0, 17, 255, 128, 250, 3}
	x := make([]float32, 6)
	for c := range 3 {
		for i := range 2 {
			x[c*2+i] = float32((float64(want[3*i+c])/255 - n.Mean[c]) / n.Std[c])
		}
	}
	img, err := n.Image(x, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if p := img.Pix[4*i : 4*i+4]; p[0] != want[3*i] || p[1] != want[3*i+1] || p[2] != want[3*i+2] || p[3] != 255 {
			t.Errorf("pixel %d is %v, want %v", i, p, want[3*i:3*i+3])
		}
	}
	for name, bad := range map[string]Normalization{
		"no deviation": {Mean: []float64{0}, Std: []float64{0}},
		"lengths":      {Mean: []float64{0, 0}, Std: []float64{1}},
	} {
		if _, err := bad.Image([]float32{1}, 1, 1); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := n.Image(x[1:], 1, 2); err == nil {
		t.Error("too few values: accepted")
	}
	nan := float32(0)
	nan /= nan
	img, err = Normalization{Mean: []float64{0}, Std: []float64{1}}.Image([]float32{nan}, 1, 1)
	if err != nil || img.RGBAAt(0, 0) != (color.RGBA{255, 0, 255, 255}) {
		t.Errorf("not a number is drawn as %v (%v), want magenta", img.RGBAAt(0, 0), err)
	}
}

// TestHeat: the scale grows lighter from end to end.
func TestHeat(t *testing.T) {
	light := func(share float64) float64 {
		c := Heat(share)
		return .299*float64(c.R) + .587*float64(c.G) + .114*float64(c.B)
	}
	for i := range 100 {
		if a, b := light(float64(i)/100), light(float64(i+1)/100); b < a {
			t.Errorf("%v is darker than %v", i+1, i)
		}
	}
	if Heat(-1) != Heat(0) || Heat(2) != Heat(1) || Heat(math.NaN()) != Heat(0) {
		t.Error("values outside 0 to 1 do not have the color of the nearer end")
	}
}
