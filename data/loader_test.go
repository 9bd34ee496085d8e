package data_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

var half = []float32{.5, .5, .5}

// maeViews are the views of MAE.
func maeViews(size int) []data.ViewSpec {
	return []data.ViewSpec{{
		Name: "image", Height: size, Width: size, ScaleMin: 0.2, ScaleMax: 1, Interpolation: pixels.Bicubic,
		Augmentations: []data.Augmentation{{Kind: data.Flip, P: 0.5}}, Mean: half, Std: half,
	}}
}

// busyViews uses everything a view can do.
func busyViews() []data.ViewSpec {
	all := []data.Augmentation{
		{Kind: data.Flip, P: 0.5},
		{Kind: data.ColorJitter, P: 0.8, Brightness: .4, Contrast: .4, Saturation: .2, Hue: .1},
		{Kind: data.Grayscale, P: 0.2},
		{Kind: data.GaussianBlur, P: 0.5, SigmaMin: 0.1, SigmaMax: 2},
		{Kind: data.GaussianBlur, P: 0.5, SigmaMin: 0.1, SigmaMax: 2, Kernel: 5, SigmaPerBatch: true},
		{Kind: data.Solarize, P: 0.2},
	}
	return []data.ViewSpec{
		{Name: "a", Height: 24, Width: 24, ScaleMin: 0.4, ScaleMax: 1, Interpolation: pixels.Bicubic, Augmentations: all, Mean: half, Std: half},
		{Name: "b", Height: 16, Width: 20, ScaleMin: 0.05, ScaleMax: 0.4, Interpolation: pixels.Bilinear, Augmentations: all, Mean: half, Std: half},
		{Name: "c", Height: 12, Width: 12, ScaleMin: 0.1, ScaleMax: 1, Interpolation: pixels.Lanczos, Resampler: data.NFNT, SameGeometryAs: "a", Mean: half, Std: half},
		{Name: "d", Height: 24, Width: 24, ScaleMin: 0.4, ScaleMax: 1, Interpolation: pixels.Bicubic, SameGeometryAs: "a", SameColors: true, Mean: half, Std: half},
		{Name: "e", Height: 18, Width: 10, Crop: data.CropCenter, Interpolation: pixels.Box, Mean: half, Std: half},
		{Name: "f", Height: 18, Width: 10, Crop: data.CropSquash, Interpolation: pixels.Nearest, Mean: half, Std: half},
		{Name: "g", Height: 16, Width: 16, ScaleMin: 0.1, ScaleMax: 1, Interpolation: pixels.Bicubic, Augmentations: all, ColorsFirst: true, Mean: half, Std: half},
		{Name: "h", Height: 8, Width: 8, Interpolation: pixels.Lanczos, ScaleMin: 0.1, ScaleMax: 1, SameGeometryAs: "g", SameColors: true, Mean: half, Std: half},
	}
}

func demo(t testing.TB, query string) data.Source {
	t.Helper()
	return must.Get(data.Open(data.Options{Path: "demo:?" + query}))(t)
}

// newLoader returns a loader that is closed at the end of the test.
func newLoader(t testing.TB, s data.Source, o data.LoaderOptions) *data.Loader {
	t.Helper()
	l := must.Get(data.NewLoader(s, o))(t)
	t.Cleanup(func() { l.Close() })
	return l
}

func next(t testing.TB, l *data.Loader) *data.Batch {
	t.Helper()
	return must.Get(l.Next(context.Background()))(t)
}

// write writes a file, with the folders that it lies in.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	must.Do(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must.Do(t, os.WriteFile(path, content, 0o644))
}

// digest is everything a consumer sees of a batch but its waiting time.
func digest(b *data.Batch) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, b.Number, b.Epoch, b.IDs, b.Labels, b.Geometry)
	var word [4]byte
	for _, v := range b.Views {
		for _, x := range v {
			u := math.Float32bits(x)
			word = [4]byte{byte(u), byte(u >> 8), byte(u >> 16), byte(u >> 24)}
			h.Write(word[:])
		}
	}
	return h.Sum64()
}

// run collects the digests of n batches, or of all when n is 0.
func run(t *testing.T, s data.Source, o data.LoaderOptions, n int) []uint64 {
	t.Helper()
	l := newLoader(t, s, o)
	var out []uint64
	for n == 0 || len(out) < n {
		b, err := l.Next(context.Background())
		if err == io.EOF && n == 0 {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := o.FirstBatch + len(out); b.Number != want {
			t.Fatalf("step %d, want %d", b.Number, want)
		}
		out = append(out, digest(b))
		b.Release()
	}
	return out
}

func TestSameBits(t *testing.T) {
	s := demo(t, "count=30&size=28")
	base := data.LoaderOptions{Views: busyViews(), BatchSize: 8, Seed: 5, Shuffle: true, Workers: 1, Epochs: 2}
	want := run(t, s, base, 0)
	if len(want) != 8 {
		t.Fatalf("%d batches of 30 images by 8 in 2 epochs", len(want))
	}
	for name, change := range map[string]func(*data.LoaderOptions){
		"again":          func(*data.LoaderOptions) {},
		"eight workers":  func(o *data.LoaderOptions) { o.Workers = 8 },
		"three, cached":  func(o *data.LoaderOptions) { o.Workers = 3; o.CacheBytes = 1 << 20 },
		"little cache":   func(o *data.LoaderOptions) { o.CacheBytes = 20000 },
		"more prefetch":  func(o *data.LoaderOptions) { o.Prefetch = 9; o.Workers = 4 },
		"least prefetch": func(o *data.LoaderOptions) { o.Prefetch = 1; o.Workers = 2 },
	} {
		o := base
		change(&o)
		if got := run(t, s, o, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other batches", name)
		}
	}
	for start := range want {
		o := base
		o.FirstBatch, o.Workers = start, 4
		if got := run(t, s, o, 0); !reflect.DeepEqual(got, want[start:]) {
			t.Errorf("resumed at step %d: other batches", start)
		}
	}
	other := base
	other.Seed = 6
	if got := run(t, s, other, 0); got[0] == want[0] {
		t.Error("another seed gives the same first batch")
	}
}

func TestEpochsVisitEverySample(t *testing.T) {
	s := demo(t, "count=23&size=8")
	for _, dropLast := range []bool{false, true} {
		l := must.Get(data.NewLoader(s, data.LoaderOptions{Views: maeViews(8), BatchSize: 5, Shuffle: true, DropLast: dropLast, Epochs: 3}))(t)
		seen := map[int]map[uint64]int{}
		var orders [3][]uint64
		for {
			b, err := l.Next(context.Background())
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if seen[b.Epoch] == nil {
				seen[b.Epoch] = map[uint64]int{}
			}
			for i, id := range b.IDs {
				seen[b.Epoch][id]++
				orders[b.Epoch] = append(orders[b.Epoch], id)
				if want := int32(s.Class(int(id))); b.Labels[i] != want {
					t.Fatalf("sample %d has label %d, want %d", id, b.Labels[i], want)
				}
			}
			b.Release()
		}
		l.Close()
		want := 23
		if dropLast {
			want = 20
		}
		for e := range 3 {
			if len(seen[e]) != want || len(orders[e]) != want {
				t.Errorf("drop_last %v, epoch %d: %d different samples in %d places, want %d", dropLast, e, len(seen[e]), len(orders[e]), want)
			}
		}
		if reflect.DeepEqual(orders[0], orders[1]) {
			t.Error("two epochs have the same order")
		}
	}
}

// TestGeometry renders the reported box again with the operations of package pixels and expects the
// view.
func TestGeometry(t *testing.T) {
	s := demo(t, "count=12&width=40&height=30")
	l := newLoader(t, s, data.LoaderOptions{Views: maeViews(16), BatchSize: 12, Shuffle: true, Seed: 3})
	b := next(t, l)
	norm, _ := pixels.NewNormalizer(half, half)
	var r pixels.Resizer
	var out pixels.Image
	flips := 0
	for i, id := range b.IDs {
		m := must.Get(s.Image(int(id)))(t)
		g := b.Geometry[0][i]
		if g.SourceWidth != 40 || g.SourceHeight != 30 {
			t.Fatalf("source %dx%d", g.SourceWidth, g.SourceHeight)
		}
		r.Resize(&out, m, pixels.Rect{Top: int(g.Top), Left: int(g.Left), H: int(g.Height), W: int(g.Width)}, 16, 16, pixels.Bicubic)
		if g.Flip {
			flips++
			mirror(&out)
		}
		want := make([]float32, 3*16*16)
		norm.Planes(want, &out, false)
		if !reflect.DeepEqual(want, b.Views[0][i*len(want):(i+1)*len(want)]) {
			t.Errorf("sample %d: the view does not show its geometry", id)
		}
	}
	if flips == 0 || flips == 12 {
		t.Errorf("%d of 12 views are mirrored", flips)
	}
}

func TestSharedGeometry(t *testing.T) {
	s := demo(t, "count=16&size=40")
	l := newLoader(t, s, data.LoaderOptions{Views: busyViews(), BatchSize: 16, Shuffle: true, Seed: 3})
	b := next(t, l)
	if !reflect.DeepEqual(b.Geometry[0], b.Geometry[2]) || !reflect.DeepEqual(b.Geometry[0], b.Geometry[3]) {
		t.Error("views with the same geometry have other boxes")
	}
	if reflect.DeepEqual(b.Geometry[0], b.Geometry[1]) {
		t.Error("independent views have the same boxes")
	}
	if !reflect.DeepEqual(b.Views[0], b.Views[3]) {
		t.Error("the same geometry and colors give another view")
	}
}

// Augmentations before the crop see the whole image. A crop shows the difference: contrast depends
// on the mean of its input. Views that share colors share those too.
func TestColorsFirst(t *testing.T) {
	contrast := []data.Augmentation{{Kind: data.ColorJitter, P: 1, Contrast: .8}}
	view := func(name string, crop data.Crop, first bool) data.ViewSpec {
		return data.ViewSpec{Name: name, Height: 40, Width: 40, Crop: crop, ScaleMin: .2, ScaleMax: .3, Interpolation: pixels.Nearest,
			Augmentations: contrast, ColorsFirst: first, Mean: half, Std: half}
	}
	batch := func(views ...data.ViewSpec) *data.Batch {
		t.Helper()
		l := newLoader(t, demo(t, "count=8&size=40"), data.LoaderOptions{Views: views, BatchSize: 8, Seed: 3})
		b := next(t, l)
		return b
	}
	whole, later := batch(view("v", data.CropSquash, true)), batch(view("v", data.CropSquash, false))
	if !reflect.DeepEqual(whole.Views[0], later.Views[0]) {
		t.Error("the whole image has other colors when they come first")
	}
	part, partLater := batch(view("v", data.CropRandomResized, true)), batch(view("v", data.CropRandomResized, false))
	if !reflect.DeepEqual(part.Geometry, partLater.Geometry) || reflect.DeepEqual(part.Views[0], partLater.Views[0]) {
		t.Error("a crop has the same colors before and after it, or another box")
	}
	// Nearest-neighbor pixels of a crop are pixels of the colored whole.
	for i := range 8 {
		known := map[float32]bool{}
		for _, v := range whole.Views[0][i*3*1600:][:1600] {
			known[v] = true
		}
		for _, v := range part.Views[0][i*3*1600:][:1600] {
			if !known[v] {
				t.Fatalf("sample %d: the crop has a red of %v, which the whole image in these colors has not", i, v)
			}
		}
	}
	shared := view("w", data.CropRandomResized, false)
	shared.SameGeometryAs, shared.SameColors, shared.Augmentations = "v", true, nil
	if both := batch(view("v", data.CropRandomResized, true), shared); !reflect.DeepEqual(both.Views[0], both.Views[1]) {
		t.Error("a view with the same geometry and colors differs")
	}
}

// folder writes n small pictures of distinct colors, two classes.
func folder(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		class := filepath.Join(dir, []string{"cat", "dog"}[i%2])
		must.Do(t, os.MkdirAll(class, 0o755))
		writePNG(t, filepath.Join(class, fmt.Sprintf("%03d.png", i)), 10, 8, color.RGBA{uint8(i), uint8(255 - i), 100, 255})
	}
	return dir
}

func writePNG(t testing.TB, path string, w, h int, c color.Color) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.Set(i%w, i/w, c)
	}
	f := must.Get(os.Create(path))(t)
	defer f.Close()
	must.Do(t, png.Encode(f, m))
}

func open(t testing.TB, path string) data.Source {
	t.Helper()
	s := must.Get(data.Open(data.Options{Path: path}))(t)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestCancelAndClose(t *testing.T) {
	before := runtime.NumGoroutine()
	s := demo(t, "count=64&size=16")
	for i := range 20 {
		l := must.Get(data.NewLoader(s, data.LoaderOptions{Views: maeViews(32), BatchSize: 16, Shuffle: true, Workers: 4}))(t)
		ctx, cancel := context.WithCancel(context.Background())
		if i%3 > 0 {
			if _, err := l.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if _, err := l.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("Next after cancel: %v", err)
		}
		if i%2 == 0 { // a cancelled call leaves the loader usable
			if _, err := l.Next(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		l.Close()
		if _, err := l.Next(context.Background()); err == nil {
			t.Fatal("a closed loader gives batches")
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestHeldBatchesDoNotBlock(t *testing.T) {
	s := demo(t, "count=40&size=8")
	l := newLoader(t, s, data.LoaderOptions{Views: maeViews(8), BatchSize: 4, Shuffle: true})
	var held []*data.Batch
	var digests []uint64
	for range 10 {
		b := next(t, l)
		held, digests = append(held, b), append(digests, digest(b))
	}
	for i, b := range held {
		if digest(b) != digests[i] {
			t.Errorf("batch %d changed while it was held", i)
		}
		b.Release()
		b.Release()
	}
}

func TestSteadyStateAllocatesLittle(t *testing.T) {
	s := demo(t, "count=64&size=32")
	l := newLoader(t, s, data.LoaderOptions{Views: maeViews(32), BatchSize: 32, Shuffle: true, Workers: 2, CacheBytes: 1 << 30})
	step := func() {
		b := next(t, l)
		b.Release()
	}
	for range 50 {
		step()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const steps = 200
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	// The runtime allocates too, more under the race detector.
	if per := (after.TotalAlloc - before.TotalAlloc) / steps; per > 16<<10 {
		t.Errorf("a step allocates %d bytes; its views alone have %d", per, 32*3*32*32*4)
	}
}
