package tasks

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tasks/npy"
)

func TestWriteFeatures(t *testing.T) {
	f := spread(5, 3, 2, 1, 1)
	f.Names[2] = "a\nb.png"
	path := filepath.Join(t.TempDir(), "features.npy")
	files, err := WriteFeatures(path, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 4 {
		t.Fatalf("wrote %v", files)
	}
	a, err := readArray(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.Shape, []int{5, 3}) || !reflect.DeepEqual(a.Float32, f.Data) {
		t.Errorf("read %v", a)
	}
	if a, err = readArray(files[1]); err != nil || !reflect.DeepEqual(a.Int64, []int64{0, 1, 0, 1, 0}) {
		t.Errorf("labels %v, %v", a.Int64, err)
	}
	names, err := os.ReadFile(files[3])
	if want := "image-0.png\nimage-1.png\n\"a\\nb.png\"\nimage-3.png\nimage-4.png\n"; err != nil || string(names) != want {
		t.Errorf("names %q, want %q", names, want)
	}
	f.Labels, f.Classes = nil, nil
	if files, err = WriteFeatures(filepath.Join(t.TempDir(), "bare.npy"), f); err != nil || len(files) != 2 {
		t.Errorf("without labels: %v, %v", files, err)
	}
	if _, err := WriteFeatures(path, &Features{}); err == nil {
		t.Error("no features were written")
	}
}

// writeTestImage stores a PNG of w × h pixels; each seed has its own pattern.
func writeTestImage(t testing.TB, path string, w, h, seed int) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(x * 255 / w), uint8(y * 255 / h), uint8((x*7 + y*13 + 50*seed) % 256), 255})
		}
	}
	file := must.Get(os.Create(path))(t)
	defer file.Close()
	must.Do(t, png.Encode(file, m))
}

func readArray(path string) (npy.Array, error) {
	file, err := os.Open(path)
	if err != nil {
		return npy.Array{}, err
	}
	defer file.Close()
	return npy.Read(file)
}
