package data_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
)

// jpegFolder writes n scenes as JPEG files, every third of them turned by its EXIF data, and as PNG
// every seventh.
func jpegFolder(t testing.TB, n, w, h int) string {
	t.Helper()
	dir := t.TempDir()
	scenes := demo(t, fmt.Sprintf("count=%d&width=%d&height=%d", n, w, h))
	for id := range n {
		m := must.Get(scenes.Image(id))(t)
		b := jpegBytes(t, data.Picture(m))
		if id%3 == 2 {
			exif := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
			exif[29] = byte(1 + id%8)
			b = slices.Concat(b[:2], exif, b[2:])
		}
		if id%7 == 6 {
			b = pngBytes(t, data.Picture(m))
		}
		write(t, filepath.Join(dir, fmt.Sprintf("%04d.jpg", id)), b)
	}
	return dir
}

// TestPartsAreExact: images that are decoded in part make the same batches as whole ones from the
// cache.
func TestPartsAreExact(t *testing.T) {
	s := open(t, jpegFolder(t, 24, 75, 50))
	for _, views := range [][]data.ViewSpec{maeViews(32), busyViews()[:4]} {
		o := data.LoaderOptions{Views: views, BatchSize: 6, Seed: 3, Shuffle: true, Epochs: 3, Workers: 2}
		parts := run(t, s, o, 0)
		o.CacheBytes = 1 << 24
		if whole := run(t, s, o, 0); !slices.Equal(parts, whole) {
			t.Error("batches of parts differ from those of whole images")
		}
		o.CacheBytes = 40000
		if some := run(t, s, o, 0); !slices.Equal(parts, some) {
			t.Error("batches differ with a cache that holds a few images")
		}
	}
}

// TestDamageBelowTheBox: a file whose lower half is missing is skipped from its first use on, even
// where only its upper half is needed. So a resumed run sees the same images as an undisturbed one.
func TestDamageBelowTheBox(t *testing.T) {
	dir := jpegFolder(t, 24, 75, 50)
	for _, id := range []int{4, 9, 10} {
		path := filepath.Join(dir, fmt.Sprintf("%04d.jpg", id))
		b := must.Get(os.ReadFile(path))(t)
		scan := bytes.Index(b, []byte("\xff\xda"))
		half := scan + 12 + (len(b)-scan-12)*6/10
		for b[half-1] == 0xff {
			half--
		}
		write(t, path, append(b[:half], 0xff, 0xd9))
	}
	s := open(t, dir)
	views := maeViews(32)
	views[0].ScaleMin, views[0].ScaleMax = 0.05, 0.3
	skipped := 0
	o := data.LoaderOptions{Views: views, BatchSize: 6, Seed: 3, Shuffle: true, Epochs: 4, Workers: 2, MaxFailed: 0.5,
		OnSkip: func(int, string, error) { skipped++ }}
	want := run(t, s, o, 0)
	if skipped != 3 {
		t.Errorf("%d files were skipped, 3 are damaged", skipped)
	}
	for start := range want {
		o.FirstBatch = start
		if got := run(t, s, o, 0); !slices.Equal(got, want[start:]) {
			t.Errorf("resumed at step %d, other batches", start)
		}
	}
}

// TestReadingAllocatesLittle: an epoch over files whose sizes are known allocates only for the
// opening of files, and nothing that grows with the images.
func TestReadingAllocatesLittle(t *testing.T) {
	s := open(t, jpegFolder(t, 6, 300, 200))
	views := maeViews(64)
	views[0].Crop = data.CropSquash // one size: all coefficients are known after the first
	l := newLoader(t, s, data.LoaderOptions{Views: views, BatchSize: 5, DropLast: true, Workers: 1, Seed: 1})
	next := func() {
		b := must.Get(l.Next(t.Context()))(t)
		b.Release()
	}
	for range 10 {
		next()
	}
	const steps = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		next()
	}
	runtime.ReadMemStats(&after)
	perImage := float64(after.TotalAlloc-before.TotalAlloc) / (5 * steps)
	t.Logf("%.0f bytes for an image of 180000", perImage)
	if perImage > 8000 {
		t.Errorf("%.0f bytes are allocated for each image", perImage)
	}
}
