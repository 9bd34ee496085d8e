package tasks

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/data"
)

// TestFeaturesOfOneImage: a feature depends on its own image alone, not on the size of the first
// one.
func TestFeaturesOfOneImage(t *testing.T) {
	m := smallModel(t)
	engine := devicetest.New(t, 1)
	dir := t.TempDir()
	write := func(name string, w, h int) {
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		for i := range w * h {
			x, y := i%w, i/w
			img.SetRGBA(x, y, color.RGBA{uint8(5 * x), uint8(7 * y), uint8(x * y), 255})
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
	}
	h, w := m.Info.ImageH, m.Info.ImageW
	write("b.png", 3*w, 2*h)
	write("c.png", w+9, 4*h)
	extract := func() *Features {
		f, err := m.Extract(context.Background(), engine, openData(t, dir), ExtractOptions{BatchSize: 2})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	before := extract()
	write("a.png", w, h)
	after := extract()
	if !slices.Equal(before.Data, after.Data[before.Dim:]) {
		t.Error("an image that comes first changes the features of the others")
	}
	if after.Fitting != before.Fitting || !after.Fitting.AsIs || after.Fitting.CropPct != 0.875 {
		t.Errorf("the features say %+v, before %+v", after.Fitting, before.Fitting)
	}
	timm := data.Fitting{Crop: data.CropCentre, CropPct: 0.875, Interpolation: after.Fitting.Interpolation}
	f, err := m.Extract(context.Background(), engine, openData(t, dir), ExtractOptions{Fitting: &timm})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(f.Data[:f.Dim], after.Data[:f.Dim]) || !slices.Equal(f.Data[f.Dim:], after.Data[f.Dim:]) {
		t.Error("an image of the network's size alone is to differ when it is fitted as the others are")
	}
}
