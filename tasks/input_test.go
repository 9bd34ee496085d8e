package tasks

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// TestFeaturesOfOneImage: a feature depends on its own image alone, not on the size of the first
// one.
func TestFeaturesOfOneImage(t *testing.T) {
	m := smallModel(t)
	dev := devicetest.New(t, 1)
	dir := t.TempDir()
	write := func(name string, w, h int) {
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		for i := range w * h {
			x, y := i%w, i/w
			img.SetRGBA(x, y, color.RGBA{uint8(5 * x), uint8(7 * y), uint8(x * y), 255})
		}
		f := must.Get(os.Create(filepath.Join(dir, name)))(t)
		defer f.Close()
		must.Do(t, png.Encode(f, img))
	}
	h, w := m.Info.ImageH, m.Info.ImageW
	write("b.png", 3*w, 2*h)
	write("c.png", w+9, 4*h)
	extract := func() *Features {
		return must.Get(m.Extract(context.Background(), dev, openData(t, dir), ExtractOptions{BatchSize: 2}))(t)
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
	timm := data.Fitting{Crop: data.CropCenter, CropPct: 0.875, Interpolation: after.Fitting.Interpolation}
	f := must.Get(m.Extract(context.Background(), dev, openData(t, dir), ExtractOptions{Fitting: &timm}))(t)
	if slices.Equal(f.Data[:f.Dim], after.Data[:f.Dim]) || !slices.Equal(f.Data[f.Dim:], after.Data[f.Dim:]) {
		t.Error("an image of the network's size alone is to differ when it is fitted as the others are")
	}
}

// TestDescribedSize: weights whose description states another image size than their architecture are
// read at that size where their tensors have it, and otherwise a line tells.
func TestDescribedSize(t *testing.T) {
	c := must.Get(microModel(t).Config.With(backbone.Settings{Height: 16, Width: 48}))(t)
	m := newModel(t, c, nil, nil, 3)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	must.Do(t, tensor.WriteSafetensors(path, m.Store.Tensors(), nil))
	card := filepath.Join(filepath.Dir(path), cardName)
	must.Do(t, os.WriteFile(card, []byte(`{"input_size": [3, 16, 48]}`), 0o644))
	got := must.Get(LoadModel(path, LoadOptions{Model: m.Info.Name}))(t)
	if got.Info.ImageH != 16 || got.Info.ImageW != 48 || len(got.Notes()) != 0 {
		t.Errorf("%+v, notes %q", got.Info, got.Notes())
	}
	sameWeights(t, got, m, 1)
	square := microModel(t)
	must.Do(t, tensor.WriteSafetensors(path, square.Store.Tensors(), nil))
	for size, want := range map[string]string{"[3,16,48]": "pos_embed is", "[1,32,32]": "the network reads 3 channels", "[3,31,32]": "31"} {
		must.Do(t, os.WriteFile(card, []byte(`{"input_size": `+size+`}`), 0o644))
		got := must.Get(LoadModel(path, LoadOptions{Model: m.Info.Name}))(t)
		if n := got.Notes(); len(n) != 1 || !strings.Contains(n[0], want) || got.Info.ImageH != 32 {
			t.Errorf("%s: notes %q, want %q", size, n, want)
		}
	}
}
