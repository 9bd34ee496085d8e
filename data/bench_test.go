package data_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
)

func BenchmarkLoader32(b *testing.B) {
	benchmarkLoader(b, demo(b, "count=512&size=32"), maeViews(32), 128)
}

func BenchmarkLoaderBYOL32(b *testing.B) {
	v := maeViews(32)
	v[0].Augmentations = append(v[0].Augmentations,
		data.Augmentation{Kind: data.ColorJitter, P: 0.8, Brightness: .4, Contrast: .4, Saturation: .2, Hue: .1},
		data.Augmentation{Kind: data.Grayscale, P: 0.2},
		data.Augmentation{Kind: data.GaussianBlur, P: 0.5, SigmaMin: 0.1, SigmaMax: 2})
	benchmarkLoader(b, demo(b, "count=512&size=32"), v, 128)
}

func BenchmarkLoaderPhotographs(b *testing.B) {
	benchmarkLoader(b, open(b, photographs(b, 16, 500, 375)), maeViews(224), 16)
}

// BenchmarkReadSmallFiles is the first epoch over small JPEG files, before any of them is cached.
func BenchmarkReadSmallFiles(b *testing.B) {
	s := open(b, photographs(b, 256, 32, 32))
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Image(i % s.Len()); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}

// photographs writes n scenes as JPEG files.
func photographs(b *testing.B, n, w, h int) string {
	b.Helper()
	dir := b.TempDir()
	scenes := demo(b, fmt.Sprintf("count=%d&width=%d&height=%d", n, w, h))
	for id := range n {
		m := must.Get(scenes.Image(id))(b)
		path := filepath.Join(dir, fmt.Sprintf("%04d.jpg", id))
		must.Do(b, os.WriteFile(path, jpegBytes(b, data.Picture(m)), 0o644))
	}
	return dir
}

func benchmarkLoader(b *testing.B, s data.Source, views []data.ViewSpec, batch int) {
	cache := int64(1 << 30)
	if batch == 16 {
		cache = 0
	}
	l := must.Get(data.NewLoader(s, data.LoaderOptions{Views: views, BatchSize: batch, Shuffle: true, Workers: runtime.GOMAXPROCS(0), CacheBytes: cache}))(b)
	defer l.Close()
	next := func() {
		batch := must.Get(l.Next(context.Background()))(b)
		batch.Release()
	}
	if cache > 0 {
		for range 2 * data.BatchesPerEpoch(s.Len(), batch, false) {
			next()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "images/s")
}
