package pixels

import "testing"

func noise(w, h, c int) *Image {
	m := New(w, h, c)
	s := uint32(1)
	for i := range m.Pix {
		s = s*1664525 + 1013904223
		m.Pix[i] = uint8(s >> 24)
	}
	return m
}

func BenchmarkCrop32(b *testing.B) {
	m := noise(32, 32, 3)
	n, _ := NewNormalizer([]float32{.5, .5, .5}, []float32{.25, .25, .25})
	var r Resizer
	var out Image
	dst := make([]float32, 32*32*3)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		s := 15 + i%17
		r.Resize(&out, m, Rect{Top: (32 - s) / 2, H: s, W: s}, 32, 32, Bicubic)
		n.Planes(dst, &out, i&1 == 0)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}

func BenchmarkResize500To224(b *testing.B) {
	m := noise(500, 375, 3)
	var r Resizer
	var out Image
	b.ReportAllocs()
	for b.Loop() {
		r.Resize(&out, m, m.Bounds(), 224, 224, Bicubic)
	}
}
