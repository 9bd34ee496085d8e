package data_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
)

// TestPeakBytes: the estimate grows with the largest image, wherever it stands in the source, with
// workers, batches and the cache.
func TestPeakBytes(t *testing.T) {
	write := func(dir, name string, w, h int) {
		var b bytes.Buffer
		must.Do(t, jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, w, h)), nil))
		write(t, filepath.Join(dir, name), b.Bytes())
	}
	peak := func(dir string, change func(*data.LoaderOptions)) int64 {
		t.Helper()
		o := data.LoaderOptions{Views: maeViews(16), BatchSize: 4, Workers: 2}
		change(&o)
		l := newLoader(t, open(t, dir), o)
		return l.PeakBytes()
	}
	same := func(*data.LoaderOptions) {}
	dir := folder(t, 200) // of 10 x 8 pixels
	small := peak(dir, same)
	// Two ready batches, one in the making and one in use, of 4 x 3 x 16 x 16 float32.
	if batches := int64(4 * 4 * 3 * 16 * 16 * 4); small < batches || small > 2*batches {
		t.Errorf("%d bytes for tiny images, %d of them for batches", small, batches)
	}
	write(dir, "cat/101.jpg", 2000, 1000)
	large := peak(dir, same)
	// An RGB image of each of two workers, its samples with one chroma sample for four pixels, and
	// as much garbage.
	if want := int64(2 * 2 * 2000 * 1000 * 9 / 2); large < want || large > want+want/5 {
		t.Errorf("%d bytes with an image of 2000 x 1000 pixels, want %d", large, want)
	}
	if more := peak(dir, func(o *data.LoaderOptions) { o.Workers = 4 }); more < 2*large-small || more > 2*large {
		t.Errorf("%d bytes for four workers, %d for two", more, large)
	}
	if more := peak(dir, func(o *data.LoaderOptions) { o.CacheBytes = 1000 }); more != large+1000 {
		t.Errorf("%d bytes with a cache of 1000, %d without", more, large)
	}
	if more := peak(folder(t, 20), func(o *data.LoaderOptions) { o.CacheBytes = 1 << 40 }); more > small+20*10*8*3 {
		t.Errorf("%d bytes with a cache that holds every image, %d without", more, small)
	}
}
