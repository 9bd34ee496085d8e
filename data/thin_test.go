package data_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/internal/vec"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

// TestThinPictures: a view costs memory for the pixels of the picture, of any aspect, and its size,
// and shows the picture's color.
func TestThinPictures(t *testing.T) {
	for _, size := range [][2]int{{1, 5000}, {1, 60000}, {60000, 1}, {3, 300000}} {
		dir := t.TempDir()
		m := image.NewGray(image.Rect(0, 0, size[0], size[1]))
		for i := range m.Pix {
			m.Pix[i] = 102
		}
		var b bytes.Buffer
		must.Do(t, png.Encode(&b, m))
		write(t, filepath.Join(dir, "thin.png"), b.Bytes())
		mean, std := []float32{0, 0, 0}, []float32{1, 1, 1}
		for name, v := range map[string]data.ViewSpec{
			"center": data.EvalView("v", 224, 224, data.Fitting{Crop: data.CropCenter, Interpolation: pixels.Bicubic}, mean, std),
			"squash": {Name: "v", Height: 224, Width: 224, Crop: data.CropSquash, Interpolation: pixels.Bicubic, Mean: mean, Std: std},
			"random": {Name: "v", Height: 224, Width: 224, ScaleMin: 0.2, ScaleMax: 1, Interpolation: pixels.Bicubic, Mean: mean, Std: std},
			"nfnt":   {Name: "v", Height: 224, Width: 224, Crop: data.CropCenter, Resampler: data.NFNT, Interpolation: pixels.Bicubic, Mean: mean, Std: std},
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			l := must.Get(data.NewLoader(open(t, dir), data.LoaderOptions{Views: []data.ViewSpec{v}, BatchSize: 1, Workers: 1, Prefetch: 1, Epochs: 1}))(t)
			batch, err := l.Next(context.Background())
			if err != nil {
				t.Fatalf("%v, %s: %v", size, name, err)
			}
			for i, x := range batch.Views[0] {
				if x != 102.0/255 {
					t.Fatalf("%v, %s: value %d is %v", size, name, i, x)
				}
			}
			batch.Release()
			l.Close()
			runtime.ReadMemStats(&after)
			bound := uint64(64<<20 + 64*size[0]*size[1])
			if !vec.Assembly() { // plain Go keeps 64 bits for two samples of the intermediate rows
				bound += 96 << 20
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > bound && name != "nfnt" {
				t.Errorf("%v, %s: %d MB were allocated", size, name, n>>20)
			}
		}
	}
}

// TestTooLong: beyond a bound, the error names the file.
func TestTooLong(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "long.png")
	write(t, path, withClaimedSize(pngBytes(t, gradient(1, 1)), 1, 1<<20+1))
	_, err := open(t, dir).Image(0)
	expectData(t, err, path, "a side may have 1048576")
}
